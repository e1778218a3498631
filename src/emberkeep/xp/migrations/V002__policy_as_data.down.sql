-------------------------------------------------------------------------------
-- Takes back V002: the rules of V001 return, empty
-------------------------------------------------------------------------------

create table ${schema}.xp_rules (
    policy_key text not null,
    version int not null,
    is_active boolean not null default false,
    definition jsonb not null,
    created_by text not null,
    created_at timestamptz not null default ${schema}.now_utc(),
    updated_at timestamptz not null default ${schema}.now_utc(),
    constraint xp_rules_pk primary key (policy_key, version)
);

create unique index xp_rules_active_uidx on ${schema}.xp_rules (policy_key) where is_active;

comment on table ${schema}.xp_rules is 'Rule documents by version; replaced by the policy tables of V002.';
comment on column ${schema}.xp_rules.is_active is 'At most one version of a key is active.';

drop table ${schema}.xp_policy_segment_overrides;
drop table ${schema}.xp_policy_seasonal_boosts;
drop table ${schema}.xp_policy_streak_curve;
drop table ${schema}.xp_policy_versions;
drop table ${schema}.xp_policies;
