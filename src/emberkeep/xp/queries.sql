-- XP statements. Each is called by the store function of the same name.

-------------------------------------------------------------------------------
-- Claims
-------------------------------------------------------------------------------

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
    streak.current_streak,
    streak.longest_streak,
    streak.grace_used,
    streak.last_reward_day_id,
    streak.model_state::text,
    balance.current_balance,
    balance.lifetime_xp,
    balance.seasonal_xp,
    balance.season_id,
    catalogue.revision
from unnest(%(player_ids)s::text[]) as asked (external_user_id)
inner join xp.xp_users as player on asked.external_user_id = player.external_user_id
inner join xp.xp_streaks as streak on player.user_id = streak.user_id
inner join xp.xp_balance as balance on player.user_id = balance.user_id
cross join xp.xp_catalogue as catalogue
order by player.user_id;

-- name: insert_claims
-- Writes the awards, the ledger rows and the new streaks of a batch, or fails as a whole with
-- `xp_claims_stale` when a player's streak or balance, or the catalogue, is no longer what was
-- read: whoever adds a season waits for the claims under way, and those behind it must see it.
-- Locks the balances in order of player, so that two batches never wait for each other. What was
-- read of a player, and what the streak is in the end, stand with the player's last claim. The
-- ledger's trigger adds the amounts to the balances.
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
        paid.is_last,
        paid.prior_reward_day_id,
        paid.prior_balance,
        paid.prior_lifetime,
        paid.prior_seasonal
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
            %(are_last)s::boolean[],
            %(prior_reward_day_ids)s::text[],
            %(prior_balances)s::bigint[],
            %(prior_lifetimes)s::bigint[],
            %(prior_seasonals)s::bigint[]
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
                is_last,
                prior_reward_day_id,
                prior_balance,
                prior_lifetime,
                prior_seasonal
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
        claim.prior_reward_day_id
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
    returning streak.user_id
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

-------------------------------------------------------------------------------
-- Catalogue
-------------------------------------------------------------------------------

-- name: read_revision
-- How often policies, overrides or seasons have changed.
select catalogue.revision
from xp.xp_catalogue as catalogue;

-- name: list_policy_versions
-- Every version of one policy, or of all, with its curve and boosts as JSON.
select
    version.policy_key,
    version.policy_version,
    version.status,
    version.display_name,
    version.description,
    version.base_xp_amount,
    version.currency,
    version.claim_window_start_minutes,
    version.claim_window_duration_hours,
    version.claim_window_min_cooldown_hours,
    version.anchor_strategy,
    version.grace_allowed_misses,
    version.grace_window_days,
    version.streak_model_type,
    version.streak_model_parameters::text,
    version.preview_sample_window_days,
    version.preview_default_segment,
    version.effective_at,
    version.superseded_at,
    version.published_at,
    version.created_at,
    version.created_by,
    version.revision,
    coalesce(curve.entries, '[]') as curve,
    coalesce(boost.entries, '[]') as boosts
from xp.xp_policy_versions as version
left join lateral (
    select
        json_agg(
            json_build_object(
                'day_index', entry.day_index,
                'multiplier', entry.multiplier::text,
                'additive_bonus_xp', entry.additive_bonus_xp,
                'cap_next_day', entry.cap_next_day
            )
            order by entry.day_index
        )::text as entries
    from xp.xp_policy_streak_curve as entry
    where
        entry.policy_key = version.policy_key
        and entry.policy_version = version.policy_version
) as curve on true
left join lateral (
    select
        json_agg(
            json_build_object(
                'label', entry.label,
                'multiplier', entry.multiplier::text,
                'start_utc', entry.start_utc,
                'end_utc', entry.end_utc
            )
            order by entry.start_utc
        )::text as entries
    from xp.xp_policy_seasonal_boosts as entry
    where
        entry.policy_key = version.policy_key
        and entry.policy_version = version.policy_version
) as boost on true
where
    (%(policy_key)s::text is null or version.policy_key = %(policy_key)s)
    and (%(policy_version)s::int is null or version.policy_version = %(policy_version)s)
order by version.policy_key, version.policy_version;

-- name: list_overrides
-- Which version the players of a segment get, of every policy.
select
    override.policy_key,
    override.segment_key,
    override.target_policy_version
from xp.xp_policy_segment_overrides as override
order by override.policy_key, override.segment_key;

-- name: list_seasons
-- The calendar, in order.
select
    season.season_id,
    season.display_name,
    season.start_date,
    season.end_date
from xp.xp_seasons as season
order by season.start_date;

-------------------------------------------------------------------------------
-- Players
-------------------------------------------------------------------------------

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

-------------------------------------------------------------------------------
-- Ledger
-------------------------------------------------------------------------------

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
-- Answers the row's id, or nothing when the player is unknown. The ledger's trigger moves the
-- balance and refuses one that would leave its bounds: xp_balance_totals_chk, xp_balance_limit_chk.
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
    %(created_at)s
from xp.xp_users as player
inner join xp.xp_balance as balance on player.user_id = balance.user_id
where player.external_user_id = %(player_id)s
for no key update of balance
returning ledger_id;

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
-- A player's awards, ledger rows and changes of zone before a position, newest first; facts of one
-- instant are in order of kind and id.
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
            'metadata', entry.metadata
        ) as detail
    from xp.xp_ledger as entry
    where entry.user_id = %(user_id)s
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

-------------------------------------------------------------------------------
-- Life of a policy
-------------------------------------------------------------------------------

-- name: insert_policy
-- Does nothing where there is a policy of this key.
insert into xp.xp_policies (
    policy_key,
    display_name,
    description,
    created_at,
    created_by
)
values (
    %(policy_key)s,
    %(display_name)s,
    %(description)s,
    %(now)s,
    %(actor)s
)
on conflict on constraint xp_policies_pk do nothing;

-- name: lock_policy
-- Whoever would change the same policy waits here. No row when there is no such policy.
select policy.policy_key
from xp.xp_policies as policy
where policy.policy_key = %(policy_key)s
for update of policy;

-- name: list_lives
-- When each version of a policy was, is or will be in force.
select
    version.policy_version,
    version.status,
    version.revision,
    version.effective_at,
    version.superseded_at,
    version.published_at
from xp.xp_policy_versions as version
where version.policy_key = %(policy_key)s
order by version.policy_version;

-- name: insert_draft
-- Without its curve and boosts, which have statements of their own.
insert into xp.xp_policy_versions (
    policy_key,
    policy_version,
    status,
    display_name,
    description,
    base_xp_amount,
    currency,
    claim_window_start_minutes,
    claim_window_duration_hours,
    claim_window_min_cooldown_hours,
    anchor_strategy,
    grace_allowed_misses,
    grace_window_days,
    streak_model_type,
    streak_model_parameters,
    preview_sample_window_days,
    preview_default_segment,
    created_at,
    created_by
)
values (
    %(policy_key)s,
    %(policy_version)s,
    'Draft',
    %(display_name)s,
    %(description)s,
    %(base_xp_amount)s,
    %(currency)s,
    %(start_minutes)s,
    %(duration_hours)s,
    %(min_cooldown_hours)s,
    %(anchor_strategy)s,
    %(allowed_misses)s,
    %(window_days)s,
    %(model_type)s,
    %(model_parameters)s::jsonb,
    %(sample_window_days)s,
    %(default_segment)s,
    %(now)s,
    %(actor)s
);

-- name: update_draft
-- Counts the edit. Its curve and boosts are replaced by statements of their own.
update xp.xp_policy_versions
set
    display_name = %(display_name)s,
    description = %(description)s,
    base_xp_amount = %(base_xp_amount)s,
    currency = %(currency)s,
    claim_window_start_minutes = %(start_minutes)s,
    claim_window_duration_hours = %(duration_hours)s,
    claim_window_min_cooldown_hours = %(min_cooldown_hours)s,
    anchor_strategy = %(anchor_strategy)s,
    grace_allowed_misses = %(allowed_misses)s,
    grace_window_days = %(window_days)s,
    streak_model_type = %(model_type)s,
    streak_model_parameters = %(model_parameters)s::jsonb,
    preview_sample_window_days = %(sample_window_days)s,
    preview_default_segment = %(default_segment)s,
    revision = revision + 1
where
    policy_key = %(policy_key)s
    and policy_version = %(policy_version)s;

-- name: delete_curve
-- Of a draft; the database refuses it for anything else.
delete from xp.xp_policy_streak_curve
where
    policy_key = %(policy_key)s
    and policy_version = %(policy_version)s;

-- name: insert_curve
-- All rows of one draft's curve.
insert into xp.xp_policy_streak_curve (
    policy_key,
    policy_version,
    day_index,
    multiplier,
    additive_bonus_xp,
    cap_next_day
)
select
    %(policy_key)s,
    %(policy_version)s,
    entry.day_index,
    entry.multiplier::numeric,
    entry.additive_bonus_xp,
    entry.cap_next_day
from
    unnest(
        %(day_indexes)b::int[],
        %(multipliers)b::text[],
        %(additive_bonuses)b::int[],
        %(cap_next_days)b::boolean[]
    ) as entry (day_index, multiplier, additive_bonus_xp, cap_next_day)
order by entry.day_index;

-- name: delete_boosts
-- Of a draft; the database refuses it for anything else.
delete from xp.xp_policy_seasonal_boosts
where
    policy_key = %(policy_key)s
    and policy_version = %(policy_version)s;

-- name: insert_boosts
-- All boosts of one draft.
insert into xp.xp_policy_seasonal_boosts (
    policy_key,
    policy_version,
    label,
    multiplier,
    start_utc,
    end_utc
)
select
    %(policy_key)s,
    %(policy_version)s,
    entry.label,
    entry.multiplier::numeric,
    entry.start_utc,
    entry.end_utc
from
    unnest(
        %(labels)b::text[],
        %(multipliers)b::text[],
        %(starts_utc)b::timestamptz[],
        %(ends_utc)b::timestamptz[]
    ) as entry (label, multiplier, start_utc, end_utc)
order by entry.start_utc;

-- name: update_life
-- A step in the life of one version. At most one is Published: xp_policy_versions_published_uidx.
update xp.xp_policy_versions
set
    status = %(status)s,
    effective_at = %(effective_at)s,
    superseded_at = %(superseded_at)s,
    published_at = %(published_at)s
where
    policy_key = %(policy_key)s
    and policy_version = %(policy_version)s;

-- name: insert_audit
-- Who did what to a policy.
insert into xp.xp_policy_audit (
    policy_key,
    policy_version,
    step,
    actor,
    details,
    created_at
)
values (
    %(policy_key)s,
    %(policy_version)s,
    %(step)s,
    %(actor)s,
    %(details)s::jsonb,
    %(now)s
);

-- name: delete_overrides
-- Of one policy.
delete from xp.xp_policy_segment_overrides
where policy_key = %(policy_key)s;

-- name: insert_overrides
-- All overrides of one policy.
insert into xp.xp_policy_segment_overrides (
    policy_key,
    segment_key,
    target_policy_version,
    created_at,
    created_by
)
select
    %(policy_key)s,
    override.segment_key,
    override.policy_version,
    %(now)s,
    %(actor)s
from
    unnest(
        %(segment_keys)b::text[],
        %(policy_versions)b::int[]
    ) as override (segment_key, policy_version)
order by override.segment_key;

-------------------------------------------------------------------------------
-- Seasons
-------------------------------------------------------------------------------

-- name: insert_season
-- Refused where a season has the name, or some of the days: xp_seasons_pk, xp_seasons_no_overlap.
insert into xp.xp_seasons (
    season_id,
    display_name,
    start_date,
    end_date,
    created_at,
    created_by
)
values (
    %(season_id)s,
    %(display_name)s,
    %(start_date)s,
    %(end_date)s,
    %(now)s,
    %(actor)s
);

-- name: read_season
-- One row, or none when the season is unknown.
select
    season.season_id,
    season.display_name,
    season.start_date,
    season.end_date
from xp.xp_seasons as season
where season.season_id = %(season_id)s;

-- name: has_claims_after
-- Whether any player has claimed a reward day after this one. Reads every streak: for rare use.
select exists(
    select 1
    from xp.xp_streaks as streak
    where streak.last_reward_day_id > %(reward_day_id)s
);

-------------------------------------------------------------------------------
-- Summary
-------------------------------------------------------------------------------

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

-------------------------------------------------------------------------------
-- Invariants
-------------------------------------------------------------------------------

-- name: stream_ledgers
-- Every player with the balance, and each ledger row in the order in which it was written; a player
-- without rows comes once.
select
    player.external_user_id,
    balance.current_balance,
    balance.lifetime_xp,
    balance.seasonal_xp,
    balance.season_id as balance_season_id,
    entry.amount,
    entry.season_id,
    entry.metadata @> '{"affectsLifetime": true}' as affects_lifetime
from xp.xp_users as player
left join xp.xp_balance as balance on player.user_id = balance.user_id
left join xp.xp_ledger as entry on player.user_id = entry.user_id
order by player.user_id, entry.ledger_id;

-- name: stream_histories
-- Every player with the streak, and each award in order of day; a player without awards comes once.
select
    player.external_user_id,
    streak.current_streak,
    streak.longest_streak,
    streak.grace_used,
    streak.last_reward_day_id,
    streak.model_state::text,
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
    coalesce(award.model_state_snapshot -> 'explain', '{}')::text as explain_then
from xp.xp_users as player
left join xp.xp_streaks as streak on player.user_id = streak.user_id
left join xp.xp_awards as award on player.user_id = award.user_id
order by player.user_id, award.reward_day_id;

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
