-- transactional: false
-------------------------------------------------------------------------------
-- Indexes that a filled store gets while it is in use
-------------------------------------------------------------------------------

-- Serves append_batch; events without an id of their own cost nothing here.
create unique index concurrently if not exists uq_events_event_uuid
on ${schema}.events (event_uuid)
where event_uuid is not null;

-- Serves archive_events. Events lie in the order in which they were written, so that a few pages
-- of summary do what a whole tree would, and an append pays nothing for them.
create index concurrently if not exists idx_events_created_at
on ${schema}.events using brin (created_at);

-- Serves paginate_streams.
create index concurrently if not exists idx_event_streams_created_at
on ${schema}.event_streams (created_at, stream_id);

-- Serves drop_subscriptions_of, and the foreign key of the stream.
create index concurrently if not exists idx_subscriptions_stream_id
on ${schema}.subscriptions (stream_id);
