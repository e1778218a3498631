-- Claims: the players before them, and everything that one claim writes.

-- name: read_player_states
-- One row per player that exists, in order of player, and with each the catalogue's revision.
-- Nothing is locked: insert_claims refuses what was decided from a state that has moved on.
select
    player.user_id,
    player.external_user_id,
    player.reward_tz,
    player.next_reward_tz,
    player.next_reward_tz_at,
    player.segment_key,
    array(
        select member.segment_key
        from xp.xp_segment_members as member
        where member.user_id = player.user_id
        order by member.segment_key
    ) as segment_keys,
    player.attributes::text,
    player.created_at,
    streak.current_streak,
    streak.longest_streak,
    streak.grace_used,
    streak.last_reward_day_id,
    streak.model_state::text,
    streak.action_count,
    balance.current_balance,
    balance.lifetime_xp,
    balance.seasonal_xp,
    balance.season_id,
    balance.highest_levels::text,
    catalogue.revision
from unnest(%(player_ids)s::text[]) as asked (external_user_id)
inner join xp.xp_users as player on asked.external_user_id = player.external_user_id
inner join xp.xp_streaks as streak on player.user_id = streak.user_id
inner join xp.xp_balance as balance on player.user_id = balance.user_id
cross join xp.xp_catalogue as catalogue
order by player.user_id;

-- name: insert_claims
-- Writes the awards, the ledger rows, the new streaks and the levels reached of a batch; or fails
-- as a whole with `xp_claims_stale` when a player's streak or balance, or the catalogue, is no
-- longer what was read: whoever adds a season waits for the claims under way, and those behind it
-- must see it. Levels are looked at where some are announced: a credit and the debit that undoes it
-- leave the balance as it was, but what they announced stays announced. Locks the balances in order
-- of player, so that two batches never wait for each other. What was read of a player, and what the
-- streak is in the end, stand with the player's last claim. The ledger's trigger adds the amounts
-- to the balances.
with claim as materialized (
    select
        paid.user_id,
        paid.reward_day_id,
        paid.xp_awarded,
        paid.streak_day,
        paid.longest_streak,
        paid.grace_used,
        paid.policy_key,
        paid.policy_version,
        paid.receipt_id,
        paid.season_id,
        paid.claimed_at,
        paid.snapshot::jsonb as snapshot,
        paid.balance_after,
        paid.highest_levels::jsonb as highest_levels,
        paid.is_last,
        paid.prior_reward_day_id,
        paid.prior_action_count,
        paid.prior_balance,
        paid.prior_lifetime,
        paid.prior_seasonal,
        paid.prior_highest_levels::jsonb as prior_highest_levels
    from
        unnest(
            %(user_ids)s::bigint[],
            %(reward_day_ids)s::text[],
            %(xp_awarded)s::bigint[],
            %(streak_days)s::int[],
            %(longest_streaks)s::int[],
            %(graces_used)s::int[],
            %(policy_keys)s::text[],
            %(policy_versions)s::int[],
            %(receipt_ids)s::uuid[],
            %(season_ids)s::text[],
            %(claimed_ats)s::timestamptz[],
            %(snapshots)s::text[],
            %(balances_after)s::bigint[],
            %(highest_levels)s::text[],
            %(are_last)s::boolean[],
            %(prior_reward_day_ids)s::text[],
            %(prior_action_counts)s::int[],
            %(prior_balances)s::bigint[],
            %(prior_lifetimes)s::bigint[],
            %(prior_seasonals)s::bigint[],
            %(prior_highest_levels)s::text[]
        )
            as paid (
                user_id,
                reward_day_id,
                xp_awarded,
                streak_day,
                longest_streak,
                grace_used,
                policy_key,
                policy_version,
                receipt_id,
                season_id,
                claimed_at,
                snapshot,
                balance_after,
                highest_levels,
                is_last,
                prior_reward_day_id,
                prior_action_count,
                prior_balance,
                prior_lifetime,
                prior_seasonal,
                prior_highest_levels
            )
),

player as (
    select
        claim.user_id,
        claim.streak_day,
        claim.longest_streak,
        claim.grace_used,
        claim.reward_day_id,
        coalesce(claim.snapshot -> 'model_state', '{}') as model_state,
        claim.claimed_at,
        claim.highest_levels,
        claim.prior_reward_day_id,
        claim.prior_action_count
    from claim
    inner join xp.xp_balance as balance on claim.user_id = balance.user_id
    where
        claim.is_last
        and (
            select catalogue.revision
            from xp.xp_catalogue as catalogue
        ) = %(revision)s
        and balance.current_balance = claim.prior_balance
        and balance.lifetime_xp = claim.prior_lifetime
        and balance.seasonal_xp = claim.prior_seasonal
        and (
            claim.highest_levels is null
            or balance.highest_levels = claim.prior_highest_levels
        )
    order by claim.user_id
    for no key update of balance
),

streak_moved as (
    update xp.xp_streaks as streak
    set
        current_streak = player.streak_day,
        longest_streak = player.longest_streak,
        grace_used = player.grace_used,
        last_reward_day_id = player.reward_day_id,
        model_state = player.model_state,
        updated_at = player.claimed_at
    from player
    where
        streak.user_id = player.user_id
        and streak.last_reward_day_id is not distinct from player.prior_reward_day_id
        and streak.action_count = player.prior_action_count
    returning streak.user_id
),

level_reached as (
    update xp.xp_balance as balance
    set highest_levels = player.highest_levels
    from player
    where
        balance.user_id = player.user_id
        and player.highest_levels is not null
),

award as (
    insert into xp.xp_awards (
        user_id,
        reward_day_id,
        xp_awarded,
        streak_day,
        policy_key,
        policy_version,
        receipt_id,
        model_state_snapshot,
        created_at
    )
    select
        claim.user_id,
        claim.reward_day_id,
        claim.xp_awarded,
        claim.streak_day,
        claim.policy_key,
        claim.policy_version,
        claim.receipt_id,
        claim.snapshot,
        claim.claimed_at
    from claim
),

entry as (
    insert into xp.xp_ledger (
        user_id,
        amount,
        reason,
        correlation_id,
        policy_key,
        policy_version,
        season_id,
        balance_after,
        created_at
    )
    select
        claim.user_id,
        claim.xp_awarded,
        'DAILY_LOGIN' as reason,
        claim.receipt_id,
        claim.policy_key,
        claim.policy_version,
        claim.season_id,
        claim.balance_after,
        claim.claimed_at
    from claim
)

select xp.check_claims_fresh((select count(*) from streak_moved), %(players)s);

-- name: read_awards
-- The awards of the given players and days; what was never awarded is missing from the answer.
select
    award.user_id,
    award.reward_day_id,
    award.xp_awarded,
    award.policy_key,
    award.policy_version,
    award.receipt_id::text,
    award.model_state_snapshot::text,
    award.created_at
from unnest(%(user_ids)b::bigint[], %(reward_day_ids)b::text[]) as asked (user_id, reward_day_id)
inner join xp.xp_awards as award
    on
        asked.user_id = award.user_id
        and asked.reward_day_id = award.reward_day_id
order by award.user_id, award.reward_day_id;

-- name: insert_missing_players
-- Creates the players that are not there yet; the others stay as they are.
insert into xp.xp_users (external_user_id, reward_tz, created_at, updated_at)
select
    asked.external_user_id,
    asked.reward_tz,
    %(now)s as created_at,
    %(now)s as updated_at
from unnest(%(player_ids)b::text[], %(zones)b::text[]) as asked (external_user_id, reward_tz)
where
    not exists (
        select 1
        from xp.xp_users as player
        where player.external_user_id = asked.external_user_id
    )
order by asked.external_user_id
on conflict (external_user_id) do nothing;
