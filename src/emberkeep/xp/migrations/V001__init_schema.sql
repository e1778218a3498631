-------------------------------------------------------------------------------
-- XP: players, ledger, balances, streaks, rules and awards
-------------------------------------------------------------------------------

create schema if not exists ${schema};

create or replace function ${schema}.now_utc() returns timestamptz
language sql stable
as $$ select now() $$;

comment on function ${schema}.now_utc() is
'The default of every instant. A timestamptz is an instant already: converting it to a local'
' timestamp and back would move it in every session that is not in UTC.';

-------------------------------------------------------------------------------
-- Players
-------------------------------------------------------------------------------

create table ${schema}.xp_users (
    user_id bigint generated always as identity,
    external_user_id text not null,
    reward_tz text not null,
    segment_key text null,
    created_at timestamptz not null default ${schema}.now_utc(),
    updated_at timestamptz not null default ${schema}.now_utc(),
    constraint xp_users_pk primary key (user_id)
);

create unique index xp_users_external_user_id_uidx on ${schema}.xp_users (external_user_id);
-- Serves doctor: the zones in use.
create index xp_users_reward_tz_idx on ${schema}.xp_users (reward_tz);

comment on table ${schema}.xp_users is 'A player as XP knows them; one row per platform user.';
comment on column ${schema}.xp_users.external_user_id is 'The id by which the platform calls the player.';
comment on column ${schema}.xp_users.reward_tz is 'Anchor time zone of reward days: a canonical IANA name.';
comment on column ${schema}.xp_users.segment_key is 'A cohort the player was put in by hand; rules may add more.';

-------------------------------------------------------------------------------
-- Ledger
-------------------------------------------------------------------------------

create table ${schema}.xp_ledger (
    ledger_id bigint generated always as identity,
    user_id bigint not null,
    amount bigint not null,
    reason text not null,
    correlation_id uuid not null,
    policy_key text not null,
    policy_version int not null,
    season_id text null,
    metadata jsonb not null default '{}'::jsonb,
    created_at timestamptz not null default ${schema}.now_utc(),
    constraint xp_ledger_pk primary key (ledger_id),
    constraint xp_ledger_user_fk foreign key (user_id)
    references ${schema}.xp_users (user_id) on delete cascade,
    constraint xp_ledger_amount_chk check (amount <> 0)
);

create unique index xp_ledger_correlation_id_uidx on ${schema}.xp_ledger (correlation_id);
-- Serves list_entries: a player's ledger, newest first.
create index xp_ledger_user_created_at_idx on ${schema}.xp_ledger (user_id, created_at desc);

comment on table ${schema}.xp_ledger is 'Every XP that was ever given or taken. Append-only: a correction is a new row.';
comment on column ${schema}.xp_ledger.amount is 'Signed XP: a credit is positive, a debit negative.';
comment on column ${schema}.xp_ledger.reason is 'DAILY_LOGIN for a claim; otherwise what the grant was for.';
comment on column ${schema}.xp_ledger.correlation_id is 'The receipt: the same for every retry, so that one cause is paid once.';
comment on column ${schema}.xp_ledger.policy_key is 'The policy that was in force.';
comment on column ${schema}.xp_ledger.policy_version is 'Its version; 0 where none was in force.';
comment on column ${schema}.xp_ledger.season_id is 'The season that the amount counts for, if any.';

-------------------------------------------------------------------------------
-- Balances
-------------------------------------------------------------------------------

create table ${schema}.xp_balance (
    user_id bigint not null,
    current_balance bigint not null default 0,
    lifetime_xp bigint not null default 0,
    seasonal_xp bigint not null default 0,
    season_id text null,
    updated_at timestamptz not null default ${schema}.now_utc(),
    constraint xp_balance_pk primary key (user_id),
    constraint xp_balance_user_fk foreign key (user_id)
    references ${schema}.xp_users (user_id) on delete cascade,
    constraint xp_balance_totals_chk check (
        current_balance >= 0
        and lifetime_xp >= 0
        and seasonal_xp >= 0
    )
) with (fillfactor = 80);

comment on table ${schema}.xp_balance is 'What the ledger adds up to, kept in step by a trigger on it.';
comment on column ${schema}.xp_balance.current_balance is 'The sum of every amount.';
comment on column ${schema}.xp_balance.lifetime_xp is 'The sum of the credits, and of debits marked affectsLifetime.';
comment on column ${schema}.xp_balance.seasonal_xp is 'What the season in season_id brought.';

-------------------------------------------------------------------------------
-- Streaks
-------------------------------------------------------------------------------

create table ${schema}.xp_streaks (
    user_id bigint not null,
    current_streak int not null default 0,
    longest_streak int not null default 0,
    grace_used int not null default 0,
    last_reward_day_id text null,
    model_state jsonb not null default '{}'::jsonb,
    updated_at timestamptz not null default ${schema}.now_utc(),
    constraint xp_streaks_pk primary key (user_id),
    constraint xp_streaks_user_fk foreign key (user_id)
    references ${schema}.xp_users (user_id) on delete cascade,
    constraint xp_streaks_non_negative_chk check (
        current_streak >= 0
        and longest_streak >= 0
        and grace_used >= 0
    )
) with (fillfactor = 80);

comment on table ${schema}.xp_streaks is 'What the streak engine remembers of a player between two claims.';
comment on column ${schema}.xp_streaks.last_reward_day_id is 'YYYY-MM-DD in the player''s anchor zone; only ever increases.';
comment on column ${schema}.xp_streaks.model_state is 'What the streak model keeps, such as milestones unlocked.';

-------------------------------------------------------------------------------
-- Rules
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

-------------------------------------------------------------------------------
-- Awards
-------------------------------------------------------------------------------

create table ${schema}.xp_awards (
    award_id bigint generated always as identity,
    user_id bigint not null,
    reward_day_id text not null,
    xp_awarded bigint not null,
    streak_day int not null,
    policy_key text not null,
    policy_version int not null,
    receipt_id uuid not null,
    model_state_snapshot jsonb not null default '{}'::jsonb,
    created_at timestamptz not null default ${schema}.now_utc(),
    constraint xp_awards_pk primary key (award_id),
    constraint xp_awards_user_fk foreign key (user_id)
    references ${schema}.xp_users (user_id) on delete cascade,
    constraint xp_awards_positive_chk check (xp_awarded > 0 and streak_day >= 0)
);

create unique index xp_awards_user_day_uidx on ${schema}.xp_awards (user_id, reward_day_id);

comment on table ${schema}.xp_awards is 'One row per player and reward day: the daily login was paid.';
comment on column ${schema}.xp_awards.reward_day_id is 'YYYY-MM-DD in the player''s anchor zone.';
comment on column ${schema}.xp_awards.streak_day is 'The effective day of the streak that was paid.';
comment on column ${schema}.xp_awards.receipt_id is 'The ledger row''s correlation_id.';
comment on column ${schema}.xp_awards.model_state_snapshot is 'The streak after the claim and the rest of the receipt, so that a retry gets the same figures.';
