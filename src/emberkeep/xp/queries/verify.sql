-- Everything there is of some players, or of all, row by row: for the invariants, and for rebuilds.

-- name: stream_ledgers
-- Every player with the balance and what was archived, and each ledger row in the order in which it
-- was written; a player without rows comes once.
select
    player.user_id,
    player.external_user_id,
    balance.current_balance,
    balance.lifetime_xp,
    balance.seasonal_xp,
    balance.season_id as balance_season_id,
    entry.amount,
    entry.season_id,
    entry.balance_after,
    entry.metadata @> '{"affectsLifetime": true}' as affects_lifetime,
    entry.reverses_ledger_id is not null as is_reversal,
    carried.through_ledger_id,
    carried.ledger_rows,
    carried.current_balance as carried_balance,
    carried.lifetime_xp as carried_lifetime_xp,
    carried.seasonal_xp as carried_seasonal_xp,
    carried.season_id as carried_season_id,
    carried.season_totals::text as carried_season_totals
from xp.xp_users as player
left join xp.xp_balance as balance on player.user_id = balance.user_id
left join xp.xp_ledger as entry on player.user_id = entry.user_id
left join xp.xp_ledger_carried as carried on player.user_id = carried.user_id
where
    player.user_id > %(after_user_id)s
    and player.user_id <= %(through_user_id)s
order by player.user_id, entry.ledger_id;

-- name: stream_histories
-- Every player with the streak and what was archived, and each award in order of day; a player
-- without awards comes once.
select
    player.user_id,
    player.external_user_id,
    streak.current_streak,
    streak.longest_streak,
    streak.grace_used,
    streak.last_reward_day_id,
    streak.model_state::text,
    streak.action_count,
    award.reward_day_id,
    award.created_at,
    award.xp_awarded,
    award.streak_day,
    award.policy_key,
    award.policy_version,
    award.model_state_snapshot #>> '{streak,longest}' as longest_then,
    award.model_state_snapshot #>> '{streak,grace_used}' as grace_used_then,
    coalesce(award.model_state_snapshot -> 'model_state', '{}')::text as model_state_then,
    award.model_state_snapshot #>> '{streak,current}' as current_then,
    coalesce(award.model_state_snapshot -> 'milestones', '[]')::text as milestones_then,
    coalesce(award.model_state_snapshot -> 'explain', '{}')::text as explain_then,
    carried.last_claimed_at,
    carried.award_rows,
    carried.current_streak as carried_streak,
    carried.longest_streak as carried_longest_streak,
    carried.grace_used as carried_grace_used,
    carried.last_reward_day_id as carried_reward_day_id,
    carried.model_state::text as carried_model_state
from xp.xp_users as player
left join xp.xp_streaks as streak on player.user_id = streak.user_id
left join xp.xp_awards as award on player.user_id = award.user_id
left join xp.xp_awards_carried as carried on player.user_id = carried.user_id
where
    player.user_id > %(after_user_id)s
    and player.user_id <= %(through_user_id)s
order by player.user_id, award.reward_day_id;

-- name: stream_streak_actions
-- Every action, by player, in the order in which it was done.
select
    action.user_id,
    action.after_reward_day_id,
    action.kind,
    action.freezes,
    action.streak_day,
    action.first_day,
    action.last_day
from xp.xp_streak_actions as action
where
    action.user_id > %(after_user_id)s
    and action.user_id <= %(through_user_id)s
order by action.user_id, action.action_id;

-- name: stream_receipts
-- The receipt of every award, and whose it is, in order of receipt.
select
    award.receipt_id::text,
    player.external_user_id
from xp.xp_awards as award
inner join xp.xp_users as player on award.user_id = player.user_id
order by award.receipt_id;

-- name: check_awards_paid
-- Awards and ledger rows of claims in pairs: how many, how many without their like, two of those.
with pair as (
    select
        coalesce(award.receipt_id, entry.correlation_id)::text as receipt_id,
        coalesce(
            award.user_id = entry.user_id
            and award.xp_awarded = entry.amount
            and award.policy_key = entry.policy_key
            and award.policy_version = entry.policy_version,
            false
        ) as is_paid
    from xp.xp_awards as award
    full outer join (
        select
            entry.user_id,
            entry.amount,
            entry.correlation_id,
            entry.policy_key,
            entry.policy_version
        from xp.xp_ledger as entry
        where entry.reason = 'DAILY_LOGIN'
    ) as entry on award.receipt_id = entry.correlation_id
)

select
    count(*) as checked,
    count(*) filter (where not pair.is_paid) as violations,
    min(pair.receipt_id) filter (where not pair.is_paid) as first_example,
    max(pair.receipt_id) filter (where not pair.is_paid) as last_example
from pair;

-- name: check_season_totals
-- What each season brought each player, by the ledger, and as kept beside the balance or in the
-- results: how many, how many that differ, two of those.
with amount as (
    select
        entry.user_id,
        entry.season_id,
        entry.amount
    from xp.xp_ledger as entry
    where entry.season_id is not null
    union all
    select
        carried.user_id,
        season.season_id,
        season.amount::bigint
    from xp.xp_ledger_carried as carried
    cross join jsonb_each_text(carried.season_totals) as season (season_id, amount)
),

brought as (
    select
        amount.user_id,
        amount.season_id,
        sum(amount.amount) as season_xp
    from amount
    group by amount.user_id, amount.season_id
),

kept as (
    select
        balance.user_id,
        balance.season_id,
        balance.season_before + balance.seasonal_xp as season_xp
    from xp.xp_balance as balance
    where balance.season_id is not null
    union all
    select
        result.user_id,
        result.season_id,
        result.season_xp
    from xp.xp_season_results as result
),

pair as (
    select
        coalesce(brought.user_id, kept.user_id) as user_id,
        coalesce(brought.season_id, kept.season_id) as season_id,
        coalesce(brought.season_xp = kept.season_xp, false) as is_equal
    from brought
    full outer join kept
        on
            brought.user_id = kept.user_id
            and brought.season_id = kept.season_id
)

select
    count(*) as checked,
    count(*) filter (where not pair.is_equal) as violations,
    min(player.external_user_id || ', ' || pair.season_id)
    filter (where not pair.is_equal) as first_example,
    max(player.external_user_id || ', ' || pair.season_id)
    filter (where not pair.is_equal) as last_example
from pair
left join xp.xp_users as player on pair.user_id = player.user_id;
