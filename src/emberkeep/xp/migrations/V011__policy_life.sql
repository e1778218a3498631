-------------------------------------------------------------------------------
-- XP: a policy goes with its only draft, and with nothing else
-------------------------------------------------------------------------------

create function ${schema}.refuse_policy_with_versions() returns trigger
language plpgsql
as $$
begin
    if exists (
        select 1
        from ${schema}.xp_policy_versions as version
        where version.policy_key = old.policy_key
    ) then
        raise exception 'policy % has versions', old.policy_key
        using
            errcode = 'restrict_violation',
            constraint = 'xp_policies_has_versions',
            hint = 'Delete its draft first. What was ever published stays.';
    end if;

    return old;
end
$$;

comment on function ${schema}.refuse_policy_with_versions() is
'A policy is deleted only when it has no version left: drafts never go by cascade.';

create trigger xp_policies_refuse_delete
before delete on ${schema}.xp_policies
for each row execute function ${schema}.refuse_policy_with_versions();

-- What is left to delete is a key that nothing was ever published under.
grant delete on ${schema}.xp_policies to emberkeep_service;

comment on column ${schema}.xp_policy_audit.policy_version is
'0 where the step was about the whole policy. No number is given out twice, deleted drafts'' neither.';
comment on column ${schema}.xp_policy_audit.step is 'created, edited, deleted, published and so on.';
comment on column ${schema}.xp_policy_audit.reason is 'Why, in the words of whoever did it; empty where nothing was said.';
comment on column ${schema}.xp_policy_audit.details is 'What the step changed, and what was there before.';
