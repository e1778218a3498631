-- transactional: false
-------------------------------------------------------------------------------
-- Takes back V003
-------------------------------------------------------------------------------

drop index concurrently if exists ${schema}.idx_subscriptions_stream_id;
drop index concurrently if exists ${schema}.idx_event_streams_created_at;
drop index concurrently if exists ${schema}.idx_events_created_at;
drop index concurrently if exists ${schema}.uq_events_event_uuid;
