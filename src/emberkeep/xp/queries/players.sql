-- Players, and the changes of their time zones.

-- name: insert_player
-- Answers the new player's id, or nothing when the player is there already; waits for whoever is
-- creating the same player at this moment. A trigger adds the empty streak and balance.
insert into xp.xp_users (
    external_user_id,
    reward_tz,
    segment_key,
    attributes,
    created_at,
    updated_at
)
values (
    %(player_id)s,
    %(time_zone)s,
    %(segment_key)s,
    %(attributes)s::jsonb,
    %(now)s,
    %(now)s
)
on conflict (external_user_id) do nothing
returning user_id;

-- name: read_player
-- One row, or none when the player is unknown.
select
    player.user_id,
    player.external_user_id,
    player.reward_tz,
    player.next_reward_tz,
    player.next_reward_tz_at,
    player.segment_key,
    player.attributes::text,
    player.created_at,
    player.updated_at
from xp.xp_users as player
where player.external_user_id = %(player_id)s;

-- name: lock_player
-- As read_player; whoever else would change the player waits. Claims and grants do not.
select
    player.user_id,
    player.external_user_id,
    player.reward_tz,
    player.next_reward_tz,
    player.next_reward_tz_at,
    player.segment_key,
    player.attributes::text,
    player.created_at,
    player.updated_at
from xp.xp_users as player
where player.external_user_id = %(player_id)s
for no key update of player;

-- name: update_player
-- Needs the lock of lock_player, because it writes back what was read with it.
update xp.xp_users
set
    reward_tz = %(time_zone)s,
    next_reward_tz = %(next_time_zone)s,
    next_reward_tz_at = %(next_time_zone_at)s,
    segment_key = %(segment_key)s,
    attributes = %(attributes)s::jsonb,
    updated_at = %(now)s
where user_id = %(user_id)s;

-- name: read_last_zone_change
-- When the last change that was granted had been asked for; no row when there was none.
select change.requested_at
from xp.xp_time_zone_changes as change
where
    change.user_id = %(user_id)s
    and change.is_granted
order by change.requested_at desc
limit 1;

-- name: count_zone_changes
-- How many changes were granted that had been asked for since an instant.
select count(*)
from xp.xp_time_zone_changes as change
where
    change.user_id = %(user_id)s
    and change.is_granted
    and change.requested_at >= %(since)s;

-- name: list_zone_changes
-- A player's requests before a position, newest first.
select
    change.change_id,
    change.old_reward_tz,
    change.new_reward_tz,
    change.is_granted,
    change.requested_at,
    change.effective_at,
    change.actor
from xp.xp_time_zone_changes as change
where
    change.user_id = %(user_id)s
    and (change.requested_at, change.change_id) < (%(before_at)s, %(before_id)s)
order by change.requested_at desc, change.change_id desc
limit %(max_rows)s;

-- name: insert_zone_change
-- A refusal has no effective_at.
insert into xp.xp_time_zone_changes (
    user_id,
    old_reward_tz,
    new_reward_tz,
    is_granted,
    requested_at,
    effective_at,
    actor
)
values (
    %(user_id)s,
    %(old_time_zone)s,
    %(new_time_zone)s,
    %(effective_at)s::timestamptz is not null,
    %(now)s,
    %(effective_at)s,
    %(actor)s
);
