-------------------------------------------------------------------------------
-- Takes back V006: only where a row comes from is looked at
-------------------------------------------------------------------------------

grant update, delete on ${schema}.xp_seasons to emberkeep_service;

create or replace function ${schema}.guard_policy_part() returns trigger
language plpgsql
as $$
declare
    part record := case when tg_op = 'INSERT' then new else old end;
begin
    if exists (
        select 1
        from ${schema}.xp_policy_versions as version
        where
            version.policy_key = part.policy_key
            and version.policy_version = part.policy_version
            and version.status <> 'Draft'
    ) then
        raise exception 'version % of policy % is published: it never changes',
            part.policy_version, part.policy_key
        using
            errcode = 'restrict_violation',
            constraint = 'xp_policy_versions_immutable',
            hint = 'Create a new version.';
    end if;

    return case when tg_op = 'DELETE' then old else new end;
end
$$;
