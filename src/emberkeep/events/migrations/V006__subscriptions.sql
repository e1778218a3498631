-------------------------------------------------------------------------------
-- Subscriptions: how far each has come, who works on it, and what it could not handle
-------------------------------------------------------------------------------

alter table ${schema}.subscriptions
add column concurrency_limit int not null default 1;

comment on column ${schema}.subscriptions.concurrency_limit is
'Into how many partitions its events fall; each is worked on by one consumer at a time.';
comment on column ${schema}.subscriptions.stream_id is
'What is followed: a stream, `$all`, or `$category-` and a category.';

create table ${schema}.subscription_partitions (
    subscription_id text not null,
    stream_id text not null,
    partition int not null,
    last_seen_event_id bigint not null,
    last_seen_stream_version bigint not null,
    lease_token bigint not null default 0,
    leased_by uuid null,
    leased_until timestamptz null,
    stopped_at timestamptz null,
    stop_error text null,
    updated_at timestamptz not null,
    constraint pk_subscription_partitions primary key (subscription_id, stream_id, partition),
    constraint fk_subscription_partitions_subscription foreign key (subscription_id, stream_id)
    references ${schema}.subscriptions (subscription_id, stream_id) on delete cascade
) with (fillfactor = 50);

comment on table ${schema}.subscription_partitions is
'A share of a subscription: its checkpoint, and the lease of the consumer that works on it.';
comment on column ${schema}.subscription_partitions.lease_token is
'Counts the leases: whoever writes with an older one has lost the partition and is refused.';
comment on column ${schema}.subscription_partitions.stopped_at is
'Set where an event could not be handled and the subscription stops at such; an operator resumes it.';

-- Who followed a stream before there were partitions goes on where it was.
insert into ${schema}.subscription_partitions (
    subscription_id,
    stream_id,
    partition,
    last_seen_event_id,
    last_seen_stream_version,
    updated_at
)
select
    known.subscription_id,
    known.stream_id,
    0 as partition,
    coalesce(known.last_seen_event_id, 0) as last_seen_event_id,
    coalesce(known.last_seen_stream_version, 0) as last_seen_stream_version,
    known.updated_at
from ${schema}.subscriptions as known;

create table ${schema}.subscription_consumers (
    consumer_id uuid not null,
    subscription_id text not null,
    stream_id text not null,
    consumer_name text not null,
    joined_at timestamptz not null,
    seen_at timestamptz not null,
    constraint pk_subscription_consumers primary key (consumer_id),
    constraint fk_subscription_consumers_subscription foreign key (subscription_id, stream_id)
    references ${schema}.subscriptions (subscription_id, stream_id) on delete cascade
) with (fillfactor = 50);

comment on table ${schema}.subscription_consumers is
'Who is there to work on a subscription, at work or waiting.';

-- Serves lease_partitions, and the foreign key of the subscription.
create index idx_subscription_consumers_subscription
on ${schema}.subscription_consumers (subscription_id, stream_id);

create table ${schema}.parked_events (
    subscription_id text not null,
    stream_id text not null,
    event_id bigint not null,
    partition int not null,
    number bigint not null,
    state text not null,
    attempts int not null,
    error text not null,
    parked_at timestamptz not null,
    settled_at timestamptz null,
    settled_by text null,
    constraint pk_parked_events primary key (subscription_id, stream_id, event_id),
    constraint fk_parked_events_subscription foreign key (subscription_id, stream_id)
    references ${schema}.subscriptions (subscription_id, stream_id) on delete cascade,
    constraint parked_events_state check (state in ('parked', 'replaying', 'replayed', 'skipped'))
);

comment on table ${schema}.parked_events is
'Events that a subscription could not handle, put aside with the reason; replayed or skipped by an operator.';

create table ${schema}.projections (
    projection_name text not null,
    live_generation int not null,
    building_generation int null,
    updated_at timestamptz not null,
    constraint pk_projections primary key (projection_name),
    constraint projections_building check (building_generation > live_generation)
);

comment on table ${schema}.projections is
'Which generation of a projection its readers see, and which one is being built beside it.';

create table ${schema}.event_type_counts (
    generation int not null,
    event_type text not null,
    event_version int not null,
    events bigint not null,
    last_event_id bigint not null,
    last_created_at timestamptz not null,
    constraint pk_event_type_counts primary key (generation, event_type, event_version)
);

comment on table ${schema}.event_type_counts is
'The projection `event-type-counts`: how many events of each type and form there are.';

-------------------------------------------------------------------------------
-- Come and go
-------------------------------------------------------------------------------

-- A payload tells everybody who listens to look, whether or not the horizon moves.
create function ${schema}.call_consumers() returns void
language sql
as $$
    select pg_notify((parse_ident('${schema}'))[1], '*')
$$;

create sequence ${schema}.lease_token_seq;

create function ${schema}.create_subscription(
    subscription_id text,
    stream_id text,
    start_event_id bigint,
    start_stream_version bigint,
    concurrency_limit int,
    created_at timestamptz
) returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
#variable_conflict use_variable
declare
    present_limit int;
begin
    -- What is followed need not be there yet; a name of the store's own stands for many streams.
    insert into ${schema}.event_streams (stream_id, created_at, updated_at)
    values (stream_id, created_at, created_at)
    on conflict on constraint pk_event_streams do nothing;

    insert into ${schema}.subscriptions (
        subscription_id,
        stream_id,
        last_seen_event_id,
        last_seen_stream_version,
        concurrency_limit,
        created_at,
        updated_at
    )
    values (
        subscription_id,
        stream_id,
        start_event_id,
        start_stream_version,
        concurrency_limit,
        created_at,
        created_at
    )
    on conflict on constraint pk_subscriptions do nothing;

    if found then
        insert into ${schema}.subscription_partitions (
            subscription_id,
            stream_id,
            partition,
            last_seen_event_id,
            last_seen_stream_version,
            updated_at
        )
        select
            subscription_id,
            stream_id,
            number.number,
            start_event_id,
            start_stream_version,
            created_at
        from generate_series(0, concurrency_limit - 1) as number (number);
    end if;

    select known.concurrency_limit
    into present_limit
    from ${schema}.subscriptions as known
    where known.subscription_id = subscription_id and known.stream_id = stream_id;

    return present_limit;
end
$$;

comment on function ${schema}.create_subscription(text, text, bigint, bigint, int, timestamptz) is
'Begins a subscription after a position, unless it is there; answers into how many partitions it falls.';

-- Back to where the partition that is furthest behind stands, so that nothing is skipped.
create function ${schema}.reset_subscription(
    subscription_id text,
    stream_id text,
    start_event_id bigint,
    start_stream_version bigint,
    concurrency_limit int,
    reset_at timestamptz
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
#variable_conflict use_variable
declare
    least_event_id bigint;
    least_stream_version bigint;
    next_token bigint;
begin
    -- Partitions first, as acknowledge_events does, so that neither waits for the other.
    perform 1
    from ${schema}.subscription_partitions as known
    where known.subscription_id = subscription_id and known.stream_id = stream_id
    order by known.partition
    for update;

    perform 1
    from ${schema}.subscriptions as known
    where known.subscription_id = subscription_id and known.stream_id = stream_id
    for update;

    if not found then
        return false;
    end if;

    with removed as (
        delete from ${schema}.subscription_partitions as known
        where known.subscription_id = subscription_id and known.stream_id = stream_id
        returning known.last_seen_event_id, known.last_seen_stream_version, known.lease_token
    )

    select
        coalesce(start_event_id, min(removed.last_seen_event_id)),
        coalesce(start_stream_version, min(removed.last_seen_stream_version)),
        nextval('${schema}.lease_token_seq')
    into least_event_id, least_stream_version, next_token
    from removed;

    -- The tokens go on, so that whoever works by an old lease is refused.
    insert into ${schema}.subscription_partitions (
        subscription_id,
        stream_id,
        partition,
        last_seen_event_id,
        last_seen_stream_version,
        lease_token,
        updated_at
    )
    select
        subscription_id,
        stream_id,
        number.number,
        least_event_id,
        least_stream_version,
        next_token,
        reset_at
    from generate_series(0, concurrency_limit - 1) as number (number);

    update ${schema}.subscriptions as known
    set
        last_seen_event_id = least_event_id,
        last_seen_stream_version = least_stream_version,
        concurrency_limit = reset_subscription.concurrency_limit,
        updated_at = reset_at
    where known.subscription_id = subscription_id and known.stream_id = stream_id;

    update ${schema}.parked_events as known
    set partition = known.partition % reset_subscription.concurrency_limit
    where
        known.subscription_id = subscription_id
        and known.stream_id = stream_id
        and known.partition >= reset_subscription.concurrency_limit;

    perform ${schema}.call_consumers();

    return true;
end
$$;

comment on function ${schema}.reset_subscription(text, text, bigint, bigint, int, timestamptz) is
'Sets a subscription to a position, or with nulls to its slowest partition, and its number of partitions.';

create function ${schema}.delete_subscription(subscription_id text, stream_id text) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
begin
    perform 1
    from ${schema}.subscription_partitions as known
    where
        known.subscription_id = delete_subscription.subscription_id
        and known.stream_id = delete_subscription.stream_id
    order by known.partition
    for update;

    delete from ${schema}.subscriptions as known
    where
        known.subscription_id = delete_subscription.subscription_id
        and known.stream_id = delete_subscription.stream_id;

    if not found then
        return false;
    end if;

    perform ${schema}.call_consumers();
    return true;
end
$$;

comment on function ${schema}.delete_subscription(text, text) is
'Forgets a subscription with its checkpoints and parked events; says whether there was one.';

create function ${schema}.join_subscription(
    subscription_id text,
    stream_id text,
    consumer_id uuid,
    consumer_name text,
    joined_at timestamptz
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
#variable_conflict use_variable
begin
    insert into ${schema}.subscription_consumers (
        subscription_id,
        stream_id,
        consumer_id,
        consumer_name,
        joined_at,
        seen_at
    )
    values (subscription_id, stream_id, consumer_id, consumer_name, joined_at, joined_at)
    on conflict on constraint pk_subscription_consumers do update
        set seen_at = excluded.seen_at;

    -- Those who are there give up what is now the newcomer's share.
    perform ${schema}.call_consumers();
end
$$;

comment on function ${schema}.join_subscription(text, text, uuid, text, timestamptz) is
'Says that a consumer is there to work on the subscription.';

create function ${schema}.leave_subscription(consumer_id uuid) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
begin
    update ${schema}.subscription_partitions as known
    set
        leased_by = null,
        leased_until = null
    where known.leased_by = leave_subscription.consumer_id;

    delete from ${schema}.subscription_consumers as known
    where known.consumer_id = leave_subscription.consumer_id;

    perform ${schema}.call_consumers();
end
$$;

comment on function ${schema}.leave_subscription(uuid) is
'Gives everything that a consumer leases to those who wait.';

-------------------------------------------------------------------------------
-- Leases
-------------------------------------------------------------------------------

-- Every consumer that was seen lately gets an even share. One that holds more is told so by
-- `share`, and releases the rest when it has ended what it is at.
create function ${schema}.lease_partitions(
    consumer_id uuid,
    seen_after timestamptz,
    leased_at timestamptz,
    leased_until timestamptz
) returns table (
    partition int,
    lease_token bigint,
    last_seen_event_id bigint,
    last_seen_stream_version bigint,
    share int,
    concurrency_limit int
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    consumer record;
    partitions int;
    consumers int;
    rank int;
    held int;
    even_share int;
begin
    update ${schema}.subscription_consumers as known
    set seen_at = leased_at
    where known.consumer_id = lease_partitions.consumer_id
    returning known.subscription_id, known.stream_id, known.joined_at into consumer;

    if not found then
        return;
    end if;

    -- Whoever died without leaving is forgotten by those who are left.
    delete from ${schema}.subscription_consumers as known
    where
        known.subscription_id = consumer.subscription_id
        and known.stream_id = consumer.stream_id
        and known.seen_at < seen_after;

    select known.concurrency_limit
    into partitions
    from ${schema}.subscriptions as known
    where
        known.subscription_id = consumer.subscription_id
        and known.stream_id = consumer.stream_id;

    -- Who came first has one more, where it does not come out even.
    select
        count(*),
        count(*) filter (
            where (known.joined_at, known.consumer_id)
            < (consumer.joined_at, lease_partitions.consumer_id)
        )
    into consumers, rank
    from ${schema}.subscription_consumers as known
    where
        known.subscription_id = consumer.subscription_id
        and known.stream_id = consumer.stream_id;

    even_share := partitions / consumers + (rank < partitions % consumers)::int;

    select count(*)
    into held
    from ${schema}.subscription_partitions as known
    where
        known.subscription_id = consumer.subscription_id
        and known.stream_id = consumer.stream_id
        and known.leased_by = lease_partitions.consumer_id;

    if held < even_share then
        update ${schema}.subscription_partitions as known
        set
            leased_by = lease_partitions.consumer_id,
            leased_until = lease_partitions.leased_until,
            lease_token = nextval('${schema}.lease_token_seq')
        from (
            select vacant.partition
            from ${schema}.subscription_partitions as vacant
            where
                vacant.subscription_id = consumer.subscription_id
                and vacant.stream_id = consumer.stream_id
                and vacant.stopped_at is null
                and (vacant.leased_by is null or vacant.leased_until <= leased_at)
            order by vacant.partition
            limit even_share - held
            for update skip locked
        ) as taken
        where
            known.subscription_id = consumer.subscription_id
            and known.stream_id = consumer.stream_id
            and known.partition = taken.partition;
    end if;

    return query
    select
        known.partition,
        known.lease_token,
        known.last_seen_event_id,
        known.last_seen_stream_version,
        even_share,
        partitions
    from ${schema}.subscription_partitions as known
    where
        known.subscription_id = consumer.subscription_id
        and known.stream_id = consumer.stream_id
        and known.leased_by = lease_partitions.consumer_id
    order by known.partition;
end
$$;

comment on function ${schema}.lease_partitions(uuid, timestamptz, timestamptz, timestamptz) is
'Takes free or expired partitions up to an even share; answers all that the consumer holds, with their tokens.';

create function ${schema}.renew_leases(
    consumer_ids uuid[], renewed_at timestamptz, leased_until timestamptz
) returns setof uuid
language sql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
    update ${schema}.subscription_partitions as known
    set leased_until = $3
    where known.leased_by = any($1);

    update ${schema}.subscription_consumers as known
    set seen_at = $2
    where known.consumer_id = any($1)
    returning known.consumer_id;
$$;

comment on function ${schema}.renew_leases(uuid[], timestamptz, timestamptz) is
'Says that these consumers are alive; answers those that are still known.';

create function ${schema}.release_partition(
    subscription_id text, stream_id text, partition int, lease_token bigint
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
begin
    update ${schema}.subscription_partitions as known
    set
        leased_by = null,
        leased_until = null
    where
        known.subscription_id = release_partition.subscription_id
        and known.stream_id = release_partition.stream_id
        and known.partition = release_partition.partition
        and known.lease_token = release_partition.lease_token;

    if not found then
        return false;
    end if;

    perform ${schema}.call_consumers();
    return true;
end
$$;

comment on function ${schema}.release_partition(text, text, int, bigint) is
'Gives one partition to those who wait.';

-------------------------------------------------------------------------------
-- Checkpoints: only by who holds the lease, and never back
-------------------------------------------------------------------------------

create function ${schema}.acknowledge_events(
    subscription_id text,
    stream_id text,
    partition int,
    lease_token bigint,
    last_seen_event_id bigint,
    last_seen_stream_version bigint,
    acknowledged_at timestamptz
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
begin
    update ${schema}.subscription_partitions as known
    set
        last_seen_event_id = greatest(
            known.last_seen_event_id, acknowledge_events.last_seen_event_id
        ),
        last_seen_stream_version = greatest(
            known.last_seen_stream_version, acknowledge_events.last_seen_stream_version
        ),
        updated_at = acknowledged_at
    where
        known.subscription_id = acknowledge_events.subscription_id
        and known.stream_id = acknowledge_events.stream_id
        and known.partition = acknowledge_events.partition
        and known.lease_token = acknowledge_events.lease_token;

    if not found then
        return false;
    end if;

    update ${schema}.subscriptions as known
    set
        last_seen_event_id = slowest.event_id,
        last_seen_stream_version = slowest.stream_version,
        updated_at = acknowledged_at
    from (
        select
            min(part.last_seen_event_id) as event_id,
            min(part.last_seen_stream_version) as stream_version
        from ${schema}.subscription_partitions as part
        where
            part.subscription_id = acknowledge_events.subscription_id
            and part.stream_id = acknowledge_events.stream_id
    ) as slowest
    where
        known.subscription_id = acknowledge_events.subscription_id
        and known.stream_id = acknowledge_events.stream_id
        and (known.last_seen_event_id, known.last_seen_stream_version)
        is distinct from (slowest.event_id, slowest.stream_version);

    return true;
end
$$;

comment on function ${schema}.acknowledge_events(
    text, text, int, bigint, bigint, bigint, timestamptz
) is
'Moves the checkpoint of a partition; false where the lease was lost, and then nothing is moved.';

-------------------------------------------------------------------------------
-- Events that cannot be handled
-------------------------------------------------------------------------------

create function ${schema}.park_event(
    subscription_id text,
    stream_id text,
    partition int,
    lease_token bigint,
    event_id bigint,
    number bigint,
    attempts int,
    error text,
    parked_at timestamptz
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
#variable_conflict use_variable
begin
    -- Held, so that the lease cannot be lost between here and the checkpoint that follows.
    perform 1
    from ${schema}.subscription_partitions as known
    where
        known.subscription_id = subscription_id
        and known.stream_id = stream_id
        and known.partition = partition
        and known.lease_token = lease_token
    for no key update;

    if not found then
        return false;
    end if;

    insert into ${schema}.parked_events as known (
        subscription_id,
        stream_id,
        event_id,
        partition,
        number,
        state,
        attempts,
        error,
        parked_at
    )
    values (
        subscription_id,
        stream_id,
        event_id,
        partition,
        number,
        'parked',
        attempts,
        left(error, 2000),
        parked_at
    )
    on conflict on constraint pk_parked_events do update
        set
            state = 'parked',
            attempts = known.attempts + excluded.attempts,
            error = excluded.error,
            parked_at = excluded.parked_at,
            settled_at = null,
            settled_by = null;

    return true;
end
$$;

comment on function ${schema}.park_event(
    text, text, int, bigint, bigint, bigint, int, text, timestamptz
) is
'Puts an event aside with the reason; false where the lease was lost.';

create function ${schema}.stop_partition(
    subscription_id text,
    stream_id text,
    partition int,
    lease_token bigint,
    error text,
    stopped_at timestamptz
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
begin
    update ${schema}.subscription_partitions as known
    set
        stopped_at = stop_partition.stopped_at,
        stop_error = left(error, 2000),
        leased_by = null,
        leased_until = null
    where
        known.subscription_id = stop_partition.subscription_id
        and known.stream_id = stop_partition.stream_id
        and known.partition = stop_partition.partition
        and known.lease_token = stop_partition.lease_token;

    return found;
end
$$;

comment on function ${schema}.stop_partition(text, text, int, bigint, text, timestamptz) is
'Lets nobody go on with a partition until an operator resumes it; false where the lease was lost.';

create function ${schema}.resume_subscription(subscription_id text, stream_id text) returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    resumed int;
begin
    update ${schema}.subscription_partitions as known
    set
        stopped_at = null,
        stop_error = null
    where
        known.subscription_id = resume_subscription.subscription_id
        and known.stream_id = resume_subscription.stream_id
        and known.stopped_at is not null;

    get diagnostics resumed = row_count;
    perform ${schema}.call_consumers();
    return resumed;
end
$$;

comment on function ${schema}.resume_subscription(text, text) is
'Lets partitions that stopped go on, at the event where they did; answers how many.';

create function ${schema}.replay_parked(
    subscription_id text, stream_id text, event_ids bigint[], actor text
) returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    asked int;
begin
    update ${schema}.parked_events as known
    set
        state = 'replaying',
        settled_by = actor
    where
        known.subscription_id = replay_parked.subscription_id
        and known.stream_id = replay_parked.stream_id
        and known.state = 'parked'
        and (event_ids is null or known.event_id = any(event_ids));

    get diagnostics asked = row_count;
    perform ${schema}.call_consumers();
    return asked;
end
$$;

comment on function ${schema}.replay_parked(text, text, bigint[], text) is
'Has parked events, or all of them with null, handled once more; answers how many.';

create function ${schema}.skip_parked(
    subscription_id text, stream_id text, event_ids bigint[], actor text, skipped_at timestamptz
) returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    skipped int;
begin
    update ${schema}.parked_events as known
    set
        state = 'skipped',
        settled_at = skipped_at,
        settled_by = actor
    where
        known.subscription_id = skip_parked.subscription_id
        and known.stream_id = skip_parked.stream_id
        and known.state in ('parked', 'replaying')
        and (event_ids is null or known.event_id = any(event_ids));

    get diagnostics skipped = row_count;
    return skipped;
end
$$;

comment on function ${schema}.skip_parked(text, text, bigint[], text, timestamptz) is
'Gives parked events up, or all of them with null; answers how many. They stay listed.';

create function ${schema}.settle_replay(
    subscription_id text,
    stream_id text,
    partition int,
    lease_token bigint,
    event_id bigint,
    settled_at timestamptz
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
begin
    update ${schema}.parked_events as known
    set
        state = 'replayed',
        settled_at = settle_replay.settled_at
    where
        known.subscription_id = settle_replay.subscription_id
        and known.stream_id = settle_replay.stream_id
        and known.event_id = settle_replay.event_id
        and known.state = 'replaying'
        and exists (
            select
            from ${schema}.subscription_partitions as held
            where
                held.subscription_id = settle_replay.subscription_id
                and held.stream_id = settle_replay.stream_id
                and held.partition = settle_replay.partition
                and held.lease_token = settle_replay.lease_token
        );

    return found;
end
$$;

comment on function ${schema}.settle_replay(text, text, int, bigint, bigint, timestamptz) is
'Says that a parked event was handled after all; false where the lease was lost, or it was skipped.';

-- An event that is gone can be handled by nobody, and what is kept of its failure might quote it.
create function ${schema}.settle_parked_of_the_erased() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
begin
    update ${schema}.parked_events as parked
    set
        state = 'skipped',
        error = 'the event was erased',
        settled_at = new.updated_at,
        settled_by = new.deleted_by
    where
        parked.state in ('parked', 'replaying')
        and not exists (
            select
            from ${schema}.all_events as event
            where event.event_id = parked.event_id
        );

    return null;
end
$$;

create trigger event_streams_settle_parked
after update of erased_at on ${schema}.event_streams
for each row execute function ${schema}.settle_parked_of_the_erased();

-------------------------------------------------------------------------------
-- What consumers and operators look at
-------------------------------------------------------------------------------

create function ${schema}.read_replays(
    subscription_id text, stream_id text, partition int, max_count int
) returns setof ${schema}.recorded_event
language sql
stable
rows 10
as $$
    select
        parked.number,
        event.event_id,
        event.event_uuid,
        event.stream_id,
        event.stream_version,
        event.event_type,
        event.event_version,
        event.data,
        event.metadata,
        event.created_at
    from ${schema}.parked_events as parked
    inner join ${schema}.all_events as event on parked.event_id = event.event_id
    where
        parked.subscription_id = read_replays.subscription_id
        and parked.stream_id = read_replays.stream_id
        and parked.partition = read_replays.partition
        and parked.state = 'replaying'
    order by parked.number
    limit max_count
$$;

comment on function ${schema}.read_replays(text, text, int, int) is
'Parked events of a partition that an operator wants handled once more, in order.';

-- Like read_stream_forward, for those who follow a stream that need not be there yet.
create function ${schema}.scan_stream(
    stream_id text, after_version bigint, event_types text[], max_count int
) returns setof ${schema}.recorded_event
language plpgsql
stable
rows 100
as $$
begin
    if exists (
        select
        from ${schema}.event_streams as known
        where known.stream_id = scan_stream.stream_id and known.deleted_at is not null
    ) then
        raise exception 'the stream was deleted'
        using errcode = 'restrict_violation', constraint = 'event_streams_deleted';
    end if;

    return query
    select
        event.number,
        event.event_id,
        event.event_uuid,
        event.stream_id,
        event.stream_version,
        event.event_type,
        event.event_version,
        event.data,
        event.metadata,
        event.created_at
    from ${schema}.stream_contents as event
    where
        event.in_stream_id = scan_stream.stream_id
        and event.number > after_version
        and (event_types is null or event.event_type = any(event_types))
    order by event.number
    limit max_count;
end
$$;

comment on function ${schema}.scan_stream(text, bigint, text[], int) is
'Events of a stream after a version, of some types or any; none where the stream is not there yet.';

-- What nobody has yet to see may go; a whole month at a time, the oldest first.
create function ${schema}.expire_events(created_before timestamptz) returns table (
    month_name text,
    events bigint
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    month record;
    behind text;
    expired bigint;
begin
    lock table only ${schema}.archived_events in share row exclusive mode;

    for month in
        select
            partition.inhrelid::regclass as name,
            relation.relname::text as short_name
        from pg_inherits as partition
        inner join pg_class as relation on partition.inhrelid = relation.oid
        where
            partition.inhparent = '${schema}.archived_events'::regclass
            and to_date(right(relation.relname, 6), 'YYYYMM') + interval '1 month'
            <= created_before at time zone 'UTC'
        order by relation.relname
    loop
        -- Its rows, by the month's own bounds, so that the statements below need not be composed.
        create temporary table expiring on commit drop as
        select
            event.event_id,
            event.stream_id,
            event.stream_version
        from ${schema}.archived_events as event
        where event.tableoid = month.name;

        select min(subscription.subscription_id)
        into behind
        from ${schema}.subscriptions as subscription
        cross join expiring
        left join ${schema}.event_links as link
            on
                expiring.event_id = link.event_id
                and subscription.stream_id = link.stream_id
        where
            case
                when subscription.stream_id like '$%'
                    then expiring.event_id > coalesce(subscription.last_seen_event_id, 0)
                when expiring.stream_id = subscription.stream_id
                    then
                        expiring.stream_version
                        > coalesce(subscription.last_seen_stream_version, 0)
                else link.stream_version > coalesce(subscription.last_seen_stream_version, 0)
            end;

        if behind is not null then
            raise exception 'the subscription % has yet to see what was to expire', behind
            using
                errcode = 'restrict_violation',
                constraint = 'archived_events_needed',
                detail = jsonb_build_object(
                    'subscription_id',
                    behind,
                    'month',
                    to_char(to_date(right(month.short_name, 6), 'YYYYMM'), 'YYYY-MM')
                )::text;
        end if;

        perform set_config('emberkeep.erasing', pg_current_xact_id()::text, true);

        with expired_link as (
            delete from ${schema}.event_links as link
            using expiring
            where link.event_id = expiring.event_id
            returning link.stream_id
        ),

        hole as (
            select
                gone.stream_id,
                count(*) as events
            from (
                select expired_link.stream_id
                from expired_link
                union all
                select expiring.stream_id
                from expiring
            ) as gone
            group by gone.stream_id
        )

        update ${schema}.event_streams as known
        set erased_events = known.erased_events + hole.events
        from hole
        where known.stream_id = hole.stream_id;

        perform set_config('emberkeep.erasing', '', true);

        select count(*)
        into expired
        from expiring;

        update ${schema}.parked_events as parked
        set
            state = 'skipped',
            error = 'the event has expired'
        from expiring
        where parked.event_id = expiring.event_id and parked.state in ('parked', 'replaying');

        execute format('drop table %s', month.name);
        drop table expiring;

        month_name := month.short_name;
        events := expired;
        return next;
    end loop;
end
$$;

comment on function ${schema}.expire_events(timestamptz) is
'Drops whole months of archived events that are older, for good; refuses while a subscription has yet to see one.';

create view ${schema}.subscription_states as
with newest as (
    select max(event.event_id) as event_id
    from ${schema}.all_events as event
)

select
    subscription.subscription_id,
    subscription.stream_id,
    subscription.concurrency_limit,
    subscription.created_at,
    subscription.updated_at,
    part.last_seen_event_id,
    part.last_seen_stream_version,
    part.leased,
    part.stopped,
    part.stop_error,
    case
        when subscription.stream_id like '$%'
            then coalesce(newest.event_id, 0) - part.last_seen_event_id
        else stream.stream_version - part.last_seen_stream_version
    end as lag,
    (
        select count(*)
        from ${schema}.subscription_consumers as consumer
        where
            consumer.subscription_id = subscription.subscription_id
            and consumer.stream_id = subscription.stream_id
    ) as consumers,
    (
        select count(*)
        from ${schema}.parked_events as parked
        where
            parked.subscription_id = subscription.subscription_id
            and parked.stream_id = subscription.stream_id
            and parked.state in ('parked', 'replaying')
    ) as parked
from ${schema}.subscriptions as subscription
inner join ${schema}.event_streams as stream on subscription.stream_id = stream.stream_id
cross join newest
inner join lateral (
    select
        min(known.last_seen_event_id) as last_seen_event_id,
        min(known.last_seen_stream_version) as last_seen_stream_version,
        count(*) filter (where known.leased_by is not null) as leased,
        count(*) filter (where known.stopped_at is not null) as stopped,
        min(known.stop_error) as stop_error
    from ${schema}.subscription_partitions as known
    where
        known.subscription_id = subscription.subscription_id
        and known.stream_id = subscription.stream_id
) as part on true;

comment on view ${schema}.subscription_states is
'Where every subscription stands: how far behind, who works on it, and what it could not handle.';

-------------------------------------------------------------------------------
-- Who may
-------------------------------------------------------------------------------

revoke execute on all functions in schema ${schema} from public;

do $$
declare
    reader constant text := (parse_ident('${schema}'))[1] || '_reader';
begin
    execute format(
        'grant select on ${schema}.subscription_partitions, ${schema}.subscription_consumers,'
        ' ${schema}.parked_events, ${schema}.subscription_states, ${schema}.projections,'
        ' ${schema}.event_type_counts to %I, emberkeep_service',
        reader
    );
    execute format(
        'grant execute on function'
        ' ${schema}.create_subscription(text, text, bigint, bigint, int, timestamptz),'
        ' ${schema}.reset_subscription(text, text, bigint, bigint, int, timestamptz),'
        ' ${schema}.delete_subscription(text, text),'
        ' ${schema}.join_subscription(text, text, uuid, text, timestamptz),'
        ' ${schema}.leave_subscription(uuid),'
        ' ${schema}.lease_partitions(uuid, timestamptz, timestamptz, timestamptz),'
        ' ${schema}.renew_leases(uuid[], timestamptz, timestamptz),'
        ' ${schema}.release_partition(text, text, int, bigint),'
        ' ${schema}.acknowledge_events(text, text, int, bigint, bigint, bigint, timestamptz),'
        ' ${schema}.park_event(text, text, int, bigint, bigint, bigint, int, text, timestamptz),'
        ' ${schema}.stop_partition(text, text, int, bigint, text, timestamptz),'
        ' ${schema}.resume_subscription(text, text),'
        ' ${schema}.replay_parked(text, text, bigint[], text),'
        ' ${schema}.skip_parked(text, text, bigint[], text, timestamptz),'
        ' ${schema}.settle_replay(text, text, int, bigint, bigint, timestamptz),'
        ' ${schema}.read_replays(text, text, int, int),'
        ' ${schema}.scan_stream(text, bigint, text[], int)'
        ' to %I, emberkeep_service',
        reader
    );
end
$$;

grant execute on function ${schema}.expire_events(timestamptz) to emberkeep_service;
grant insert, update on ${schema}.projections to emberkeep_service;
grant insert, update, delete on ${schema}.event_type_counts to emberkeep_service;
