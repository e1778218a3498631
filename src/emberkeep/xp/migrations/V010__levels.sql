-------------------------------------------------------------------------------
-- XP: levels, by how much a player has ever earned
-------------------------------------------------------------------------------

create table ${schema}.xp_level_curves (
    policy_key text not null,
    thresholds bigint[] not null,
    revision int not null default 1,
    created_at timestamptz not null default ${schema}.now_utc(),
    created_by text not null,
    updated_at timestamptz not null default ${schema}.now_utc(),
    updated_by text not null,
    constraint xp_level_curves_pk primary key (policy_key),
    constraint xp_level_curves_policy_fk foreign key (policy_key)
    references ${schema}.xp_policies (policy_key) on delete cascade,
    constraint xp_level_curves_thresholds_chk check (
        array_ndims(thresholds) = 1
        and cardinality(thresholds) between 1 and 1000
        and array_position(thresholds, null) is null
        and thresholds[1] > 0
    )
);

comment on table ${schema}.xp_level_curves is 'How much lifetime XP each level takes, by policy.';
comment on column ${schema}.xp_level_curves.thresholds is 'Ascending: the n-th is where level n + 1 begins. Level 1 begins at 0.';
comment on column ${schema}.xp_level_curves.revision is 'Counts the edits: the ETag.';

create trigger xp_level_curves_touch_catalogue
after insert or update or delete on ${schema}.xp_level_curves
for each statement execute function ${schema}.touch_catalogue();

-- A constant default: no row is rewritten.
alter table ${schema}.xp_balance
add column highest_levels jsonb not null default '{}'::jsonb;

comment on column ${schema}.xp_balance.highest_levels is 'The highest level that was announced, by policy: each is announced once.';

grant select, insert, update, delete on ${schema}.xp_level_curves to emberkeep_service;
