-------------------------------------------------------------------------------
-- XP: old awards and ledger rows leave for files, what they add up to stays
-------------------------------------------------------------------------------

create table ${schema}.xp_archives (
    archive_id uuid not null,
    archived_before timestamptz not null,
    location text not null,
    state text not null default 'writing',
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

comment on table ${schema}.xp_archives is 'Every archive that was made, by whom and why. At most one is unfinished: the next goes on with it.';
create function ${schema}.refuse_archive_change() returns trigger
language plpgsql
as $$
declare
    may_change text[];
begin
    if tg_op = 'DELETE' then
        -- Nothing was deleted for files that were never finished.
        if old.state = 'writing' then
            return old;
        end if;
    else
        may_change := case
            when old.state = 'writing' and new.state = 'written' then array[
                'state',
                'manifest_sha256',
                'players',
                'ledger_rows',
                'award_rows',
                'net_xp'
            ]
            when old.state = 'written' and new.state = 'deleted' then array['state', 'finished_at']
            else array[]::text[]
        end;
        if
            cardinality(may_change) > 0
            and to_jsonb(old) - may_change = to_jsonb(new) - may_change
        then
            return new;
        end if;
    end if;

    raise exception 'archive % is %, and stays as it was told', old.archive_id, old.state
    using errcode = 'restrict_violation', constraint = 'xp_archives_keep_record';
end
$$;

comment on function ${schema}.refuse_archive_change() is
'Lets an archive go from writing to written to deleted, and be forgotten while it is written.';

create trigger xp_archives_keep_record
before update or delete on ${schema}.xp_archives
for each row execute function ${schema}.refuse_archive_change();

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
    awards_before bigint;
    entries ${schema}.xp_ledger[];
    entry record;
    gone record;
    award record;
    totals jsonb;
    season_now text;
    seasonal_now bigint;
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
            carried.current_balance,
            carried.lifetime_xp,
            carried.seasonal_xp,
            carried.season_id,
            carried.season_totals
        into before
        from ${schema}.xp_ledger_carried as carried
        where carried.user_id = state.user_id;
        -- A run that was broken off has come as far already.
        continue when before.through_ledger_id >= state.through_ledger_id;

        with removed as (
            delete from ${schema}.xp_ledger as stored
            where
                stored.user_id = state.user_id
                and stored.ledger_id <= state.through_ledger_id
            returning stored
        )

        select array_agg(removed.stored order by (removed.stored).ledger_id)
        into entries
        from removed;

        select
            max(removed.ledger_id) as through_ledger_id,
            count(*) as entries,
            coalesce(sum(removed.amount), 0) as amount,
            coalesce(sum(removed.amount) filter (
                where
                    removed.metadata @> '{"affectsLifetime": true}'
                    or (removed.amount > 0 and removed.reverses_ledger_id is null)
            ), 0) as lifetime_amount,
            count(*) filter (where removed.reason = 'DAILY_LOGIN') as claims
        into gone
        from unnest(entries) as removed;

        select coalesce(jsonb_object_agg(brought.season_id, brought.amount), '{}')
        into totals
        from (
            select
                part.season_id,
                sum(part.amount) as amount
            from (
                select
                    removed.season_id,
                    removed.amount
                from unnest(entries) as removed
                where removed.season_id is not null
                union all
                select
                    earlier.season_id,
                    earlier.amount::bigint
                from jsonb_each_text(before.season_totals) as earlier (season_id, amount)
            ) as part
            group by part.season_id
        ) as brought;

        -- The season moves as rules/balance.py says.
        season_now := before.season_id;
        seasonal_now := coalesce(before.seasonal_xp, 0);
        for entry in
            select
                removed.amount,
                removed.season_id,
                removed.reverses_ledger_id
            from unnest(entries) as removed
            where removed.season_id is not null
            order by removed.ledger_id
        loop
            if season_now is null or entry.season_id = season_now then
                season_now := entry.season_id;
                seasonal_now := seasonal_now + entry.amount;
            elsif entry.reverses_ledger_id is null then
                season_now := entry.season_id;
                seasonal_now := entry.amount;
            end if;
        end loop;

        if
            row(
                state.through_ledger_id,
                state.ledger_rows,
                state.current_balance,
                state.lifetime_xp,
                state.seasonal_xp,
                state.season_id,
                state.season_totals
            ) is distinct from row(
                gone.through_ledger_id,
                gone.entries + coalesce(before.ledger_rows, 0),
                gone.amount + coalesce(before.current_balance, 0),
                gone.lifetime_amount + coalesce(before.lifetime_xp, 0),
                seasonal_now,
                season_now,
                totals
            )
        then
            raise exception 'what is stored of player % is not what was archived', state.user_id
            using errcode = 'restrict_violation', constraint = 'xp_archives_same_rows';
        end if;

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

        with removed as (
            delete from ${schema}.xp_awards as stored
            where
                stored.user_id = state.user_id
                and stored.reward_day_id <= state.last_reward_day_id
            returning stored.reward_day_id, stored.created_at, stored.model_state_snapshot
        )

        select
            removed.reward_day_id,
            removed.created_at,
            removed.model_state_snapshot as snapshot,
            count(*) over () as awards
        into award
        from removed
        order by removed.reward_day_id desc
        limit 1;

        select carried.award_rows
        into awards_before
        from ${schema}.xp_awards_carried as carried
        where carried.user_id = state.user_id;

        if
            gone.claims <> coalesce(award.awards, 0)
            or row(
                state.last_reward_day_id,
                state.last_claimed_at,
                state.award_rows,
                to_jsonb(state.current_streak),
                to_jsonb(state.longest_streak),
                to_jsonb(state.grace_used),
                state.model_state
            ) is distinct from row(
                award.reward_day_id,
                award.created_at,
                award.awards + coalesce(awards_before, 0),
                award.snapshot #> '{streak,current}',
                award.snapshot #> '{streak,longest}',
                award.snapshot #> '{streak,grace_used}',
                case
                    when award.awards > 0 then coalesce(award.snapshot -> 'model_state', '{}')
                end
            )
        then
            raise exception 'what is stored of player % is not what was archived', state.user_id
            using errcode = 'restrict_violation', constraint = 'xp_archives_same_awards';
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

        if gone.claims > 0 then
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
'Deletes the rows of these players up to what an archive has of them, and keeps what they add up to: counted anew, and refused where the archive says otherwise. Answers how many ledger rows.';

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
grant insert (
    archive_id,
    archived_before,
    location,
    actor,
    reason,
    started_at
) on ${schema}.xp_archives to emberkeep_service;
grant update (
    state,
    manifest_sha256,
    players,
    ledger_rows,
    award_rows,
    net_xp,
    finished_at
) on ${schema}.xp_archives to emberkeep_service;
-- Only of one whose files were never finished: see xp_archives_keep_record.
grant delete on ${schema}.xp_archives to emberkeep_service;
grant execute on function ${schema}.archive_rows(uuid, jsonb) to emberkeep_service;
