-- The ledger, and what else is listed of a player's past.

-- name: read_standing
-- One row, or none when the player is unknown.
select
    balance.current_balance,
    balance.lifetime_xp,
    balance.seasonal_xp,
    balance.season_id,
    streak.current_streak,
    streak.longest_streak,
    streak.grace_used,
    streak.last_reward_day_id
from xp.xp_users as player
inner join xp.xp_balance as balance on player.user_id = balance.user_id
inner join xp.xp_streaks as streak on player.user_id = streak.user_id
where player.external_user_id = %(player_id)s;

-- name: insert_entry
-- Answers the row's id and the balance after it, or nothing when the player is unknown. The
-- ledger's trigger moves the balance and refuses one that would leave its bounds:
-- xp_balance_totals_chk, xp_balance_limit_chk.
-- Locks the balance before the row gets its id, so that ids are in the order in which the balance
-- moves: with rows of several seasons no other order adds up to the same.
insert into xp.xp_ledger (
    user_id,
    amount,
    reason,
    correlation_id,
    policy_key,
    policy_version,
    season_id,
    metadata,
    balance_after,
    created_at
)
select
    player.user_id,
    %(amount)s,
    %(reason)s,
    %(correlation_id)s::uuid,
    %(policy_key)s,
    %(policy_version)s,
    %(season_id)s,
    %(metadata)s::jsonb,
    balance.current_balance + %(amount)s as balance_after,
    %(created_at)s
from xp.xp_users as player
inner join xp.xp_balance as balance on player.user_id = balance.user_id
where player.external_user_id = %(player_id)s
for no key update of balance
returning ledger_id, balance_after;

-- name: read_entry
-- One row, or none when the player's ledger has no such row. Locks the player's balance, so that
-- whoever takes the row back sees those who did so before.
select
    entry.ledger_id,
    entry.amount,
    entry.reason,
    entry.correlation_id::text,
    entry.policy_key,
    entry.policy_version,
    entry.season_id,
    entry.metadata::text,
    entry.balance_after,
    entry.reverses_ledger_id,
    entry.created_at
from xp.xp_users as player
inner join xp.xp_balance as balance on player.user_id = balance.user_id
inner join xp.xp_ledger as entry on player.user_id = entry.user_id
where
    player.external_user_id = %(player_id)s
    and entry.ledger_id = %(ledger_id)s
for no key update of balance;

-- name: read_archived_through
-- The last row of the player's that was archived, or none.
select carried.through_ledger_id
from xp.xp_users as player
inner join xp.xp_ledger_carried as carried on player.user_id = carried.user_id
where player.external_user_id = %(player_id)s;

-- name: find_reversal
-- The row that takes this one back, or none.
select entry.ledger_id
from xp.xp_ledger as entry
where entry.reverses_ledger_id = %(ledger_id)s;

-- name: insert_reversal
-- Takes back a row of the player's; answers the new row's id and the balance after it. The balance
-- is locked already, by read_entry. Refused where the row was taken back: xp_ledger_reverses_uidx.
insert into xp.xp_ledger (
    user_id,
    amount,
    reason,
    correlation_id,
    policy_key,
    policy_version,
    season_id,
    metadata,
    balance_after,
    reverses_ledger_id,
    created_at
)
select
    original.user_id,
    -original.amount as amount,
    %(reason)s,
    %(correlation_id)s::uuid,
    original.policy_key,
    original.policy_version,
    original.season_id,
    %(metadata)s::jsonb,
    balance.current_balance - original.amount as balance_after,
    original.ledger_id,
    %(created_at)s
from xp.xp_ledger as original
inner join xp.xp_balance as balance on original.user_id = balance.user_id
where original.ledger_id = %(ledger_id)s
returning ledger_id, balance_after;

-- name: list_entries
-- A player's ledger before a position, newest first. The first page begins at the end of time.
select
    entry.ledger_id,
    entry.amount,
    entry.reason,
    entry.correlation_id::text,
    entry.policy_key,
    entry.policy_version,
    entry.season_id,
    entry.metadata::text,
    entry.balance_after,
    entry.reverses_ledger_id,
    entry.created_at
from xp.xp_ledger as entry
where
    entry.user_id = %(user_id)s
    and (entry.created_at, entry.ledger_id) < (%(before_at)s, %(before_id)s)
order by entry.created_at desc, entry.ledger_id desc
limit %(max_rows)s;

-- name: list_awards
-- A player's awards before a reward day, latest day first. The first page has no such day.
select
    award.user_id,
    award.reward_day_id,
    award.xp_awarded,
    award.policy_key,
    award.policy_version,
    award.receipt_id::text,
    award.model_state_snapshot::text,
    award.created_at
from xp.xp_awards as award
where
    award.user_id = %(user_id)s
    and award.reward_day_id < %(before_day_id)s
order by award.reward_day_id desc
limit %(max_rows)s;

-- name: list_timeline
-- A player's awards, ledger rows, streak actions and changes of zone before a position, newest
-- first; facts of one instant are in order of kind and id.
select
    fact.happened_at,
    fact.kind,
    fact.fact_id,
    fact.detail::text
from (
    select
        award.created_at as happened_at,
        'award' as kind,
        award.award_id as fact_id,
        jsonb_build_object(
            'receipt_id', award.receipt_id,
            'reward_day_id', award.reward_day_id,
            'xp_awarded', award.xp_awarded,
            'streak_day', award.streak_day,
            'policy_key', award.policy_key,
            'policy_version', award.policy_version
        ) as detail
    from xp.xp_awards as award
    where award.user_id = %(user_id)s
    union all
    select
        entry.created_at as happened_at,
        'ledger' as kind,
        entry.ledger_id as fact_id,
        jsonb_build_object(
            'ledger_id', entry.ledger_id,
            'amount', entry.amount,
            'reason', entry.reason,
            'correlation_id', entry.correlation_id,
            'policy_key', entry.policy_key,
            'policy_version', entry.policy_version,
            'season_id', entry.season_id,
            'metadata', entry.metadata,
            'balance_after', entry.balance_after,
            'reverses_ledger_id', entry.reverses_ledger_id
        ) as detail
    from xp.xp_ledger as entry
    where entry.user_id = %(user_id)s
    union all
    select
        action.created_at as happened_at,
        'streak_action' as kind,
        action.action_id as fact_id,
        jsonb_build_object(
            'action_id', action.action_id,
            'kind', action.kind,
            'after_reward_day_id', action.after_reward_day_id,
            'freezes', action.freezes,
            'streak_day', action.streak_day,
            'first_day', action.first_day,
            'last_day', action.last_day,
            'reason', action.reason,
            'actor', action.actor,
            'correlation_id', action.correlation_id
        ) as detail
    from xp.xp_streak_actions as action
    where action.user_id = %(user_id)s
    union all
    select
        change.requested_at as happened_at,
        'time_zone_change' as kind,
        change.change_id as fact_id,
        jsonb_build_object(
            'old_time_zone', change.old_reward_tz,
            'new_time_zone', change.new_reward_tz,
            'granted', change.is_granted,
            'effective_at', to_char(
                change.effective_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
            ),
            'actor', change.actor
        ) as detail
    from xp.xp_time_zone_changes as change
    where change.user_id = %(user_id)s
) as fact
where
    (fact.happened_at, fact.kind, fact.fact_id)
    < (%(before_at)s, %(before_kind)s, %(before_id)s)
order by fact.happened_at desc, fact.kind desc, fact.fact_id desc
limit %(max_rows)s;
