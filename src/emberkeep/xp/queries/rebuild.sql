-- Balances and streaks that are folded from their history again, a chunk of players at a time.

-- name: list_user_ids
-- The next players behind one, in order.
select player.user_id
from xp.xp_users as player
where player.user_id > %(after_user_id)s
order by player.user_id
limit %(max_rows)s;

-- name: lock_streaks
-- Claims of these players wait until the chunk is through. In order of player, as claims lock.
select streak.user_id
from xp.xp_streaks as streak
where
    streak.user_id > %(after_user_id)s
    and streak.user_id <= %(through_user_id)s
order by streak.user_id
for no key update of streak;

-- name: lock_balances
-- Whoever writes to the ledger of these players waits until the chunk is through.
select balance.user_id
from xp.xp_balance as balance
where
    balance.user_id > %(after_user_id)s
    and balance.user_id <= %(through_user_id)s
order by balance.user_id
for no key update of balance;

-- name: put_streak
-- Needs the lock of lock_streaks, unless there is no such row. Counts as an action, so that a claim
-- that was decided by the streak of before is decided again.
insert into xp.xp_streaks as streak (
    user_id,
    current_streak,
    longest_streak,
    grace_used,
    last_reward_day_id,
    model_state,
    action_count,
    updated_at
)
select
    %(user_id)s,
    %(current_streak)s,
    %(longest_streak)s,
    %(grace_used)s,
    %(last_reward_day_id)s,
    %(model_state)s::jsonb,
    count(*) as action_count,
    %(now)s
from xp.xp_streak_actions as action
where action.user_id = %(user_id)s
on conflict (user_id) do update
    set
        current_streak = excluded.current_streak,
        longest_streak = excluded.longest_streak,
        grace_used = excluded.grace_used,
        last_reward_day_id = excluded.last_reward_day_id,
        model_state = excluded.model_state,
        action_count = greatest(streak.action_count, excluded.action_count) + 1,
        updated_at = excluded.updated_at;

-- name: put_balance
-- Needs the lock of lock_balances, unless there is no such row. What the seasons brought is added
-- up anew with it: of the balance's own season beside the balance, of the others in the results.
with amount as (
    select
        entry.season_id,
        entry.amount
    from xp.xp_ledger as entry
    where
        entry.user_id = %(user_id)s
        and entry.season_id is not null
    union all
    select
        season.season_id,
        season.amount::bigint
    from xp.xp_ledger_carried as carried
    cross join jsonb_each_text(carried.season_totals) as season (season_id, amount)
    where carried.user_id = %(user_id)s
),

brought as (
    select
        amount.season_id,
        sum(amount.amount)::bigint as season_xp
    from amount
    group by amount.season_id
),

strange as (
    delete from xp.xp_season_results as result
    where
        result.user_id = %(user_id)s
        and (
            result.season_id = %(season_id)s
            or not exists (
                select 1
                from brought
                where brought.season_id = result.season_id
            )
        )
),

result as (
    insert into xp.xp_season_results as result (user_id, season_id, season_xp, updated_at)
    select
        %(user_id)s,
        brought.season_id,
        brought.season_xp,
        %(now)s
    from brought
    where brought.season_id is distinct from %(season_id)s
    on conflict on constraint xp_season_results_pk do update
        set season_xp = excluded.season_xp
        where result.season_xp <> excluded.season_xp
)

insert into xp.xp_balance (
    user_id,
    current_balance,
    lifetime_xp,
    seasonal_xp,
    season_before,
    season_id,
    updated_at
)
select
    %(user_id)s,
    %(current_balance)s,
    %(lifetime_xp)s,
    %(seasonal_xp)s::bigint,
    coalesce(
        (
            select brought.season_xp - %(seasonal_xp)s::bigint
            from brought
            where brought.season_id = %(season_id)s
        ),
        0
    ) as season_before,
    %(season_id)s,
    %(now)s
on conflict (user_id) do update
    set
        current_balance = excluded.current_balance,
        lifetime_xp = excluded.lifetime_xp,
        seasonal_xp = excluded.seasonal_xp,
        season_before = excluded.season_before,
        season_id = excluded.season_id,
        updated_at = excluded.updated_at;
