-------------------------------------------------------------------------------
-- XP: what keeps a streak through days without a claim
-------------------------------------------------------------------------------

-- squawk-ignore adding-field-with-default -- null and constants: no row is rewritten.
alter table ${schema}.xp_policy_versions
add column freezes_max_held int null,
add column freezes_earned_every_days int null,
add column pause_max_days int null,
add column pause_cooldown_days int null,
-- squawk-ignore constraint-missing-not-valid -- a policy has tens of versions, not millions.
add constraint xp_policy_versions_freezes_chk check (
    (freezes_max_held is null) = (freezes_earned_every_days is null)
    and freezes_max_held between 1 and 100
    and freezes_earned_every_days between 0 and 366
),
-- squawk-ignore constraint-missing-not-valid -- a policy has tens of versions, not millions.
add constraint xp_policy_versions_pause_chk check (
    (pause_max_days is null) = (pause_cooldown_days is null)
    and pause_max_days between 1 and 366
    and pause_cooldown_days between 0 and 366
);

comment on column ${schema}.xp_policy_versions.freezes_max_held is 'How many freezes a player can hold; none: there are no freezes.';
comment on column ${schema}.xp_policy_versions.freezes_earned_every_days is 'Claims in a row that earn a freeze; 0: they are only granted.';
comment on column ${schema}.xp_policy_versions.pause_max_days is 'How long a streak can be paused; none: not at all.';
comment on column ${schema}.xp_policy_versions.pause_cooldown_days is 'Days from the end of a pause to the next.';

-------------------------------------------------------------------------------
-- Streak actions
-------------------------------------------------------------------------------

create table ${schema}.xp_streak_actions (
    action_id bigint generated always as identity,
    user_id bigint not null,
    kind text not null,
    after_reward_day_id text null,
    freezes int null,
    streak_day int null,
    first_day date null,
    last_day date null,
    reason text not null,
    actor text not null,
    correlation_id uuid not null,
    created_at timestamptz not null default ${schema}.now_utc(),
    constraint xp_streak_actions_pk primary key (action_id),
    constraint xp_streak_actions_user_fk foreign key (user_id)
    references ${schema}.xp_users (user_id) on delete cascade,
    constraint xp_streak_actions_kind_chk check (
        kind in (
            'freezes_granted', 'paused', 'resumed', 'repaired', 'days_skipped', 'days_restored'
        )
    ),
    constraint xp_streak_actions_days_chk check (
        (first_day is null) = (last_day is null) and first_day <= last_day
    ),
    constraint xp_streak_actions_figures_chk check (freezes <> 0 and streak_day >= 0)
);

create unique index xp_streak_actions_correlation_id_uidx
on ${schema}.xp_streak_actions (correlation_id);

-- Serves list_streak_actions, and whoever folds a streak from its history.
create index xp_streak_actions_user_idx
on ${schema}.xp_streak_actions (user_id, action_id);

comment on table ${schema}.xp_streak_actions is 'What changed a streak beside claims; append-only, and folded with the awards.';
comment on column ${schema}.xp_streak_actions.after_reward_day_id is 'The last day claimed when it was done: the action comes right behind that award.';
comment on column ${schema}.xp_streak_actions.freezes is 'How many freezes the player has more, or fewer, after it.';
comment on column ${schema}.xp_streak_actions.streak_day is 'What the streak was set to.';
comment on column ${schema}.xp_streak_actions.first_day is 'The first reward day that does not count as missed, or counts again.';
comment on column ${schema}.xp_streak_actions.last_day is 'The last of these days, included.';
comment on column ${schema}.xp_streak_actions.correlation_id is 'The cause: the same for every retry.';

create trigger xp_streak_actions_refuse_update
before update or truncate on ${schema}.xp_streak_actions
for each statement execute function ${schema}.refuse_change();

create trigger xp_streak_actions_refuse_delete
after delete on ${schema}.xp_streak_actions
referencing old table as removed
for each statement execute function ${schema}.refuse_delete_before_player();

-- A constant default: no row is rewritten.
alter table ${schema}.xp_streaks
add column action_count int not null default 0;

comment on column ${schema}.xp_streaks.action_count is 'How many actions there were: a claim is written only for the number it was decided from.';

grant select, insert on ${schema}.xp_streak_actions to emberkeep_service;
