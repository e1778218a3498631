-------------------------------------------------------------------------------
-- Takes back V012: nothing is archived. Refused where something was: balances would not add up
-------------------------------------------------------------------------------

do $$
begin
    if exists (select 1 from ${schema}.xp_ledger_carried) then
        raise exception 'rows were archived: without what they add up to, nothing would'
        using errcode = 'restrict_violation', constraint = 'xp_ledger_carried_needed';
    end if;
end
$$;

-- squawk-ignore require-concurrent-index-deletion -- whoever goes back has stopped the service.
drop index ${schema}.xp_ledger_created_at_idx;

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

    new.balance_after := coalesce(balance_before, 0) + new.amount;
    return new;
end
$$;

create or replace function ${schema}.refuse_delete_before_player() returns trigger
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

drop function ${schema}.archive_rows(uuid, jsonb);
drop table ${schema}.xp_awards_carried;
drop table ${schema}.xp_ledger_carried;
drop table ${schema}.xp_archives;
drop function ${schema}.refuse_archive_change();
