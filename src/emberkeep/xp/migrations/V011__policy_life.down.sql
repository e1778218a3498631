-------------------------------------------------------------------------------
-- Takes back V011: policies stay, whatever becomes of their drafts
-------------------------------------------------------------------------------

comment on column ${schema}.xp_policy_audit.details is null;
comment on column ${schema}.xp_policy_audit.reason is null;
comment on column ${schema}.xp_policy_audit.step is null;
comment on column ${schema}.xp_policy_audit.policy_version is null;

revoke delete on ${schema}.xp_policies from emberkeep_service;

drop trigger xp_policies_refuse_delete on ${schema}.xp_policies;
drop function ${schema}.refuse_policy_with_versions();
