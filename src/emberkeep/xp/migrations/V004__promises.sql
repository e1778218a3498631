-------------------------------------------------------------------------------
-- XP: what the database itself promises, whoever writes
-------------------------------------------------------------------------------

-------------------------------------------------------------------------------
-- Every player has a streak and a balance from the first moment
-------------------------------------------------------------------------------

create function ${schema}.create_player_state() returns trigger
language plpgsql
as $$
begin
    insert into ${schema}.xp_streaks (user_id, updated_at)
    select player.user_id, player.created_at
    from created as player;

    insert into ${schema}.xp_balance (user_id, updated_at)
    select player.user_id, player.created_at
    from created as player;

    return null;
end
$$;

create trigger xp_users_create_state
after insert on ${schema}.xp_users
referencing new table as created
for each statement execute function ${schema}.create_player_state();

-------------------------------------------------------------------------------
-- The balance is what the ledger adds up to
-------------------------------------------------------------------------------

create function ${schema}.add_seasons_to_balance(entries ${schema}.xp_ledger[]) returns bigint
language plpgsql
as $$
declare
    settled bigint;
begin
    with mixed as (
        select
            entry.user_id,
            entry.ledger_id,
            entry.amount,
            entry.season_id,
            entry.created_at,
            entry.amount > 0 or entry.metadata @> '{"affectsLifetime": true}' as counts_for_life,
            -- The rows up to the last one with a season stand before it, those after it beside it.
            last_value(entry.season_id) over (
                partition by entry.user_id
                order by entry.season_id is not null, entry.ledger_id
                rows between unbounded preceding and unbounded following
            ) as last_season,
            min(entry.season_id) over player as least_season,
            max(entry.season_id) over player as most_season
        from unnest(entries) as entry
        window player as (partition by entry.user_id)
    ),

    last_change as (
        select
            mixed.user_id,
            max(mixed.ledger_id) as ledger_id
        from mixed
        where mixed.season_id <> mixed.last_season
        group by mixed.user_id
    )

    update ${schema}.xp_balance as balance
    set
        current_balance = balance.current_balance + delta.amount,
        lifetime_xp = balance.lifetime_xp + delta.lifetime_amount,
        seasonal_xp = delta.season_amount,
        season_id = delta.last_season,
        updated_at = greatest(balance.updated_at, delta.newest_at)
    from (
        select
            mixed.user_id,
            mixed.last_season,
            sum(mixed.amount) as amount,
            coalesce(sum(mixed.amount) filter (where mixed.counts_for_life), 0) as lifetime_amount,
            sum(mixed.amount) filter (
                where
                    mixed.season_id is not null
                    and mixed.ledger_id > last_change.ledger_id
            ) as season_amount,
            max(mixed.created_at) as newest_at
        from mixed
        inner join last_change on mixed.user_id = last_change.user_id
        where mixed.least_season <> mixed.most_season
        group by mixed.user_id, mixed.last_season
        order by mixed.user_id
    ) as delta
    where balance.user_id = delta.user_id;

    get diagnostics settled = row_count;
    return settled;
end
$$;

comment on function ${schema}.add_seasons_to_balance(${schema}.xp_ledger[]) is
'The second pass of add_to_balance: players whose rows name several seasons. Returns how many.';

-- A player whose rows in one statement name several seasons is rare: only an import does that. They
-- are left to a second pass, so that the first, which every claim pays for, stays short.
create function ${schema}.add_to_balance() returns trigger
language plpgsql
as $$
declare
    players bigint;
    settled bigint;
begin
    with delta as (
        select
            entry.user_id,
            sum(entry.amount) as amount,
            coalesce(sum(entry.amount) filter (
                where entry.amount > 0 or entry.metadata @> '{"affectsLifetime": true}'
            ), 0) as lifetime_amount,
            sum(entry.amount) filter (where entry.season_id is not null) as season_amount,
            min(entry.season_id) as least_season,
            max(entry.season_id) as most_season,
            max(entry.created_at) as newest_at
        from added as entry
        group by entry.user_id
        -- In order of player, so that two statements do not wait for each other.
        order by entry.user_id
    ),

    updated as (
        update ${schema}.xp_balance as balance
        set
            current_balance = balance.current_balance + delta.amount,
            lifetime_xp = balance.lifetime_xp + delta.lifetime_amount,
            seasonal_xp = case
                when delta.most_season is null then balance.seasonal_xp
                when delta.most_season = balance.season_id
                    then balance.seasonal_xp + delta.season_amount
                else delta.season_amount
            end,
            season_id = coalesce(delta.most_season, balance.season_id),
            updated_at = greatest(balance.updated_at, delta.newest_at)
        from delta
        where
            balance.user_id = delta.user_id
            and delta.least_season is not distinct from delta.most_season
        returning 1
    )

    select
        (select count(*) from delta),
        (select count(*) from updated)
    into players, settled;

    if settled < players then
        settled := settled + ${schema}.add_seasons_to_balance(
            array(select row(entry.*)::${schema}.xp_ledger from added as entry)
        );
    end if;

    if settled < players then
        raise exception 'a player of the ledger has no balance'
        using errcode = 'foreign_key_violation', constraint = 'xp_ledger_has_balance';
    end if;

    return null;
end
$$;

create trigger xp_ledger_add_to_balance
after insert on ${schema}.xp_ledger
referencing new table as added
for each statement execute function ${schema}.add_to_balance();

comment on function ${schema}.add_to_balance() is
'Keeps xp_balance in step with xp_ledger. A row of another season sets seasonal_xp to 0 first.';

-------------------------------------------------------------------------------
-- A claim is written only for the state it was decided from
-------------------------------------------------------------------------------

create function ${schema}.check_claims_fresh(fresh bigint, expected bigint) returns bigint
language plpgsql
as $$
begin
    if fresh <> expected then
        raise exception '% of % players have moved on since they were read', expected - fresh, expected
        using
            errcode = 'serialization_failure',
            constraint = 'xp_claims_stale',
            hint = 'Read the players again and decide again.';
    end if;

    return fresh;
end
$$;

comment on function ${schema}.check_claims_fresh(bigint, bigint) is
'Fails the whole statement when some of its players were changed by somebody else meanwhile.';

-------------------------------------------------------------------------------
-- Ledger and awards are only ever added to
-------------------------------------------------------------------------------

create function ${schema}.refuse_change() returns trigger
language plpgsql
as $$
begin
    raise exception '%.% is append-only', tg_table_schema, tg_table_name
    using
        errcode = 'restrict_violation',
        constraint = tg_table_name || '_append_only',
        hint = 'Write a compensating row. Rows go only with their player.';
end
$$;

-- Erasing a player deletes by cascade: by then the player is gone, and nothing else is let through.
create function ${schema}.refuse_delete_before_player() returns trigger
language plpgsql
as $$
begin
    if exists (
        select 1
        from removed
        inner join ${schema}.xp_users as player on removed.user_id = player.user_id
    ) then
        raise exception '%.% is append-only', tg_table_schema, tg_table_name
        using
            errcode = 'restrict_violation',
            constraint = tg_table_name || '_append_only',
            hint = 'Write a compensating row. Rows go only with their player.';
    end if;

    return null;
end
$$;

create trigger xp_ledger_refuse_update
before update or truncate on ${schema}.xp_ledger
for each statement execute function ${schema}.refuse_change();

create trigger xp_ledger_refuse_delete
after delete on ${schema}.xp_ledger
referencing old table as removed
for each statement execute function ${schema}.refuse_delete_before_player();

create trigger xp_awards_refuse_update
before update or truncate on ${schema}.xp_awards
for each statement execute function ${schema}.refuse_change();

create trigger xp_awards_refuse_delete
after delete on ${schema}.xp_awards
referencing old table as removed
for each statement execute function ${schema}.refuse_delete_before_player();

-------------------------------------------------------------------------------
-- A version that was ever published never changes what it says
-------------------------------------------------------------------------------

create function ${schema}.guard_policy_version() returns trigger
language plpgsql
as $$
declare
    said_before jsonb;
    says_now jsonb;
    life constant text[] := array['status', 'effective_at', 'superseded_at', 'published_at'];
begin
    if old.status = 'Draft' and (tg_op = 'DELETE' or new.status in ('Draft', 'Published')) then
        return case when tg_op = 'DELETE' then old else new end;
    end if;

    if tg_op = 'UPDATE' and new.status <> 'Draft' then
        said_before := to_jsonb(old) - life;
        says_now := to_jsonb(new) - life;
        if said_before = says_now then
            return new;
        end if;
    end if;

    raise exception 'version % of policy % is %: it never changes',
        old.policy_version, old.policy_key, old.status
    using
        errcode = 'restrict_violation',
        constraint = 'xp_policy_versions_immutable',
        hint = 'Create a new version.';
end
$$;

create trigger xp_policy_versions_guard
before update or delete on ${schema}.xp_policy_versions
for each row execute function ${schema}.guard_policy_version();

-- Looks where a row comes from and where it goes: an update may move it between versions.
create function ${schema}.guard_policy_part() returns trigger
language plpgsql
as $$
declare
    published record;
begin
    select
        version.policy_key,
        version.policy_version
    from ${schema}.xp_policy_versions as version
    where
        version.status <> 'Draft'
        and (
            (
                tg_op <> 'INSERT'
                and version.policy_key = old.policy_key
                and version.policy_version = old.policy_version
            )
            or (
                tg_op <> 'DELETE'
                and version.policy_key = new.policy_key
                and version.policy_version = new.policy_version
            )
        )
    into published;

    if found then
        raise exception 'version % of policy % is published: it never changes',
            published.policy_version, published.policy_key
        using
            errcode = 'restrict_violation',
            constraint = 'xp_policy_versions_immutable',
            hint = 'Create a new version.';
    end if;

    return case when tg_op = 'DELETE' then old else new end;
end
$$;

create trigger xp_policy_streak_curve_guard
before insert or update or delete on ${schema}.xp_policy_streak_curve
for each row execute function ${schema}.guard_policy_part();

create trigger xp_policy_seasonal_boosts_guard
before insert or update or delete on ${schema}.xp_policy_seasonal_boosts
for each row execute function ${schema}.guard_policy_part();

-------------------------------------------------------------------------------
-- Who did what to a policy, and why
-------------------------------------------------------------------------------

create table ${schema}.xp_policy_audit (
    audit_id bigint generated always as identity,
    policy_key text not null,
    policy_version int not null,
    step text not null,
    actor text not null,
    reason text not null default '',
    details jsonb not null default '{}'::jsonb,
    created_at timestamptz not null default ${schema}.now_utc(),
    constraint xp_policy_audit_pk primary key (audit_id)
);

-- Serves list_policy_audit: the life of one policy, newest first.
create index xp_policy_audit_policy_idx
on ${schema}.xp_policy_audit (policy_key, audit_id desc);

comment on table ${schema}.xp_policy_audit is 'Every step in the life of every policy; append-only.';
comment on column ${schema}.xp_policy_audit.actor is 'Who did it: the subject of the token, or the command.';

create trigger xp_policy_audit_refuse_change
before update or delete or truncate on ${schema}.xp_policy_audit
for each statement execute function ${schema}.refuse_change();

-------------------------------------------------------------------------------
-- Every process can see that policies or seasons have changed
-------------------------------------------------------------------------------

create table ${schema}.xp_catalogue (
    is_only_row boolean not null default true,
    revision bigint not null default 1,
    constraint xp_catalogue_pk primary key (is_only_row),
    constraint xp_catalogue_is_only_row_chk check (is_only_row)
);

insert into ${schema}.xp_catalogue default values;

comment on table ${schema}.xp_catalogue is 'One row: how often policies, overrides or seasons have changed.';
comment on column ${schema}.xp_catalogue.revision is 'Read with every batch of claims; another number means: load again.';

create function ${schema}.touch_catalogue() returns trigger
language plpgsql
as $$
begin
    update ${schema}.xp_catalogue set revision = revision + 1 where is_only_row;
    notify emberkeep_xp_catalogue;
    return null;
end
$$;

create trigger xp_policy_versions_touch_catalogue
after insert or update or delete on ${schema}.xp_policy_versions
for each statement execute function ${schema}.touch_catalogue();

create trigger xp_policy_segment_overrides_touch_catalogue
after insert or update or delete on ${schema}.xp_policy_segment_overrides
for each statement execute function ${schema}.touch_catalogue();

create trigger xp_seasons_touch_catalogue
after insert or update or delete on ${schema}.xp_seasons
for each statement execute function ${schema}.touch_catalogue();

-------------------------------------------------------------------------------
-- A player's time zone changes at a boundary, not at once
-------------------------------------------------------------------------------

alter table ${schema}.xp_users
add column attributes jsonb not null default '{}'::jsonb,
add column next_reward_tz text null,
add column next_reward_tz_at timestamptz null,
-- squawk-ignore constraint-missing-not-valid -- both columns are new, and empty.
add constraint xp_users_next_zone_chk check (
    (next_reward_tz is null) = (next_reward_tz_at is null)
);

comment on column ${schema}.xp_users.attributes is 'What the platform says of the player; segment rules read it.';
comment on column ${schema}.xp_users.next_reward_tz is 'The zone that holds from next_reward_tz_at on.';
comment on column ${schema}.xp_users.next_reward_tz_at is 'A boundary of reward_tz: no day is lost or doubled by a change.';

create table ${schema}.xp_time_zone_changes (
    change_id bigint generated always as identity,
    user_id bigint not null,
    old_reward_tz text not null,
    new_reward_tz text not null,
    is_granted boolean not null,
    requested_at timestamptz not null,
    effective_at timestamptz null,
    actor text not null,
    constraint xp_time_zone_changes_pk primary key (change_id),
    constraint xp_time_zone_changes_user_fk foreign key (user_id)
    references ${schema}.xp_users (user_id) on delete cascade,
    constraint xp_time_zone_changes_granted_chk check (is_granted = (effective_at is not null))
);

-- Serves read_last_zone_change and list_zone_changes.
create index xp_time_zone_changes_user_idx
on ${schema}.xp_time_zone_changes (user_id, requested_at desc);

comment on table ${schema}.xp_time_zone_changes is 'Every request to change a reward time zone, granted or refused.';
comment on column ${schema}.xp_time_zone_changes.effective_at is 'From when the new zone holds; empty for a refusal.';

create trigger xp_time_zone_changes_refuse_update
before update or truncate on ${schema}.xp_time_zone_changes
for each statement execute function ${schema}.refuse_change();

create trigger xp_time_zone_changes_refuse_delete
after delete on ${schema}.xp_time_zone_changes
referencing old table as removed
for each statement execute function ${schema}.refuse_delete_before_player();

-------------------------------------------------------------------------------
-- The role that runs the service: it adds facts, and cannot take any back
-------------------------------------------------------------------------------

do $$
begin
    if not exists (select 1 from pg_roles where rolname = 'emberkeep_service') then
        create role emberkeep_service nologin;
    end if;
exception
    when duplicate_object or unique_violation then null;
end
$$;

grant usage on schema ${schema} to emberkeep_service;
grant select on all tables in schema ${schema} to emberkeep_service;
-- Seasons too: one that has restarted streaks cannot have ended on another day.
grant insert on
${schema}.xp_ledger,
${schema}.xp_awards,
${schema}.xp_policy_audit,
${schema}.xp_time_zone_changes,
${schema}.xp_seasons
to emberkeep_service;
grant insert, update on
${schema}.xp_balance,
${schema}.xp_streaks,
${schema}.xp_policies,
${schema}.xp_catalogue
to emberkeep_service;
grant insert, update, delete on
${schema}.xp_users,
${schema}.xp_policy_versions,
${schema}.xp_policy_streak_curve,
${schema}.xp_policy_seasonal_boosts,
${schema}.xp_policy_segment_overrides
to emberkeep_service;
