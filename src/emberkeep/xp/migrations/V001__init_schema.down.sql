-------------------------------------------------------------------------------
-- Takes back V001: every XP table, with what is in it
-------------------------------------------------------------------------------

drop table ${schema}.xp_awards;
drop table ${schema}.xp_rules;
drop table ${schema}.xp_streaks;
drop table ${schema}.xp_balance;
drop table ${schema}.xp_ledger;
drop table ${schema}.xp_users;
drop function ${schema}.now_utc();
