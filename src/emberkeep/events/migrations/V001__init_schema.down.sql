-------------------------------------------------------------------------------
-- Takes back V001: the store, with what is in it
-------------------------------------------------------------------------------

drop table ${schema}.subscriptions;
drop table ${schema}.events;
drop table ${schema}.event_streams;
drop function ${schema}.refuse_change();
