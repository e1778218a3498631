-------------------------------------------------------------------------------
-- Takes back V009: ledger rows no longer say what they left
-------------------------------------------------------------------------------

drop trigger xp_ledger_reverses_same on ${schema}.xp_ledger;
drop function ${schema}.refuse_other_reversal();
revoke usage, select on sequence ${schema}.xp_ledger_ledger_id_seq from emberkeep_service;
drop trigger xp_ledger_fill_balance_after on ${schema}.xp_ledger;
drop function ${schema}.fill_balance_after();

alter table ${schema}.xp_ledger
drop column reverses_ledger_id,
drop column balance_after;
