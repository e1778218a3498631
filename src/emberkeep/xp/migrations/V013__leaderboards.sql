-------------------------------------------------------------------------------
-- XP: who has most, by index; and what a season brought outlives the season
-------------------------------------------------------------------------------

-- A constant default: no row is rewritten.
alter table ${schema}.xp_balance
add column season_before bigint not null default 0;

comment on column ${schema}.xp_balance.season_before is 'What the season in season_id had brought before the balance left it and came back; with seasonal_xp it is all of it.';

create table ${schema}.xp_season_results (
    user_id bigint not null,
    season_id text not null,
    season_xp bigint not null,
    updated_at timestamptz not null,
    constraint xp_season_results_pk primary key (user_id, season_id),
    constraint xp_season_results_user_fk foreign key (user_id)
    references ${schema}.xp_users (user_id) on delete cascade
);

comment on table ${schema}.xp_season_results is 'What each season brought a player whose balance has moved on to another.';
comment on column ${schema}.xp_season_results.season_xp is 'The sum of every amount of that season. The season that a balance is in is not here.';

-------------------------------------------------------------------------------
-- The balance is what the ledger adds up to, and so are the seasons behind it
-------------------------------------------------------------------------------

-- Rows of one season that is not the balance's: what a player's first claim in a season writes.
create function ${schema}.move_balance_to_season(entries ${schema}.xp_ledger[]) returns bigint
language plpgsql
as $$
declare
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
            max(entry.season_id) as season_id,
            max(entry.created_at) as newest_at
        from unnest(entries) as entry
        group by entry.user_id
        having
            min(entry.season_id) = max(entry.season_id)
            and count(entry.reverses_ledger_id) = 0
    ),

    leaving as (
        select
            delta.user_id,
            delta.amount,
            delta.lifetime_amount,
            delta.season_amount,
            delta.season_id,
            delta.newest_at,
            balance.season_id as left_season_id,
            balance.season_before + balance.seasonal_xp as left_xp
        from delta
        inner join ${schema}.xp_balance as balance on delta.user_id = balance.user_id
        where balance.season_id <> delta.season_id
    ),

    kept as (
        insert into ${schema}.xp_season_results (user_id, season_id, season_xp, updated_at)
        select
            leaving.user_id,
            leaving.left_season_id,
            leaving.left_xp,
            leaving.newest_at
        from leaving
    ),

    resumed as (
        delete from ${schema}.xp_season_results as result
        using leaving
        where
            result.user_id = leaving.user_id
            and result.season_id = leaving.season_id
        returning result.user_id, result.season_xp
    )

    update ${schema}.xp_balance as balance
    set
        current_balance = balance.current_balance + leaving.amount,
        lifetime_xp = balance.lifetime_xp + leaving.lifetime_amount,
        seasonal_xp = leaving.season_amount,
        season_before = coalesce(resumed.season_xp, 0),
        season_id = leaving.season_id,
        updated_at = greatest(balance.updated_at, leaving.newest_at)
    from leaving
    left join resumed on leaving.user_id = resumed.user_id
    where balance.user_id = leaving.user_id;

    get diagnostics settled = row_count;
    return settled;
end
$$;

comment on function ${schema}.move_balance_to_season(${schema}.xp_ledger[]) is
'The second pass of add_to_balance: players whose rows all move them to one other season. Returns how many.';

-- One player after the other, row by row: only imports, corrections and reversals come here. The
-- season moves as rules/balance.py says; the total of a season is a sum, in whatever order.
create or replace function ${schema}.add_seasons_to_balance(
    entries ${schema}.xp_ledger[]
) returns bigint
language plpgsql
as $$
declare
    player record;
    entry record;
    stood record;
    season_now text;
    seasonal_now bigint;
    total bigint;
    settled bigint := 0;
begin
    for player in
        select
            added.user_id,
            sum(added.amount) as amount,
            coalesce(sum(added.amount) filter (
                where
                    added.metadata @> '{"affectsLifetime": true}'
                    or (added.amount > 0 and added.reverses_ledger_id is null)
            ), 0) as lifetime_amount,
            max(added.created_at) as newest_at
        from unnest(entries) as added
        group by added.user_id
        having
            min(added.season_id) <> max(added.season_id)
            or count(added.reverses_ledger_id) > 0
        order by added.user_id
    loop
        select
            balance.season_id,
            balance.seasonal_xp,
            balance.season_before
        into stood
        from ${schema}.xp_balance as balance
        where balance.user_id = player.user_id
        for no key update;
        continue when not found;

        settled := settled + 1;
        season_now := stood.season_id;
        seasonal_now := stood.seasonal_xp;
        for entry in
            select
                added.amount,
                added.season_id,
                added.reverses_ledger_id
            from unnest(entries) as added
            where added.user_id = player.user_id and added.season_id is not null
            order by added.ledger_id
        loop
            if season_now is null or entry.season_id = season_now then
                season_now := entry.season_id;
                seasonal_now := seasonal_now + entry.amount;
            elsif entry.reverses_ledger_id is null then
                season_now := entry.season_id;
                seasonal_now := entry.amount;
            end if;
        end loop;

        if stood.season_id is not null then
            insert into ${schema}.xp_season_results (user_id, season_id, season_xp, updated_at)
            values (
                player.user_id,
                stood.season_id,
                stood.season_before + stood.seasonal_xp,
                player.newest_at
            );
        end if;

        insert into ${schema}.xp_season_results as result (
            user_id,
            season_id,
            season_xp,
            updated_at
        )
        select
            player.user_id,
            added.season_id,
            sum(added.amount) as season_xp,
            max(added.created_at) as updated_at
        from unnest(entries) as added
        where added.user_id = player.user_id and added.season_id is not null
        group by added.season_id
        on conflict on constraint xp_season_results_pk do update
            set
                season_xp = result.season_xp + excluded.season_xp,
                updated_at = greatest(result.updated_at, excluded.updated_at);

        delete from ${schema}.xp_season_results as result
        where result.user_id = player.user_id and result.season_id = season_now
        returning result.season_xp into total;

        update ${schema}.xp_balance as balance
        set
            current_balance = balance.current_balance + player.amount,
            lifetime_xp = balance.lifetime_xp + player.lifetime_amount,
            seasonal_xp = seasonal_now,
            season_before = coalesce(total, 0) - seasonal_now,
            season_id = season_now,
            updated_at = greatest(balance.updated_at, player.newest_at)
        where balance.user_id = player.user_id;
    end loop;

    return settled;
end
$$;

comment on function ${schema}.add_seasons_to_balance(${schema}.xp_ledger[]) is
'The last pass of add_to_balance: players whose rows name several seasons, or reverse others. Returns how many.';

-- Most rows are of the balance's own season, or of none. The others are left to further passes, so
-- that the first, which every claim pays for, stays short.
create or replace function ${schema}.add_to_balance() returns trigger
language plpgsql
as $$
declare
    players bigint;
    settled bigint;
    entries ${schema}.xp_ledger[];
begin
    with delta as (
        select
            entry.user_id,
            sum(entry.amount) as amount,
            coalesce(sum(entry.amount) filter (
                where entry.amount > 0 or entry.metadata @> '{"affectsLifetime": true}'
            ), 0) as lifetime_amount,
            coalesce(sum(entry.amount) filter (
                where entry.season_id is not null
            ), 0) as season_amount,
            min(entry.season_id) as least_season,
            max(entry.season_id) as most_season,
            count(entry.reverses_ledger_id) as reversals,
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
            seasonal_xp = balance.seasonal_xp + delta.season_amount,
            season_id = coalesce(delta.most_season, balance.season_id),
            updated_at = greatest(balance.updated_at, delta.newest_at)
        from delta
        where
            balance.user_id = delta.user_id
            and delta.reversals = 0
            and delta.least_season is not distinct from delta.most_season
            and coalesce(delta.most_season = balance.season_id, true)
        returning 1
    )

    select
        (select count(*) from delta),
        (select count(*) from updated)
    into players, settled;

    if settled < players then
        entries := array(select row(entry.*)::${schema}.xp_ledger from added as entry);
        settled := settled + ${schema}.move_balance_to_season(entries);
    end if;

    if settled < players then
        settled := settled + ${schema}.add_seasons_to_balance(entries);
    end if;

    if settled < players then
        raise exception 'a player of the ledger has no balance'
        using errcode = 'foreign_key_violation', constraint = 'xp_ledger_has_balance';
    end if;

    return null;
end
$$;

comment on function ${schema}.add_to_balance() is
'Keeps xp_balance and xp_season_results in step with xp_ledger. A row of another season sets seasonal_xp to 0 first. A reversal never moves the season, and counts for life only where it says so.';

-- What stands in the ledger already.
with brought as (
    select
        entry.user_id,
        entry.season_id,
        sum(entry.amount) as season_xp,
        max(entry.created_at) as updated_at
    from ${schema}.xp_ledger as entry
    where entry.season_id is not null
    group by entry.user_id, entry.season_id
),

kept as (
    insert into ${schema}.xp_season_results (user_id, season_id, season_xp, updated_at)
    select
        brought.user_id,
        brought.season_id,
        brought.season_xp,
        brought.updated_at
    from brought
    inner join ${schema}.xp_balance as balance on brought.user_id = balance.user_id
    where brought.season_id <> balance.season_id
)

update ${schema}.xp_balance as balance
set season_before = brought.season_xp - balance.seasonal_xp
from brought
where
    balance.user_id = brought.user_id
    and balance.season_id = brought.season_id
    and balance.seasonal_xp <> brought.season_xp;

-------------------------------------------------------------------------------
-- Leaderboards
-------------------------------------------------------------------------------

-- All serve xp_standings.
-- squawk-ignore require-concurrent-index-creation -- no table is large before the first release.
create index xp_balance_lifetime_idx
on ${schema}.xp_balance (lifetime_xp, user_id)
where lifetime_xp > 0;

-- squawk-ignore require-concurrent-index-creation -- no table is large before the first release.
create index xp_balance_season_idx
on ${schema}.xp_balance (season_id, (season_before + seasonal_xp), user_id)
where season_before + seasonal_xp > 0;

create index xp_season_results_season_idx
on ${schema}.xp_season_results (season_id, season_xp, user_id)
where season_xp > 0;

-- squawk-ignore require-concurrent-index-creation -- no table is large before the first release.
create index xp_streaks_longest_idx
on ${schema}.xp_streaks ((longest_streak::bigint), user_id)
where longest_streak::bigint > 0;

-- Without conditions of its own: only so are the indexes read in order, and merged.
create view ${schema}.xp_standings as
select
    'lifetime'::text as board,
    ''::text as season_id,
    balance.lifetime_xp as score,
    balance.user_id
from ${schema}.xp_balance as balance
union all
select
    'season'::text as board,
    balance.season_id,
    balance.season_before + balance.seasonal_xp as score,
    balance.user_id
from ${schema}.xp_balance as balance
union all
select
    'season'::text as board,
    result.season_id,
    result.season_xp as score,
    result.user_id
from ${schema}.xp_season_results as result
union all
select
    'streak'::text as board,
    ''::text as season_id,
    streak.longest_streak::bigint as score,
    streak.user_id
from ${schema}.xp_streaks as streak;

comment on view ${schema}.xp_standings is
'Every player on each board, those without a score too. Whoever names board and season, and a score above 0, is answered by index.';

create table ${schema}.xp_rank_markers (
    board text not null,
    season_id text not null,
    place bigint not null,
    score bigint not null,
    user_id bigint not null,
    as_of timestamptz not null,
    constraint xp_rank_markers_pk primary key (board, season_id, place)
);

comment on table ${schema}.xp_rank_markers is 'Every n-th player of each board: ranks far down are counted from the nearest, not from the top.';
comment on column ${schema}.xp_rank_markers.place is 'How many players stood before this one.';
comment on column ${schema}.xp_rank_markers.as_of is 'When that was so.';

grant select, insert, update, delete on
${schema}.xp_season_results,
${schema}.xp_rank_markers
to emberkeep_service;
grant select on ${schema}.xp_standings to emberkeep_service;
