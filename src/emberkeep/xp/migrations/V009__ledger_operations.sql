-------------------------------------------------------------------------------
-- XP: every ledger row says what it left, and can be reversed once
-------------------------------------------------------------------------------

alter table ${schema}.xp_ledger
add column balance_after bigint null,
add column reverses_ledger_id bigint null,
-- squawk-ignore constraint-missing-not-valid -- the column is new, and empty.
add constraint xp_ledger_reverses_chk check (reverses_ledger_id < ledger_id);

comment on column ${schema}.xp_ledger.balance_after is 'The current balance right after the row.';
comment on column ${schema}.xp_ledger.reverses_ledger_id is 'The row of the same player that this one takes back.';

-- What stands there already gets it, too: the one update that the ledger ever sees.
alter table ${schema}.xp_ledger disable trigger xp_ledger_refuse_update;

with running as (
    select
        entry.ledger_id,
        sum(entry.amount) over (
            partition by entry.user_id
            order by entry.ledger_id
        ) as balance_after
    from ${schema}.xp_ledger as entry
)

update ${schema}.xp_ledger as entry
set balance_after = running.balance_after
from running
where entry.ledger_id = running.ledger_id;

alter table ${schema}.xp_ledger enable trigger xp_ledger_refuse_update;

-- squawk-ignore adding-not-nullable-field -- no ledger is large before the first release.
alter table ${schema}.xp_ledger alter column balance_after set not null;

-- A row is reversed once: whoever is second is refused. Rows that reverse are few.
-- squawk-ignore require-concurrent-index-creation -- no row reverses anything yet.
create unique index xp_ledger_reverses_uidx
on ${schema}.xp_ledger (reverses_ledger_id)
where reverses_ledger_id is not null;

-------------------------------------------------------------------------------
-- Whoever writes a row by hand need not know the balance
-------------------------------------------------------------------------------

-- Claims and grants say what they leave, and never come here. The lock comes before the id, so that
-- ids are in the order in which the balance moves. Rows of one statement see those before them.
create function ${schema}.fill_balance_after() returns trigger
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

comment on function ${schema}.fill_balance_after() is
'Gives a ledger row that says no balance_after the one that it leaves.';

create trigger xp_ledger_fill_balance_after
before insert on ${schema}.xp_ledger
for each row
when (new.balance_after is null)
execute function ${schema}.fill_balance_after();

-- Whoever writes by hand as the service takes the id by name.
grant usage, select on sequence ${schema}.xp_ledger_ledger_id_seq to emberkeep_service;

-------------------------------------------------------------------------------
-- A reversal takes back a row of the same player, whole
-------------------------------------------------------------------------------

create function ${schema}.refuse_other_reversal() returns trigger
language plpgsql
as $$
begin
    if not exists (
        select 1
        from ${schema}.xp_ledger as original
        where
            original.ledger_id = new.reverses_ledger_id
            and original.user_id = new.user_id
            and original.amount = -new.amount
    ) then
        raise exception 'row % is not one of the player''s that this takes back', new.reverses_ledger_id
        using errcode = 'restrict_violation', constraint = 'xp_ledger_reverses_same';
    end if;

    return new;
end
$$;

comment on function ${schema}.refuse_other_reversal() is
'Refuses a reversal of another player''s row, or of another amount.';

-- Claims never reverse, and never pay for it.
create trigger xp_ledger_reverses_same
before insert on ${schema}.xp_ledger
for each row
when (new.reverses_ledger_id is not null)
execute function ${schema}.refuse_other_reversal();
