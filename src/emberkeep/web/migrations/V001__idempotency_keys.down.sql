-------------------------------------------------------------------------------
-- Takes back V001: the keys; a call repeated afterwards happens again
-------------------------------------------------------------------------------

drop table ${schema}.idempotency_keys;
