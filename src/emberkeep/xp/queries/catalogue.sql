-- Policies, overrides and seasons, as every process holds them.

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
    version.freezes_max_held,
    version.freezes_earned_every_days,
    version.pause_max_days,
    version.pause_cooldown_days,
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

-- name: list_level_curves
-- The level curve of every policy that has one.
select
    curve.policy_key,
    curve.thresholds,
    curve.revision
from xp.xp_level_curves as curve
order by curve.policy_key;
