-- Event-store statements. Each is called by the store function of the same name.

-- name: append_to_streams
-- Answers how many events were appended: all of them. A deleted stream is an error.
select event_store.append_to_streams(
    %(stream_ids)b::text[],
    %(event_types)b::text[],
    %(event_versions)b::int[],
    %(data)b::text[],
    %(metadata)b::text[],
    %(now)s
);

-- name: read_stream_forward
-- Oldest first, from `start_version` on; empty when there is nothing more.
select
    event.event_id,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data,
    event.metadata,
    event.created_at
from event_store.events as event
where
    event.stream_id = %(stream_id)s
    and event.stream_version >= %(start_version)s
order by event.stream_version
limit %(max_rows)s;
