-------------------------------------------------------------------------------
-- Takes back V013: balances know of one season only
-------------------------------------------------------------------------------

drop table ${schema}.xp_rank_markers;
drop view ${schema}.xp_standings;
-- squawk-ignore require-concurrent-index-deletion -- whoever goes back has stopped the service.
drop index ${schema}.xp_streaks_longest_idx;
-- squawk-ignore require-concurrent-index-deletion -- whoever goes back has stopped the service.
drop index ${schema}.xp_balance_season_idx;
-- squawk-ignore require-concurrent-index-deletion -- whoever goes back has stopped the service.
drop index ${schema}.xp_balance_lifetime_idx;

create or replace function ${schema}.add_seasons_to_balance(
    entries ${schema}.xp_ledger[]
) returns bigint
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
create or replace function ${schema}.add_to_balance() returns trigger
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

comment on function ${schema}.add_to_balance() is
'Keeps xp_balance in step with xp_ledger. A row of another season sets seasonal_xp to 0 first.';

drop function ${schema}.move_balance_to_season(${schema}.xp_ledger[]);
drop table ${schema}.xp_season_results;

alter table ${schema}.xp_balance drop column season_before;
