-- The rows that appends write, by SQL alone: a new stream each time, the ids in rising order. What
-- an append decides is not decided here. `run`, `client_id` and `number` make the name and the id.

-- name: append_event
-- One event; as AppendDesk does, with an id.
with stream as (
    insert into event_store.event_streams (stream_id, stream_version)
    values (
        'player-' || md5(
            %(run)s::text || '-' || %(client_id)s::text || '-' || %(number)s::text
        )::uuid,
        1
    )
    returning stream_id
)

insert into event_store.events (event_uuid, stream_id, stream_version, event_type, data)
select
    (
        lpad(to_hex(%(run)s::int * 256 + %(client_id)s::int), 8, '0')
        || '-0000-7000-8000-' || lpad(to_hex(%(number)s::int), 12, '0')
    )::uuid,
    stream.stream_id,
    1,
    %(event_type)s::text,
    %(data)s::jsonb
from stream;

-- name: append_events
-- As many as the arrays hold; as AppendDesk does, with an id for the first of them.
with stream as (
    insert into event_store.event_streams (stream_id, stream_version)
    values (
        'player-' || md5(
            %(run)s::text || '-' || %(client_id)s::text || '-' || %(number)s::text
        )::uuid,
        cardinality(%(event_types)s::text[])
    )
    returning stream_id
)

insert into event_store.events (event_uuid, stream_id, stream_version, event_type, data)
select
    case
        when event.step = 1
            then (
                lpad(to_hex(%(run)s::int * 256 + %(client_id)s::int), 8, '0')
                || '-0000-7000-8000-' || lpad(to_hex(%(number)s::int), 12, '0')
            )::uuid
    end,
    stream.stream_id,
    event.step,
    event.event_type,
    event.data::jsonb
from stream
cross join
    unnest(%(event_types)s::text[], %(data_array)s::text[]) with ordinality
    as event (event_type, data, step);

-- name: call_append_to_stream
-- Not plain: the same rows as of append_event through the function of the store.
select appended.last_event_id
from
    event_store.append_to_stream(
        'player-' || md5(
            %(run)s::text || '-' || %(client_id)s::text || '-' || %(number)s::text
        )::uuid,
        0,
        array[%(event_type)s::text],
        array[%(data)s::jsonb],
        now(),
        null,
        array[
            (
                lpad(to_hex(%(run)s::int * 256 + %(client_id)s::int), 8, '0')
                || '-0000-7000-8000-' || lpad(to_hex(%(number)s::int), 12, '0')
            )::uuid
        ]
    ) as appended;

-- name: create_stream
insert into event_store.event_streams (stream_id, stream_version)
values (%(stream_id)s, %(events)s);

-- name: fill_stream
insert into event_store.events (stream_id, stream_version, event_type, data)
select
    %(stream_id)s,
    step.step,
    %(event_type)s,
    %(data)s::jsonb
from generate_series(1, %(events)s) as step (step);

-- name: read_last_event_id
select coalesce(max(event.event_id), 0)
from event_store.events as event;

-- name: select_stream
-- The columns of read_stream_forward.
select
    event.stream_version as number,
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data::text as data,
    event.metadata::text as metadata,
    event.created_at
from event_store.events as event
where event.stream_id = %(stream_id)s
order by event.stream_version
limit %(max_count)s;

-- name: select_all
-- The columns of read_all_forward.
select
    event.event_id as number,
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data::text as data,
    event.metadata::text as metadata,
    event.created_at
from event_store.events as event
where event.event_id > %(after)s
order by event.event_id
limit %(max_count)s;
