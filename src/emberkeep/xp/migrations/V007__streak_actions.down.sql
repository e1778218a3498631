-------------------------------------------------------------------------------
-- Takes back V007: streaks know of claims only
-------------------------------------------------------------------------------

alter table ${schema}.xp_streaks drop column action_count;

drop table ${schema}.xp_streak_actions;

alter table ${schema}.xp_policy_versions
drop column freezes_max_held,
drop column freezes_earned_every_days,
drop column pause_max_days,
drop column pause_cooldown_days;
