-------------------------------------------------------------------------------
-- Takes back V004: the tables stay, nothing guards them. The role stays too: it is not ours alone.
-------------------------------------------------------------------------------

revoke all on all tables in schema ${schema} from emberkeep_service;
revoke all on schema ${schema} from emberkeep_service;

drop table ${schema}.xp_time_zone_changes;

alter table ${schema}.xp_users
drop constraint xp_users_next_zone_chk,
drop column next_reward_tz_at,
drop column next_reward_tz,
drop column attributes;

drop trigger xp_seasons_touch_catalogue on ${schema}.xp_seasons;
drop trigger xp_policy_segment_overrides_touch_catalogue on ${schema}.xp_policy_segment_overrides;
drop trigger xp_policy_versions_touch_catalogue on ${schema}.xp_policy_versions;
drop function ${schema}.touch_catalogue();
drop table ${schema}.xp_catalogue;

drop table ${schema}.xp_policy_audit;

drop trigger xp_policy_seasonal_boosts_guard on ${schema}.xp_policy_seasonal_boosts;
drop trigger xp_policy_streak_curve_guard on ${schema}.xp_policy_streak_curve;
drop function ${schema}.guard_policy_part();
drop trigger xp_policy_versions_guard on ${schema}.xp_policy_versions;
drop function ${schema}.guard_policy_version();

drop trigger xp_awards_refuse_delete on ${schema}.xp_awards;
drop trigger xp_awards_refuse_update on ${schema}.xp_awards;
drop trigger xp_ledger_refuse_delete on ${schema}.xp_ledger;
drop trigger xp_ledger_refuse_update on ${schema}.xp_ledger;
drop function ${schema}.refuse_delete_before_player();
drop function ${schema}.refuse_change();

drop function ${schema}.check_claims_fresh(bigint, bigint);

drop trigger xp_ledger_add_to_balance on ${schema}.xp_ledger;
drop function ${schema}.add_to_balance();
drop function ${schema}.add_seasons_to_balance(${schema}.xp_ledger[]);
drop trigger xp_users_create_state on ${schema}.xp_users;
drop function ${schema}.create_player_state();
