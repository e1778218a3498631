-------------------------------------------------------------------------------
-- XP: policies as data, in versions
-------------------------------------------------------------------------------

create extension if not exists btree_gist with schema public;

create table ${schema}.xp_policies (
    policy_key text not null,
    display_name text not null,
    description text null,
    created_at timestamptz not null default ${schema}.now_utc(),
    created_by text not null,
    constraint xp_policies_pk primary key (policy_key),
    constraint xp_policies_key_chk check (policy_key ~ '^[a-z0-9]+(-[a-z0-9]+)*$')
);

comment on table ${schema}.xp_policies is 'The policies there are; what they say is in their versions.';
comment on column ${schema}.xp_policies.policy_key is 'Stable name: a lower-case slug.';

-------------------------------------------------------------------------------
-- Versions
-------------------------------------------------------------------------------

create table ${schema}.xp_policy_versions (
    policy_key text not null,
    policy_version int not null,
    status text not null,
    display_name text not null,
    description text not null default '',
    base_xp_amount int not null,
    currency text not null,
    claim_window_start_minutes int not null,
    claim_window_duration_hours int not null,
    claim_window_min_cooldown_hours int null,
    anchor_strategy text not null,
    grace_allowed_misses int not null,
    grace_window_days int not null,
    streak_model_type text not null,
    streak_model_parameters jsonb not null default '{}'::jsonb,
    preview_sample_window_days int not null default 14,
    preview_default_segment text null,
    seasonal_metadata jsonb not null default '{}'::jsonb,
    effective_at timestamptz null,
    superseded_at timestamptz null,
    published_at timestamptz null,
    created_at timestamptz not null default ${schema}.now_utc(),
    created_by text not null,
    constraint xp_policy_versions_pk primary key (policy_key, policy_version),
    constraint xp_policy_versions_policy_fk foreign key (policy_key)
    references ${schema}.xp_policies (policy_key) on delete cascade,
    constraint xp_policy_versions_version_chk check (policy_version > 0),
    constraint xp_policy_versions_status_chk check (status in ('Draft', 'Published', 'Archived')),
    constraint xp_policy_versions_published_chk check (
        status = 'Draft' or (effective_at is not null and published_at is not null)
    ),
    constraint xp_policy_versions_base_chk check (base_xp_amount > 0),
    constraint xp_policy_versions_currency_chk check (currency ~ '^[A-Z]{2,8}$'),
    constraint xp_policy_versions_window_chk check (
        claim_window_start_minutes between 0 and 1439
        and claim_window_duration_hours between 1 and 24
        and claim_window_min_cooldown_hours between 1 and 24
    ),
    constraint xp_policy_versions_anchor_chk check (
        anchor_strategy in ('AnchorTimezone', 'FixedUtc', 'ServerLocal')
    ),
    constraint xp_policy_versions_grace_chk check (
        grace_allowed_misses >= 0 and grace_window_days >= grace_allowed_misses
    ),
    constraint xp_policy_versions_preview_chk check (preview_sample_window_days > 0)
);

create unique index xp_policy_versions_published_uidx
on ${schema}.xp_policy_versions (policy_key)
where status = 'Published';

comment on table ${schema}.xp_policy_versions is 'What a policy said, version by version; only a draft ever changes.';
comment on column ${schema}.xp_policy_versions.status is 'Draft, Published or Archived; at most one Published per key.';
comment on column ${schema}.xp_policy_versions.effective_at is 'From when on it decides claims; until then its predecessor does.';
comment on column ${schema}.xp_policy_versions.superseded_at is 'From when on it no longer does.';
comment on column ${schema}.xp_policy_versions.streak_model_type is 'The name under which the streak engine has the model.';
comment on column ${schema}.xp_policy_versions.streak_model_parameters is 'The parameters of that model, as the policy document has them.';

-------------------------------------------------------------------------------
-- Streak curve
-------------------------------------------------------------------------------

create table ${schema}.xp_policy_streak_curve (
    policy_key text not null,
    policy_version int not null,
    day_index int not null,
    multiplier numeric(8, 4) not null,
    additive_bonus_xp int not null,
    cap_next_day boolean not null default false,
    constraint xp_policy_streak_curve_pk primary key (policy_key, policy_version, day_index),
    constraint xp_policy_streak_curve_version_fk foreign key (policy_key, policy_version)
    references ${schema}.xp_policy_versions (policy_key, policy_version) on delete cascade,
    constraint xp_policy_streak_curve_row_chk check (
        day_index >= 0
        and multiplier >= 0
        and additive_bonus_xp >= 0
    )
);

comment on table ${schema}.xp_policy_streak_curve is 'What each day of a streak pays.';
comment on column ${schema}.xp_policy_streak_curve.day_index is 'The streak day, from 0, without gaps.';
comment on column ${schema}.xp_policy_streak_curve.cap_next_day is 'This row is the last that is ever used.';

-------------------------------------------------------------------------------
-- Seasonal boosts
-------------------------------------------------------------------------------

create table ${schema}.xp_policy_seasonal_boosts (
    boost_id bigint generated always as identity,
    policy_key text not null,
    policy_version int not null,
    label text not null,
    multiplier numeric(8, 4) not null,
    start_utc timestamptz not null,
    end_utc timestamptz not null,
    constraint xp_policy_seasonal_boosts_pk primary key (boost_id),
    constraint xp_policy_seasonal_boosts_version_fk foreign key (policy_key, policy_version)
    references ${schema}.xp_policy_versions (policy_key, policy_version) on delete cascade,
    constraint xp_policy_seasonal_boosts_multiplier_chk check (multiplier >= 1),
    constraint xp_policy_seasonal_boosts_range_chk check (end_utc > start_utc),
    constraint xp_policy_seasonal_boosts_no_overlap exclude using gist (
        policy_key with =,
        policy_version with =,
        tstzrange(start_utc, end_utc) with &&
    )
);

comment on table ${schema}.xp_policy_seasonal_boosts is 'Multipliers for claims in [start_utc, end_utc); never two at once.';
comment on column ${schema}.xp_policy_seasonal_boosts.label is 'What operators and players call it.';

-------------------------------------------------------------------------------
-- Segment overrides
-------------------------------------------------------------------------------

create table ${schema}.xp_policy_segment_overrides (
    policy_key text not null,
    segment_key text not null,
    target_policy_version int not null,
    priority int not null default 0,
    created_at timestamptz not null default ${schema}.now_utc(),
    created_by text not null,
    constraint xp_policy_segment_overrides_pk primary key (policy_key, segment_key),
    constraint xp_policy_segment_overrides_version_fk
    foreign key (policy_key, target_policy_version)
    references ${schema}.xp_policy_versions (policy_key, policy_version) on delete cascade
);

comment on table ${schema}.xp_policy_segment_overrides is 'Which version of a policy the players of a segment get.';
comment on column ${schema}.xp_policy_segment_overrides.priority is 'The highest wins where a player is in several segments.';

-------------------------------------------------------------------------------
-- The rules of V001 were never in use
-------------------------------------------------------------------------------

-- squawk-ignore ban-drop-table -- no release ever wrote to it.
drop table ${schema}.xp_rules;
