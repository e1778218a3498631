-------------------------------------------------------------------------------
-- XP: old awards and ledger rows leave for files, what they add up to stays
-------------------------------------------------------------------------------

create table ${schema}.xp_archives (
    archive_id uuid not null,
    archived_before timestamptz not null,
    location text not null,
    state text not null,
    manifest_sha256 text null,
    players bigint not null default 0,
    ledger_rows bigint not null default 0,
    award_rows bigint not null default 0,
    net_xp bigint not null default 0,
    actor text not null,
    reason text not null default '',
    started_at timestamptz not null,
    finished_at timestamptz null,
    constraint xp_archives_pk primary key (archive_id),
    constraint xp_archives_state_chk check (state in ('writing', 'written', 'deleted')),
    constraint xp_archives_written_chk check (
        (state = 'writing') = (manifest_sha256 is null)
        and (state = 'deleted') = (finished_at is not null)
    )
);

create unique index xp_archives_unfinished_uidx
on ${schema}.xp_archives ((true))
where state <> 'deleted';

comment on table ${schema}.xp_archives is 'Every archive that was made, by whom and why. At most one is unfinished: the next run goes on with it.';
comment on column ${schema}.xp_archives.archived_before is 'Rows from then on are not in it.';
comment on column ${schema}.xp_archives.location is 'Where its files were written; who moves them need not tell.';
comment on column ${schema}.xp_archives.state is 'writing; written: the files stand and were read back; deleted: so are the rows.';

create table ${schema}.xp_ledger_carried (
    user_id bigint not null,
    through_ledger_id bigint not null,
    ledger_rows bigint not null,
    current_balance bigint not null,
    lifetime_xp bigint not null,
    seasonal_xp bigint not null,
    season_id text null,
    season_totals jsonb not null default '{}'::jsonb,
    archive_id uuid not null,
    constraint xp_ledger_carried_pk primary key (user_id),
    constraint xp_ledger_carried_user_fk foreign key (user_id)
    references ${schema}.xp_users (user_id) on delete cascade
);

comment on table ${schema}.xp_ledger_carried is 'What a player''s archived ledger rows add up to: the balance with which the ledger goes on.';
comment on column ${schema}.xp_ledger_carried.through_ledger_id is 'The last row that was archived; all of the player''s before it were, too.';
comment on column ${schema}.xp_ledger_carried.season_totals is 'What each season brought up to there.';

create table ${schema}.xp_awards_carried (
    user_id bigint not null,
    last_reward_day_id text not null,
    last_claimed_at timestamptz not null,
    award_rows bigint not null,
    current_streak int not null,
    longest_streak int not null,
    grace_used int not null,
    model_state jsonb not null,
    archive_id uuid not null,
    constraint xp_awards_carried_pk primary key (user_id),
    constraint xp_awards_carried_user_fk foreign key (user_id)
    references ${schema}.xp_users (user_id) on delete cascade
);

comment on table ${schema}.xp_awards_carried is 'The streak right behind a player''s last archived award: from there the history goes on.';

-------------------------------------------------------------------------------
-- Rows leave by one door only
-------------------------------------------------------------------------------

create or replace function ${schema}.refuse_delete_before_player() returns trigger
language plpgsql
as $$
begin
    -- The function that archives says so for the length of its own transaction. Nobody else may
    -- delete from these tables to begin with.
    if current_setting('emberkeep.archiving', true) = pg_current_xact_id()::text then
        return null;
    end if;

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

create function ${schema}.archive_rows(archive_id uuid, states jsonb) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    state record;
    before record;
    gone record;
    awards_gone bigint;
    deleted bigint := 0;
begin
    perform
    from ${schema}.xp_archives as archive
    where archive.archive_id = archive_rows.archive_id and archive.state = 'written'
    for share;
    if not found then
        raise exception 'no archive % whose files are written', archive_rows.archive_id
        using errcode = 'restrict_violation', constraint = 'xp_archives_written';
    end if;

    perform set_config('emberkeep.archiving', pg_current_xact_id()::text, true);

    for state in
        select
            given.user_id,
            given.through_ledger_id,
            given.ledger_rows,
            given.current_balance,
            given.lifetime_xp,
            given.seasonal_xp,
            given.season_id,
            given.season_totals,
            given.last_reward_day_id,
            given.last_claimed_at,
            given.award_rows,
            given.current_streak,
            given.longest_streak,
            given.grace_used,
            given.model_state
        from jsonb_to_recordset(states) as given (
            user_id bigint,
            through_ledger_id bigint,
            ledger_rows bigint,
            current_balance bigint,
            lifetime_xp bigint,
            seasonal_xp bigint,
            season_id text,
            season_totals jsonb,
            last_reward_day_id text,
            last_claimed_at timestamptz,
            award_rows bigint,
            current_streak int,
            longest_streak int,
            grace_used int,
            model_state jsonb
        )
        order by given.user_id
    loop
        -- Whoever was erased since has taken everything along.
        perform
        from ${schema}.xp_users as player
        where player.user_id = state.user_id
        for key share;
        continue when not found;

        select
            carried.through_ledger_id,
            carried.ledger_rows,
            carried.current_balance
        into before
        from ${schema}.xp_ledger_carried as carried
        where carried.user_id = state.user_id;
        -- A run that was broken off has come as far already.
        continue when before.through_ledger_id >= state.through_ledger_id;

        with removed as (
            delete from ${schema}.xp_ledger as entry
            where
                entry.user_id = state.user_id
                and entry.ledger_id <= state.through_ledger_id
            returning entry.amount, entry.reason
        )

        select
            count(*) as entries,
            coalesce(sum(removed.amount), 0) as amount,
            count(*) filter (where removed.reason = 'DAILY_LOGIN') as claims
        into gone
        from removed;

        awards_gone := 0;
        if state.last_reward_day_id is not null then
            if exists (
                select 1
                from ${schema}.xp_streaks as streak
                where
                    streak.user_id = state.user_id
                    and streak.last_reward_day_id <= state.last_reward_day_id
            ) then
                raise exception 'the last award of player % must stay', state.user_id
                using errcode = 'restrict_violation', constraint = 'xp_archives_last_award';
            end if;

            delete from ${schema}.xp_awards as award
            where
                award.user_id = state.user_id
                and award.reward_day_id <= state.last_reward_day_id;
            get diagnostics awards_gone = row_count;
        end if;

        if
            gone.entries <> state.ledger_rows - coalesce(before.ledger_rows, 0)
            or gone.amount <> state.current_balance - coalesce(before.current_balance, 0)
            or gone.claims <> awards_gone
        then
            raise exception 'what is stored of player % is not what was archived', state.user_id
            using errcode = 'integrity_constraint_violation', constraint = 'xp_archives_same_rows';
        end if;

        insert into ${schema}.xp_ledger_carried as carried (
            user_id,
            through_ledger_id,
            ledger_rows,
            current_balance,
            lifetime_xp,
            seasonal_xp,
            season_id,
            season_totals,
            archive_id
        )
        values (
            state.user_id,
            state.through_ledger_id,
            state.ledger_rows,
            state.current_balance,
            state.lifetime_xp,
            state.seasonal_xp,
            state.season_id,
            state.season_totals,
            archive_rows.archive_id
        )
        on conflict on constraint xp_ledger_carried_pk do update
            set
                through_ledger_id = excluded.through_ledger_id,
                ledger_rows = excluded.ledger_rows,
                current_balance = excluded.current_balance,
                lifetime_xp = excluded.lifetime_xp,
                seasonal_xp = excluded.seasonal_xp,
                season_id = excluded.season_id,
                season_totals = excluded.season_totals,
                archive_id = excluded.archive_id;

        if awards_gone > 0 then
            insert into ${schema}.xp_awards_carried as carried (
                user_id,
                last_reward_day_id,
                last_claimed_at,
                award_rows,
                current_streak,
                longest_streak,
                grace_used,
                model_state,
                archive_id
            )
            values (
                state.user_id,
                state.last_reward_day_id,
                state.last_claimed_at,
                state.award_rows,
                state.current_streak,
                state.longest_streak,
                state.grace_used,
                state.model_state,
                archive_rows.archive_id
            )
            on conflict on constraint xp_awards_carried_pk do update
                set
                    last_reward_day_id = excluded.last_reward_day_id,
                    last_claimed_at = excluded.last_claimed_at,
                    award_rows = excluded.award_rows,
                    current_streak = excluded.current_streak,
                    longest_streak = excluded.longest_streak,
                    grace_used = excluded.grace_used,
                    model_state = excluded.model_state,
                    archive_id = excluded.archive_id;
        end if;

        deleted := deleted + gone.entries;
    end loop;

    perform set_config('emberkeep.archiving', '', true);
    return deleted;
end
$$;

comment on function ${schema}.archive_rows(uuid, jsonb) is
'Deletes the rows of these players up to what an archive has of them, and keeps what they add up to. Refuses where that is not the same. Answers how many ledger rows.';

revoke execute on function ${schema}.archive_rows(uuid, jsonb) from public;

-------------------------------------------------------------------------------
-- Whoever writes a row by hand need not know the balance, archived or not
-------------------------------------------------------------------------------

create or replace function ${schema}.fill_balance_after() returns trigger
language plpgsql
as $$
declare
    balance_before bigint;
begin
    perform
    from ${schema}.xp_balance as balance
    where balance.user_id = new.user_id
    for no key update;

    new.ledger_id := nextval(pg_get_serial_sequence('${schema}.xp_ledger', 'ledger_id'));

    select entry.balance_after
    from ${schema}.xp_ledger as entry
    where entry.user_id = new.user_id
    -- By the player's index: in the order of ids alone a player without rows would be looked for in
    -- the whole ledger.
    order by entry.ledger_id + 0 desc
    limit 1
    into balance_before;

    if not found then
        select carried.current_balance
        from ${schema}.xp_ledger_carried as carried
        where carried.user_id = new.user_id
        into balance_before;
    end if;

    new.balance_after := coalesce(balance_before, 0) + new.amount;
    return new;
end
$$;

-------------------------------------------------------------------------------
-- What happened in a span of days
-------------------------------------------------------------------------------

-- Serves list_daily_totals. Costs a claim nothing that can be measured.
-- squawk-ignore require-concurrent-index-creation -- no ledger is large before the first release.
create index xp_ledger_created_at_idx
on ${schema}.xp_ledger using brin (created_at);

grant select on
${schema}.xp_archives,
${schema}.xp_ledger_carried,
${schema}.xp_awards_carried
to emberkeep_service;
grant insert, update, delete on ${schema}.xp_archives to emberkeep_service;
grant execute on function ${schema}.archive_rows(uuid, jsonb) to emberkeep_service;
