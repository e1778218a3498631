-------------------------------------------------------------------------------
-- Takes back V001: the store, with what is in it
-------------------------------------------------------------------------------

revoke all on all tables in schema ${schema} from emberkeep_service;
revoke all on schema ${schema} from emberkeep_service;

drop function ${schema}.append_to_streams(text[], text[], int[], text[], text[], timestamptz);
drop table ${schema}.subscriptions;
drop table ${schema}.events;
drop table ${schema}.event_streams;
drop function ${schema}.refuse_change();
