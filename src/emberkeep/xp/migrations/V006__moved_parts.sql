-------------------------------------------------------------------------------
-- XP: no part of a draft is moved into a version that was published
-------------------------------------------------------------------------------

-- Looks where a row comes from and where it goes: an update may move it between versions.
create or replace function ${schema}.guard_policy_part() returns trigger
language plpgsql
as $$
declare
    published record;
begin
    select
        version.policy_key,
        version.policy_version
    from ${schema}.xp_policy_versions as version
    where
        version.status <> 'Draft'
        and (
            (
                tg_op <> 'INSERT'
                and version.policy_key = old.policy_key
                and version.policy_version = old.policy_version
            )
            or (
                tg_op <> 'DELETE'
                and version.policy_key = new.policy_key
                and version.policy_version = new.policy_version
            )
        )
    into published;

    if found then
        raise exception 'version % of policy % is published: it never changes',
            published.policy_version, published.policy_key
        using
            errcode = 'restrict_violation',
            constraint = 'xp_policy_versions_immutable',
            hint = 'Create a new version.';
    end if;

    return case when tg_op = 'DELETE' then old else new end;
end
$$;

-------------------------------------------------------------------------------
-- The service takes nothing back that it never has to
-------------------------------------------------------------------------------

-- A season that has restarted streaks cannot have ended on another day.
revoke update, delete on ${schema}.xp_seasons from emberkeep_service;
