-- Event-store statements. Each is called by the store function of the same name.

-- name: append_to_streams
-- Answers how many events were appended: all of them. A deleted stream is an error.
select event_store.append_to_streams(
    %(stream_ids)s::text[],
    %(event_types)s::text[],
    %(event_versions)s::int[],
    %(data)s::text[],
    %(metadata)s::text[],
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

-- name: stream_causes
-- The correlation id and the stream of every event of one type, in order of the id's bytes.
select
    event.metadata ->> 'correlation_id' as cause,
    event.stream_id
from event_store.events as event
where
    event.event_type = %(event_type)s
    and event.metadata ? 'correlation_id'
order by convert_to(event.metadata ->> 'correlation_id', 'UTF8'), event.event_id;

-- name: check_streams
-- Streams and their events side by side: how many, how many where versions do not count from 1 to
-- the stream's own without a gap, and two of them.
with counted as (
    select
        event.stream_id,
        count(*) as events,
        min(event.stream_version) as first_version,
        max(event.stream_version) as last_version
    from event_store.events as event
    group by event.stream_id
),

compared as (
    select
        coalesce(stream.stream_id, counted.stream_id) as stream_id,
        coalesce(
            stream.stream_version = coalesce(counted.last_version, 0)
            and coalesce(counted.first_version, 1) = 1
            and coalesce(counted.last_version, 0) = coalesce(counted.events, 0),
            false
        ) as is_whole
    from event_store.event_streams as stream
    full outer join counted on stream.stream_id = counted.stream_id
)

select
    count(*) as checked,
    count(*) filter (where not compared.is_whole) as violations,
    min(compared.stream_id) filter (where not compared.is_whole) as first_example,
    max(compared.stream_id) filter (where not compared.is_whole) as last_example
from compared;
