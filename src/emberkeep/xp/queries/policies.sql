-- The life of a policy: whoever takes a step holds the policy's lock.

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
    freezes_max_held,
    freezes_earned_every_days,
    pause_max_days,
    pause_cooldown_days,
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
    %(freezes_max_held)s,
    %(freezes_earned_every_days)s,
    %(pause_max_days)s,
    %(pause_cooldown_days)s,
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
    freezes_max_held = %(freezes_max_held)s,
    freezes_earned_every_days = %(freezes_earned_every_days)s,
    pause_max_days = %(pause_max_days)s,
    pause_cooldown_days = %(pause_cooldown_days)s,
    revision = revision + 1
where
    policy_key = %(policy_key)s
    and policy_version = %(policy_version)s;

-- name: delete_draft
-- With its curve and boosts; the database refuses it for anything else.
delete from xp.xp_policy_versions
where
    policy_key = %(policy_key)s
    and policy_version = %(policy_version)s;

-- name: delete_policy
-- Of which no version is left; the database refuses it for any other.
delete from xp.xp_policies
where policy_key = %(policy_key)s;

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
