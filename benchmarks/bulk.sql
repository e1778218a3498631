-- The limit: the rows that claims write, written by one statement each for all players at once, by
-- SQL alone. What a claim decides is not decided here; only the writing is the same.

-- name: insert_claims
-- For the players of `bench_player` with these ordinals.
with claim as materialized (
    select
        player.user_id,
        %(reward_day_id)s as reward_day_id,
        (
            '00012345-6789-8000-8000-' || lpad(to_hex(player.user_id), 12, '0')
        )::uuid as receipt_id
    from bench_player as player
    where player.ordinal >= %(first)s and player.ordinal < %(last)s
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
        model_state_snapshot
    )
    select
        claim.user_id,
        claim.reward_day_id,
        100,
        1,
        'bench',
        1,
        claim.receipt_id,
        '{"streak": {"current": 1, "longest": 1, "grace_used": 0},
          "balance": {"current": 100, "lifetime": 100, "seasonal": 0},
          "explain": {"streak": "started", "missed_days": 0, "base_xp_amount": 100,
                      "curve_day_index": 0, "curve_multiplier": "1.0000",
                      "model_multiplier": "1.0000", "boost_label": null,
                      "boost_multiplier": "1.0000", "additive_bonus_xp": 0,
                      "season_id": null}}'::jsonb
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
        balance_after
    )
    select
        claim.user_id,
        100,
        'DAILY_LOGIN',
        claim.receipt_id,
        'bench',
        1,
        100
    from claim
)

update xp.xp_streaks as streak
set
    current_streak = 1,
    longest_streak = 1,
    last_reward_day_id = claim.reward_day_id,
    updated_at = now()
from claim
where streak.user_id = claim.user_id;

-- name: insert_events
-- The event of each of these claims, on the player's stream.
with stream as (
    insert into event_store.event_streams as stream (stream_id, stream_version)
    select
        'player-' || player.external_user_id,
        1
    from bench_player as player
    where player.ordinal >= %(first)s and player.ordinal < %(last)s
    on conflict (stream_id) do update set stream_version = stream.stream_version + 1
    returning stream.stream_id, stream.stream_version
)

insert into event_store.events (stream_id, stream_version, event_type, data, metadata)
select
    stream.stream_id,
    stream.stream_version,
    'DailyLoginClaimed',
    jsonb_build_object(
        'player_id', stream.stream_id,
        'receipt_id', '00012345-6789-8000-8000-000000000000',
        'reward_day_id', '2026-01-01',
        'claimed_at', '2026-01-01T00:00:00.000000Z',
        'xp_awarded', 100,
        'streak', '{"current": 1, "longest": 1, "grace_used": 0}'::jsonb,
        'policy_key', 'bench',
        'policy_version', 1,
        'segment', null,
        'season_id', null
    ),
    '{"correlation_id": "00012345-6789-8000-8000-000000000000"}'::jsonb
from stream;

-- name: create_players
-- One million players, in four zones, and an order in which each run takes them by chance.
insert into xp.xp_users (external_user_id, reward_tz)
select
    'player-' || number,
    (array['Europe/Berlin', 'America/Sao_Paulo', 'Asia/Tokyo', 'UTC'])[1 + number %% 4]
from generate_series(1, %(players)s) as number;

-- name: shuffle_players
create table bench_player as
select
    row_number() over () as ordinal,
    player.user_id,
    player.external_user_id
from (
    select
        player.user_id,
        player.external_user_id
    from xp.xp_users as player
    order by md5(player.external_user_id)
) as player;

-- name: index_players
create unique index bench_player_ordinal_uidx on bench_player (ordinal);

-- name: create_policy
insert into xp.xp_policies (policy_key, display_name, created_by)
values ('bench', 'Bench', 'bench');

-- name: create_version
insert into xp.xp_policy_versions (
    policy_key,
    policy_version,
    status,
    display_name,
    base_xp_amount,
    currency,
    claim_window_start_minutes,
    claim_window_duration_hours,
    anchor_strategy,
    grace_allowed_misses,
    grace_window_days,
    streak_model_type,
    streak_model_parameters,
    created_by
) values (
    'bench', 1, 'Draft', 'Bench', 100, 'XP', 0, 24, 'AnchorTimezone', 1, 2, 'PlateauCap',
    '{"plateau_day": 7, "plateau_multiplier": "1.5"}', 'bench'
);

-- name: create_curve
insert into xp.xp_policy_streak_curve (
    policy_key,
    policy_version,
    day_index,
    multiplier,
    additive_bonus_xp
)
select
    'bench',
    1,
    day_index,
    1 + day_index * 0.1,
    day_index
from generate_series(0, 6) as day_index;

-- name: publish_version
update xp.xp_policy_versions
set
    status = 'Published',
    effective_at = '2020-01-01T00:00:00Z',
    published_at = '2020-01-01T00:00:00Z'
where policy_key = 'bench';
