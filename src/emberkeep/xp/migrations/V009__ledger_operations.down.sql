-------------------------------------------------------------------------------
-- Takes back V009: ledger rows no longer say what they left
-------------------------------------------------------------------------------

drop trigger xp_ledger_fill_balance_after on ${schema}.xp_ledger;
drop function ${schema}.fill_balance_after();

alter table ${schema}.xp_ledger
drop column reverses_ledger_id,
drop column balance_after;
