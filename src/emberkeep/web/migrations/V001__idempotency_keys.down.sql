-------------------------------------------------------------------------------
-- Takes back V001: the keys; a call repeated afterwards happens again
-------------------------------------------------------------------------------

revoke all on all tables in schema ${schema} from emberkeep_service;
revoke all on schema ${schema} from emberkeep_service;

drop table ${schema}.idempotency_keys;
