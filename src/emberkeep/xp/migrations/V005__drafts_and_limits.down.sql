-------------------------------------------------------------------------------
-- Takes back V005: drafts may be several again, and balances any bigint
-------------------------------------------------------------------------------

alter table ${schema}.xp_balance drop constraint xp_balance_limit_chk;

-- squawk-ignore require-concurrent-index-deletion -- the table is small.
drop index ${schema}.xp_policy_versions_draft_uidx;

alter table ${schema}.xp_policy_versions drop column revision;
