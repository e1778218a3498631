-- What is done to streaks beside claims, and streaks that are folded again.

-- name: lock_streak
-- The player's id, or nothing when the player is unknown. Whoever claims for the player waits, and
-- then finds another number of actions than it decided by.
select streak.user_id
from xp.xp_users as player
inner join xp.xp_streaks as streak on player.user_id = streak.user_id
where player.external_user_id = %(player_id)s
for no key update of streak;

-- name: read_streak_action
-- The action of this cause, and whose it is; nothing when there is none.
select
    action.action_id,
    action.kind,
    action.after_reward_day_id,
    action.freezes,
    action.streak_day,
    action.first_day,
    action.last_day,
    action.reason,
    action.actor,
    action.correlation_id::text,
    action.created_at,
    action.user_id
from xp.xp_streak_actions as action
where action.correlation_id = %(correlation_id)s;

-- name: insert_streak_action
-- Needs the lock of lock_streak: actions have the order of their ids.
insert into xp.xp_streak_actions (
    user_id,
    kind,
    after_reward_day_id,
    freezes,
    streak_day,
    first_day,
    last_day,
    reason,
    actor,
    correlation_id,
    created_at
)
values (
    %(user_id)s,
    %(kind)s,
    %(after_reward_day_id)s,
    %(freezes)s,
    %(streak_day)s,
    %(first_day)s,
    %(last_day)s,
    %(reason)s,
    %(actor)s,
    %(correlation_id)s,
    %(now)s
)
returning action_id;

-- name: update_streak
-- Needs the lock of lock_streak. Counts the actions, so that a claim that was decided before them
-- is decided again.
update xp.xp_streaks
set
    current_streak = %(current_streak)s,
    longest_streak = %(longest_streak)s,
    grace_used = %(grace_used)s,
    model_state = %(model_state)s::jsonb,
    action_count = action_count + %(actions)s,
    updated_at = %(now)s
where user_id = %(user_id)s;

-- name: list_streak_actions
-- A player's actions before a position, newest first.
select
    action.action_id,
    action.kind,
    action.after_reward_day_id,
    action.freezes,
    action.streak_day,
    action.first_day,
    action.last_day,
    action.reason,
    action.actor,
    action.correlation_id::text,
    action.created_at
from xp.xp_streak_actions as action
where
    action.user_id = %(user_id)s
    and action.action_id < %(before_id)s
order by action.action_id desc
limit %(max_rows)s;

-- name: list_excusing_actions
-- The actions that excuse days from `since_day` on, or take that back, in order.
select
    action.action_id,
    action.kind,
    action.after_reward_day_id,
    action.freezes,
    action.streak_day,
    action.first_day,
    action.last_day,
    action.reason,
    action.actor,
    action.correlation_id::text,
    action.created_at
from xp.xp_streak_actions as action
where
    action.user_id = %(user_id)s
    and (
        action.last_day >= %(since_day)s
        or (
            action.kind = 'resumed'
            and action.last_day is null
        )
    )
order by action.action_id;
