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

-- name: append_batch
-- One row an append, in order: what became of it. Holds the streams until the transaction ends.
select
    answer.outcome,
    answer.actual_version,
    answer.first_version,
    answer.first_event_id,
    answer.last_event_id
from
    event_store.append_batch(
        %(stream_ids)s::text[],
        %(expected_versions)s::bigint[],
        %(event_counts)s::int[],
        %(event_appends)s::int[],
        %(event_steps)s::int[],
        %(event_uuids)s::uuid[],
        %(event_types)s::text[],
        %(event_versions)s::int[],
        %(data)s::text[],
        %(metadata)s::text[],
        %(now)s
    ) as answer;

-- name: read_stream_forward
-- Empty when there is nothing more; an error where the stream is unknown or deleted.
select
    event.number,
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data::text as data,
    event.metadata::text as metadata,
    event.created_at
from
    event_store.read_stream_forward(
        %(stream_id)s::text, %(start_version)s::bigint, %(max_count)s::int
    ) as event
order by event.number;

-- name: read_stream_backward
-- Empty when there is nothing more; an error where the stream is unknown or deleted.
select
    event.number,
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data::text as data,
    event.metadata::text as metadata,
    event.created_at
from
    event_store.read_stream_backward(
        %(stream_id)s::text, %(start_version)s::bigint, %(max_count)s::int
    ) as event
order by event.number desc;

-- name: read_all_forward
-- Empty when nothing more is final yet.
select
    event.number,
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data::text as data,
    event.metadata::text as metadata,
    event.created_at
from
    event_store.read_all_forward(%(after_event_id)s::bigint, %(max_count)s::int) as event
order by event.number;

-- name: read_all_backward
-- Empty when there is nothing before.
select
    event.number,
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data::text as data,
    event.metadata::text as metadata,
    event.created_at
from
    event_store.read_all_backward(%(before_event_id)s::bigint, %(max_count)s::int) as event
order by event.number desc;

-- name: scan_events
-- Empty when nothing between the two positions is wanted.
select
    event.number,
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data::text as data,
    event.metadata::text as metadata,
    event.created_at
from
    event_store.scan_events(
        %(after_event_id)s::bigint,
        %(through_event_id)s::bigint,
        %(category)s::text,
        %(event_types)s::text[],
        %(max_count)s::int
    ) as event
order by event.number;

-- name: read_horizon
-- One row. Events up to the horizon are read in a later statement, never in the same.
select
    edge.horizon,
    edge.last_event_id
from event_store.read_horizon() as edge;

-- name: read_stream_info
-- One row, or none where the stream is unknown.
select
    stream.stream_id,
    stream.stream_version,
    stream.created_at,
    stream.updated_at,
    stream.deleted_at,
    stream.erased_at,
    stream.metadata
from event_store.read_stream_info(%(stream_id)s::text) as stream;

-- name: paginate_streams
-- In the order that was asked for, which the function keeps.
select
    stream.stream_id,
    stream.stream_version,
    stream.created_at,
    stream.updated_at,
    stream.deleted_at,
    stream.erased_at,
    stream.metadata
from
    event_store.paginate_streams(
        %(search)s::text,
        %(sort_by)s::text,
        %(is_descending)s::boolean,
        %(after_value)s::text,
        %(after_stream_id)s::text,
        %(max_count)s::int
    ) as stream;

-- name: link_to_stream
-- Answers the stream's new version. Holds the stream until the transaction ends.
select event_store.link_to_stream(
    %(stream_id)s::text, %(expected_version)s::bigint, %(event_ids)s::bigint[], %(now)s
);

-- name: delete_stream
-- Answers the stream's last version. Holds the stream until the transaction ends.
select event_store.delete_stream(
    %(stream_id)s::text, %(expected_version)s::bigint, %(actor)s::text, %(now)s
);

-- name: erase_stream
-- Answers how many events went. Holds the stream until the transaction ends.
select event_store.erase_stream(
    %(stream_id)s::text, %(expected_version)s::bigint, %(actor)s::text, %(now)s
);

-- name: record_snapshot
-- Answers the version that is kept, which may be a newer one.
select event_store.record_snapshot(
    %(source_id)s::text,
    %(source_version)s::bigint,
    %(source_type)s::text,
    %(data)s::jsonb,
    %(metadata)s::jsonb,
    %(created_at)s
);

-- name: read_snapshot
-- One row, or none.
select
    snapshot.source_id,
    snapshot.source_version,
    snapshot.source_type,
    snapshot.data,
    snapshot.metadata,
    snapshot.created_at
from event_store.read_snapshot(%(source_id)s::text) as snapshot;

-- name: delete_snapshot
-- Answers whether there was one.
select event_store.delete_snapshot(%(source_id)s::text);

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
-- Streams and what stands in them side by side: how many, how many where the versions are not 1 to
-- the stream's own, each once, but for those that were erased; and two of them.
with counted as (
    select
        content.in_stream_id as stream_id,
        count(*) as events,
        count(distinct content.number) as versions,
        min(content.number) as first_version,
        max(content.number) as last_version
    from event_store.stream_contents as content
    group by content.in_stream_id
),

compared as (
    select
        coalesce(stream.stream_id, counted.stream_id) as stream_id,
        coalesce(
            stream.stream_version = coalesce(counted.events, 0) + stream.erased_events
            and coalesce(counted.versions = counted.events, true)
            and coalesce(counted.first_version >= 1, true)
            and coalesce(counted.last_version <= stream.stream_version, true),
            false
        ) as holds
    from event_store.event_streams as stream
    full join counted on stream.stream_id = counted.stream_id
)

select
    count(*) as checked,
    count(*) filter (where not compared.holds) as violations,
    min(compared.stream_id) filter (where not compared.holds) as first_example,
    max(compared.stream_id) filter (where not compared.holds) as last_example
from compared;

-- name: check_links
-- Links: how many, how many that lead to no event, and two of them.
select
    count(*) as checked,
    count(*) filter (where event.event_id is null) as violations,
    min(link.stream_id) filter (where event.event_id is null) as first_example,
    max(link.stream_id) filter (where event.event_id is null) as last_example
from event_store.event_links as link
left join event_store.events as event on link.event_id = event.event_id;

-- name: check_positions
-- The sequence that hands out positions must not keep any back for one session, nor stand behind an
-- event: either way a position could be written that readers have passed. A store of its own number
-- among those of the database, or one would hold up the readers of the other.
with store as (
    select
        numbers.seqcache = 1 and numbers.seqincrement = 1 and not numbers.seqcycle as is_plain,
        coalesce(pg_sequence_last_value(numbers.seqrelid::regclass), 0) >= coalesce(
            (select max(event.event_id) from event_store.events as event), 0
        ) as is_ahead,
        not exists (
            select
            from pg_sequence as other
            inner join pg_class as relation on other.seqrelid = relation.oid
            where
                relation.relname = 'events_event_id_seq'
                and other.seqrelid <> numbers.seqrelid
                and other.seqrelid::bigint & 65535 = numbers.seqrelid::bigint & 65535
        ) as has_own_fence
    from pg_sequence as numbers
    where numbers.seqrelid = 'event_store.events_event_id_seq'::regclass
),

promise as (
    select
        promised.meaning,
        promised.holds
    from
        store,
        lateral (
            values
            ('the sequence hands out each position once, in order', store.is_plain),
            ('no event lies beyond the last position', store.is_ahead),
            ('no other store of the database has the same fence', store.has_own_fence)
        ) as promised (meaning, holds)
)

select
    count(*) as checked,
    count(*) filter (where not promise.holds) as violations,
    min(promise.meaning) filter (where not promise.holds) as first_example,
    max(promise.meaning) filter (where not promise.holds) as last_example
from promise;
