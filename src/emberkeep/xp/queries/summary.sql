-- Totals over all players. They read whole tables: for reports, not for requests.

-- name: read_totals
-- One row; reads whole tables.
select
    (
        select count(*)
        from xp.xp_users
    ) as players,
    count(*) as claims,
    coalesce(sum(award.xp_awarded), 0) as xp,
    min(award.reward_day_id) as first_day,
    max(award.reward_day_id) as last_day
from xp.xp_awards as award;

-- name: list_longest_streaks
-- Longest first; reads whole tables.
select
    player.external_user_id,
    streak.longest_streak,
    balance.current_balance
from xp.xp_streaks as streak
inner join xp.xp_users as player on streak.user_id = player.user_id
inner join xp.xp_balance as balance on streak.user_id = balance.user_id
where streak.longest_streak > 0
order by streak.longest_streak desc, player.external_user_id asc
limit %(max_rows)s;

-- name: count_milestones
-- How many players have unlocked each; reads whole tables.
select
    (milestone.value ->> 'day')::int as day,
    milestone.value ->> 'reward_type' as reward_type,
    milestone.value ->> 'reward_value' as reward_value,
    count(*) as players
from xp.xp_awards as award
cross join lateral jsonb_array_elements(award.model_state_snapshot -> 'milestones') as milestone
where award.model_state_snapshot ? 'milestones'
group by day, reward_type, reward_value
order by day, reward_type, reward_value;

-- name: list_zones_in_use
-- Every zone that a player has or will have; leaps from zone to zone in the index.
with recursive zone as (
    (
        select player.reward_tz
        from xp.xp_users as player
        order by player.reward_tz
        limit 1
    )
    union all
    select (
        select player.reward_tz
        from xp.xp_users as player
        where player.reward_tz > zone.reward_tz
        order by player.reward_tz
        limit 1
    )
    from zone
    where zone.reward_tz is not null
)

select zone.reward_tz
from zone
where zone.reward_tz is not null
order by zone.reward_tz;

-- name: has_players_table
-- Whether the schema is there at all.
select to_regclass('xp.xp_users') is not null;
