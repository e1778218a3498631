-- What the ledger adds up to. They read much of it: for reports.

-- name: list_daily_totals
-- By UTC day of the row, policy, reason and season; the rows of [from, to).
select
    (entry.created_at at time zone 'UTC')::date as day,
    entry.policy_key,
    entry.policy_version,
    entry.reason,
    entry.season_id,
    count(*) as entries,
    count(distinct entry.user_id) as players,
    coalesce(sum(entry.amount) filter (where entry.amount > 0), 0)::bigint as credits,
    coalesce(-sum(entry.amount) filter (where entry.amount < 0), 0)::bigint as debits
from xp.xp_ledger as entry
where
    entry.created_at >= %(from_at)s
    and entry.created_at < %(to_at)s
group by day, entry.policy_key, entry.policy_version, entry.reason, entry.season_id
order by day, entry.policy_key, entry.policy_version, entry.reason, entry.season_id;

-- name: read_ledger_sums
-- One row: the whole ledger and the span in it, what was archived, and all balances.
select
    span.entries as span_entries,
    span.net as span_net,
    (
        select coalesce(sum(entry.amount), 0)
        from xp.xp_ledger as entry
    )::bigint as ledger_net,
    (
        select coalesce(sum(carried.current_balance), 0)
        from xp.xp_ledger_carried as carried
    )::bigint as archived_net,
    (
        select coalesce(sum(balance.current_balance), 0)
        from xp.xp_balance as balance
    )::bigint as balances_net,
    (
        select max(archive.archived_before)
        from xp.xp_archives as archive
        where archive.state <> 'writing'
    ) as archived_before
from (
    select
        count(*) as entries,
        coalesce(sum(entry.amount), 0)::bigint as net
    from xp.xp_ledger as entry
    where
        entry.created_at >= %(from_at)s
        and entry.created_at < %(to_at)s
) as span;
