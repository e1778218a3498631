-- Claims as they were recorded, for simulations. Run in a snapshot.

-- name: count_recorded_claims
-- How many claims under a policy were recorded, up to a day, of a share of the players.
select count(*)
from xp.xp_awards as award
where
    award.policy_key = %(policy_key)s
    and award.reward_day_id <= %(last_day)s
    and mod(award.user_id, 100) < %(sample_percent)s;

-- name: copy_recorded_claims
-- Those claims, by player and then by day, each with the days before it that were excused. Each
-- column has one width, so that what COPY sends is an array already.
select
    award.user_id::bigint,
    award.reward_day_id::date,
    award.created_at::timestamptz,
    coalesce((award.model_state_snapshot #>> '{explain,excused_days}')::int, 0) as excused_days
from xp.xp_awards as award
where
    award.policy_key = %(policy_key)s
    and award.reward_day_id <= %(last_day)s
    and mod(award.user_id, 100) < %(sample_percent)s
order by award.user_id, award.reward_day_id;

-- name: count_other_actions
-- How many streak actions of these players did more than excuse days: a simulation leaves them out.
select count(*)
from xp.xp_streak_actions as action
where
    action.kind in ('freezes_granted', 'repaired')
    and mod(action.user_id, 100) < %(sample_percent)s;

-- name: find_last_archived_day
-- The last day of which an award of these players was archived; null where none was.
select max(carried.last_reward_day_id)
from xp.xp_awards_carried as carried
where mod(carried.user_id, 100) < %(sample_percent)s;

-- name: list_player_ids
-- The callers' own ids of these players, in order of ours.
select player.external_user_id
from unnest(%(user_ids)s::bigint[]) as asked (user_id)
inner join xp.xp_users as player on asked.user_id = player.user_id
order by player.user_id;
