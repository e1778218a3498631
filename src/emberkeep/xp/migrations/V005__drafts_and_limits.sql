-------------------------------------------------------------------------------
-- XP: one draft at a time, edited by those who have seen it
-------------------------------------------------------------------------------

alter table ${schema}.xp_policy_versions
add column revision int not null default 1;

comment on column ${schema}.xp_policy_versions.revision is 'Counts the edits of the draft: the ETag.';

-- squawk-ignore require-concurrent-index-creation -- a policy has tens of versions, not millions.
create unique index xp_policy_versions_draft_uidx
on ${schema}.xp_policy_versions (policy_key)
where status = 'Draft';

-------------------------------------------------------------------------------
-- Balances stay within what a JSON number says exactly: 2^53 - 1
-------------------------------------------------------------------------------

alter table ${schema}.xp_balance
-- squawk-ignore constraint-missing-not-valid -- part of the first release: nobody has balances yet.
add constraint xp_balance_limit_chk check (
    current_balance <= 9007199254740991
    and lifetime_xp <= 9007199254740991
    and seasonal_xp <= 9007199254740991
);
