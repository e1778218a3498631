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

-- name: archive_events
-- Answers how many were moved; 0 when nothing is left that is old enough.
select event_store.archive_events(%(created_before)s, %(max_count)s::int);

-- name: expire_events
-- The months that were dropped, oldest first, with the events that went.
select
    expired.month_name,
    expired.events
from event_store.expire_events(%(created_before)s) as expired
order by expired.month_name;

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
from event_store.all_events as event
where
    event.event_type = %(event_type)s
    and event.metadata ? 'correlation_id'
order by convert_to(event.metadata ->> 'correlation_id', 'UTF8'), event.event_id;

-- name: stream_data
-- The stream and the data of every event of one type, in order of the stream's bytes.
select
    event.stream_id,
    event.data::text
from event_store.all_events as event
where event.event_type = %(event_type)s
order by convert_to(event.stream_id, 'UTF8'), event.event_id;

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
left join event_store.all_events as event on link.event_id = event.event_id;

-- name: check_positions
-- The sequence that hands out positions must not keep any back for one session, nor stand behind an
-- event: either way a position could be written that readers have passed. A store of its own number
-- among those of the database, or one would hold up the readers of the other.
with store as (
    select
        numbers.seqcache = 1 and numbers.seqincrement = 1 and not numbers.seqcycle as is_plain,
        coalesce(pg_sequence_last_value(numbers.seqrelid::regclass), 0) >= coalesce(
            (select max(event.event_id) from event_store.all_events as event), 0
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

-- name: scan_stream
-- Empty when there is nothing more, or nothing yet; an error where the stream was deleted.
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
    event_store.scan_stream(
        %(stream_id)s::text, %(after_version)s::bigint, %(event_types)s::text[], %(max_count)s::int
    ) as event
order by event.number;

-- name: find_bounds
-- One row: the first and the last event after one position, through another; nulls for none.
select
    min(event.event_id) as first_event_id,
    max(event.event_id) as last_event_id
from event_store.all_events as event
where
    event.event_id > %(after_event_id)s::bigint
    and event.event_id <= %(through_event_id)s::bigint;

-- name: list_streams_between
-- The streams that were written to between two positions, each once.
select distinct event.stream_id
from event_store.events as event
where
    event.event_id > %(after_event_id)s::bigint
    and event.event_id <= %(through_event_id)s::bigint
order by event.stream_id
limit %(max_rows)s;

-- name: create_subscription
-- Answers into how many partitions it falls, which may be another number than was asked for.
select event_store.create_subscription(
    %(subscription_id)s::text,
    %(stream_id)s::text,
    %(start_event_id)s::bigint,
    %(start_stream_version)s::bigint,
    %(concurrency_limit)s::int,
    %(now)s
);

-- name: reset_subscription
-- Answers whether there is one. Whoever works on it loses what it leases.
select event_store.reset_subscription(
    %(subscription_id)s::text,
    %(stream_id)s::text,
    %(start_event_id)s::bigint,
    %(start_stream_version)s::bigint,
    %(concurrency_limit)s::int,
    %(now)s
);

-- name: delete_subscription
-- Answers whether there was one.
select event_store.delete_subscription(%(subscription_id)s::text, %(stream_id)s::text);

-- name: join_subscription
-- One row without meaning.
select event_store.join_subscription(
    %(subscription_id)s::text,
    %(stream_id)s::text,
    %(consumer_id)s::uuid,
    %(consumer_name)s::text,
    %(now)s
);

-- name: leave_subscription
-- One row without meaning.
select event_store.leave_subscription(%(consumer_id)s::uuid);

-- name: lease_partitions
-- A row for each partition that the consumer holds now; none also where it is not known any more.
select
    held.partition,
    held.lease_token,
    held.last_seen_event_id,
    held.last_seen_stream_version,
    held.share,
    held.concurrency_limit
from
    event_store.lease_partitions(
        %(consumer_id)s::uuid, %(seen_after)s, %(now)s, %(leased_until)s
    ) as held
order by held.partition;

-- name: renew_leases
-- The consumers that are still known.
select known.known
from
    event_store.renew_leases(%(consumer_ids)s::uuid[], %(now)s, %(leased_until)s)
        as known (known);

-- name: release_partition
-- Answers whether it was still held by this lease.
select event_store.release_partition(
    %(subscription_id)s::text, %(stream_id)s::text, %(partition)s::int, %(lease_token)s::bigint
);

-- name: acknowledge_events
-- Answers whether the partition is still held by this lease. Holds its row meanwhile.
select event_store.acknowledge_events(
    %(subscription_id)s::text,
    %(stream_id)s::text,
    %(partition)s::int,
    %(lease_token)s::bigint,
    %(last_seen_event_id)s::bigint,
    %(last_seen_stream_version)s::bigint,
    %(now)s
);

-- name: park_event
-- Answers whether the partition is still held by this lease. Holds its row meanwhile.
select event_store.park_event(
    %(subscription_id)s::text,
    %(stream_id)s::text,
    %(partition)s::int,
    %(lease_token)s::bigint,
    %(event_id)s::bigint,
    %(number)s::bigint,
    %(attempts)s::int,
    %(error)s::text,
    %(now)s
);

-- name: stop_partition
-- Answers whether the partition was still held by this lease.
select event_store.stop_partition(
    %(subscription_id)s::text,
    %(stream_id)s::text,
    %(partition)s::int,
    %(lease_token)s::bigint,
    %(error)s::text,
    %(now)s
);

-- name: resume_subscription
-- Answers how many partitions go on.
select event_store.resume_subscription(%(subscription_id)s::text, %(stream_id)s::text);

-- name: replay_parked
-- Answers how many events are to be handled once more.
select event_store.replay_parked(
    %(subscription_id)s::text, %(stream_id)s::text, %(event_ids)s::bigint[], %(actor)s::text
);

-- name: skip_parked
-- Answers how many events were given up.
select event_store.skip_parked(
    %(subscription_id)s::text,
    %(stream_id)s::text,
    %(event_ids)s::bigint[],
    %(actor)s::text,
    %(now)s
);

-- name: read_replays
-- Parked events that an operator wants handled once more; empty when there are none.
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
    event_store.read_replays(
        %(subscription_id)s::text, %(stream_id)s::text, %(partition)s::int, %(max_count)s::int
    ) as event
order by event.number;

-- name: settle_replay
-- Answers whether it was still to be replayed, and the lease held.
select event_store.settle_replay(
    %(subscription_id)s::text,
    %(stream_id)s::text,
    %(partition)s::int,
    %(lease_token)s::bigint,
    %(event_id)s::bigint,
    %(now)s
);

-- name: list_subscriptions
-- Every subscription, or those of one name, by name.
select
    state.subscription_id,
    state.stream_id,
    state.concurrency_limit,
    state.last_seen_event_id,
    state.last_seen_stream_version,
    state.lag,
    state.consumers,
    state.leased,
    state.stopped,
    state.stop_error,
    state.parked,
    state.created_at,
    state.updated_at
from event_store.subscription_states as state
where %(subscription_id)s::text is null or state.subscription_id = %(subscription_id)s::text
order by state.subscription_id, state.stream_id;

-- name: list_consumers
-- Who is there to work on a subscription, and what each leases, in the order they came.
select
    consumer.consumer_id,
    consumer.consumer_name,
    consumer.joined_at,
    consumer.seen_at,
    array(
        select held.partition
        from event_store.subscription_partitions as held
        where held.leased_by = consumer.consumer_id
        order by held.partition
    ) as partitions
from event_store.subscription_consumers as consumer
where
    consumer.subscription_id = %(subscription_id)s::text
    and consumer.stream_id = %(stream_id)s::text
order by consumer.joined_at, consumer.consumer_id;

-- name: list_parked
-- Parked events of a subscription after a number, in order; settled ones too if they are asked for.
select
    parked.event_id,
    parked.number,
    parked.partition,
    parked.state,
    parked.attempts,
    parked.error,
    parked.parked_at,
    parked.settled_at,
    parked.settled_by
from event_store.parked_events as parked
where
    parked.subscription_id = %(subscription_id)s::text
    and parked.stream_id = %(stream_id)s::text
    and (%(with_settled)s or parked.state in ('parked', 'replaying'))
    and parked.number > %(after_number)s::bigint
order by parked.number
limit %(max_rows)s;

-- name: hold_projection
-- The generations of a projection, one row; the switch to another waits until the transaction ends.
select
    projection.live_generation,
    projection.building_generation
from event_store.projections as projection
where projection.projection_name = %(projection_name)s::text
for share;

-- name: read_projection
-- The generation of a projection that its readers see; no row where it was never begun.
select projection.live_generation
from event_store.projections as projection
where projection.projection_name = %(projection_name)s::text;

-- name: create_projection
-- No row where it is there already.
insert into event_store.projections (projection_name, live_generation, updated_at)
values (%(projection_name)s::text, 1, %(now)s)
on conflict on constraint pk_projections do nothing;

-- name: begin_rebuild
-- The generation that is being built, which an earlier rebuild may have begun.
update event_store.projections as projection
set
    building_generation = coalesce(
        projection.building_generation, projection.live_generation + 1
    ),
    updated_at = %(now)s
where projection.projection_name = %(projection_name)s::text
returning projection.live_generation, projection.building_generation;

-- name: switch_projection
-- One row when this generation was being built; waits for those who hold the projection.
update event_store.projections as projection
set
    live_generation = projection.building_generation,
    building_generation = null,
    updated_at = %(now)s
where
    projection.projection_name = %(projection_name)s::text
    and projection.building_generation = %(generation)s::int
returning projection.live_generation;

-- name: count_event_types
-- Adds a batch of events, summed up by type and form, to a generation of the counts.
insert into event_store.event_type_counts as counted (
    generation,
    event_type,
    event_version,
    events,
    last_event_id,
    last_created_at
)
select
    %(generation)s::int,
    given.event_type,
    given.event_version,
    given.events,
    given.last_event_id,
    given.last_created_at
from
    unnest(
        %(event_types)s::text[],
        %(event_versions)s::int[],
        %(events)s::bigint[],
        %(last_event_ids)s::bigint[],
        %(last_created_ats)s::timestamptz[]
    ) as given (event_type, event_version, events, last_event_id, last_created_at)
order by given.event_type, given.event_version
on conflict on constraint pk_event_type_counts do update
    set
        events = counted.events + excluded.events,
        last_event_id = excluded.last_event_id,
        last_created_at = excluded.last_created_at;

-- name: delete_event_type_counts
-- Takes a generation of the counts away.
delete from event_store.event_type_counts as counted
where counted.generation = %(generation)s::int;

-- name: list_event_type_counts
-- The counts that are live, by type and form.
select
    counted.event_type,
    counted.event_version,
    counted.events,
    counted.last_event_id,
    counted.last_created_at
from event_store.event_type_counts as counted
inner join event_store.projections as projection
    on counted.generation = projection.live_generation
where projection.projection_name = %(projection_name)s::text
order by counted.event_type, counted.event_version;

-- name: measure_store
-- One row. Counts every event and every stream, which takes as long as it takes.
select
    (
        select count(*)
        from event_store.event_streams as stream
        where stream.stream_version > 0
    ) as streams,
    (
        select count(*)
        from event_store.all_events
    ) as events,
    (
        select coalesce(sum(pg_total_relation_size(relation.oid)), 0)::bigint
        from pg_class as relation
        where
            relation.relkind in ('r', 'm')
            and relation.relnamespace = (
                select table_of_events.relnamespace
                from pg_class as table_of_events
                where table_of_events.oid = 'event_store.events'::regclass
            )
    ) as size_bytes;

-- name: measure_appends
-- One row: transactions that hold the fence, and for how long the oldest of them has been open;
-- null where the role may not know.
select
    count(*) as open_appends,
    case
        when count(*) = 0 then 0
        when bool_and(activity.xact_start is not null)
            then extract(epoch from %(now)s - min(activity.xact_start))::float8
    end as oldest_s
from event_store.list_fences() as fence
left join pg_stat_activity as activity on fence.pid = activity.pid;

-- name: check_subscriptions
-- Partitions: how many, how many whose checkpoint lies beyond the last position or behind that of
-- their subscription, or that their subscription does not count; and two of them. A partition that
-- is missing counts as one that does not hold.
with compared as (
    select
        subscription.subscription_id,
        coalesce(
            part.last_seen_event_id <= coalesce(drawn.event_id, 0)
            and part.last_seen_event_id >= coalesce(subscription.last_seen_event_id, 0)
            and part.last_seen_stream_version
            >= coalesce(subscription.last_seen_stream_version, 0)
            and part.last_seen_stream_version <= stream.stream_version
            and part.partition < subscription.concurrency_limit,
            false
        ) as holds
    from event_store.subscriptions as subscription
    inner join event_store.event_streams as stream
        on subscription.stream_id = stream.stream_id
    cross join
        pg_sequence_last_value('event_store.events_event_id_seq'::regclass) as drawn (event_id)
    cross join generate_series(0, subscription.concurrency_limit - 1) as number (partition)
    left join event_store.subscription_partitions as part
        on
            subscription.subscription_id = part.subscription_id
            and subscription.stream_id = part.stream_id
            and number.partition = part.partition
)

select
    count(*) as checked,
    count(*) filter (where not compared.holds) as violations,
    min(compared.subscription_id) filter (where not compared.holds) as first_example,
    max(compared.subscription_id) filter (where not compared.holds) as last_example
from compared;

-- name: check_parked
-- Parked events that wait: how many, how many that are not in the store; and the subscriptions.
select
    count(*) as checked,
    count(*) filter (where event.event_id is null) as violations,
    min(parked.subscription_id) filter (where event.event_id is null) as first_example,
    max(parked.subscription_id) filter (where event.event_id is null) as last_example
from event_store.parked_events as parked
left join event_store.all_events as event on parked.event_id = event.event_id
where parked.state in ('parked', 'replaying');
