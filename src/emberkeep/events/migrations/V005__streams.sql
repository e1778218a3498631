-------------------------------------------------------------------------------
-- What one does with streams: read, link, delete, take snapshots
-------------------------------------------------------------------------------

-- Apart from the file that added them, so that nobody waits while old events are looked at.
alter table ${schema}.events
validate constraint events_event_type,
validate constraint events_event_version,
validate constraint events_metadata,
validate constraint events_created_at;

alter table ${schema}.event_streams
add column erased_at timestamptz null,
add column erased_events bigint not null default 0,
add column deleted_by text null;

comment on column ${schema}.event_streams.erased_at is
'Set when its events were erased for good; the name is not used again.';
comment on column ${schema}.event_streams.erased_events is
'How many of its versions hold nothing any more: erased here, or links to events erased elsewhere.';
comment on column ${schema}.event_streams.deleted_by is 'Who deleted the stream.';

create table ${schema}.event_links (
    stream_id text not null,
    stream_version bigint not null,
    event_id bigint not null,
    created_at timestamptz not null,
    constraint pk_event_links primary key (stream_id, stream_version),
    constraint fk_event_links_stream foreign key (stream_id)
    references ${schema}.event_streams (stream_id),
    constraint uq_event_links_event unique (stream_id, event_id)
);

comment on table ${schema}.event_links is
'An event that stands in a further stream too, at a version of that stream.';

-- Serves erase_stream.
create index idx_event_links_event_id on ${schema}.event_links (event_id);

create table ${schema}.snapshots (
    source_id text not null,
    source_version bigint not null,
    source_type text not null,
    data jsonb not null,
    metadata jsonb null,
    created_at timestamptz not null,
    constraint pk_snapshots primary key (source_id),
    constraint snapshots_source_version check (source_version >= 1)
);

comment on table ${schema}.snapshots is
'The latest state of each source that somebody folded from its events, and the version it is of.';

-------------------------------------------------------------------------------
-- Archive: old events by the month they are of, read like the others
-------------------------------------------------------------------------------

create table ${schema}.archived_events (
    event_id bigint not null,
    event_uuid uuid null,
    stream_id text not null,
    stream_version bigint not null,
    event_type text not null,
    event_version integer not null,
    data jsonb not null,
    metadata jsonb null,
    created_at timestamptz not null,
    constraint pk_archived_events primary key (event_id, created_at)
) partition by range (created_at);

comment on table ${schema}.archived_events is
'Events that were moved out of the way: every position in here lies before those in events.';

-- Serves stream_contents.
create index idx_archived_events_stream on ${schema}.archived_events (stream_id, stream_version);

-------------------------------------------------------------------------------
-- Facts stay as they are, but for what an operator archives, expires or erases
-------------------------------------------------------------------------------

create or replace function ${schema}.refuse_change() returns trigger
language plpgsql
as $$
begin
    -- The functions that do so say it for the length of their own statements.
    if
        tg_op = 'DELETE'
        and current_setting('emberkeep.erasing', true) = pg_current_xact_id()::text
    then
        return null;
    end if;

    raise exception '%.% is append-only', tg_table_schema, tg_table_name
    using
        errcode = 'restrict_violation',
        constraint = tg_table_name || '_append_only',
        hint = 'Append an event that says what changed.';
end
$$;

create trigger archived_events_refuse_change
before update or delete or truncate on ${schema}.archived_events
for each statement execute function ${schema}.refuse_change();

create trigger event_links_refuse_change
before update or delete or truncate on ${schema}.event_links
for each statement execute function ${schema}.refuse_change();

-------------------------------------------------------------------------------
-- Read
-------------------------------------------------------------------------------

-- `number` says where the event stands in what was read: its version in that stream, which for a
-- link is not the version it was written with; or its position in `$all`.
create type ${schema}.recorded_event as (
    number bigint,
    event_id bigint,
    event_uuid uuid,
    stream_id text,
    stream_version bigint,
    event_type text,
    event_version int,
    data jsonb,
    metadata jsonb,
    created_at timestamptz
);

create view ${schema}.all_events as
select
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data,
    event.metadata,
    event.created_at
from ${schema}.events as event
union all
select
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data,
    event.metadata,
    event.created_at
from ${schema}.archived_events as event;

comment on view ${schema}.all_events is 'Every event that was not erased, archived or not.';

-- What stands in each stream, its own events and the linked ones alike.
create view ${schema}.stream_contents as
select
    event.stream_id as in_stream_id,
    event.stream_version as number,
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data,
    event.metadata,
    event.created_at
from ${schema}.all_events as event
union all
select
    link.stream_id as in_stream_id,
    link.stream_version as number,
    event.event_id,
    event.event_uuid,
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data,
    event.metadata,
    event.created_at
from ${schema}.event_links as link
inner join ${schema}.all_events as event on link.event_id = event.event_id;

comment on view ${schema}.stream_contents is
'Every event of every stream, at the version where it stands in that stream; links are followed.';

create function ${schema}.check_stream_readable(stream_id text) returns void
language plpgsql
stable
as $$
declare
    stream record;
begin
    select known.deleted_at
    into stream
    from ${schema}.event_streams as known
    where
        known.stream_id = check_stream_readable.stream_id
        and known.stream_id not like '$%'
        -- A name that is followed before anything was written to it is no stream yet.
        and known.stream_version > 0;

    if not found then
        raise exception 'there is no stream of this name'
        using errcode = 'no_data_found', constraint = 'event_streams_unknown';
    end if;
    if stream.deleted_at is not null then
        raise exception 'the stream was deleted'
        using errcode = 'restrict_violation', constraint = 'event_streams_deleted';
    end if;
end
$$;

create function ${schema}.read_stream_forward(
    stream_id text, start_version bigint, max_count int
) returns setof ${schema}.recorded_event
language plpgsql
stable
rows 1000
as $$
begin
    perform ${schema}.check_stream_readable(read_stream_forward.stream_id);

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
        event.in_stream_id = read_stream_forward.stream_id
        and event.number >= start_version
    order by event.number
    limit max_count;
end
$$;

comment on function ${schema}.read_stream_forward(text, bigint, int) is
'Events of one stream from a version on, oldest first.';

create function ${schema}.read_stream_backward(
    stream_id text, start_version bigint, max_count int
) returns setof ${schema}.recorded_event
language plpgsql
stable
rows 1000
as $$
begin
    perform ${schema}.check_stream_readable(read_stream_backward.stream_id);

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
        event.in_stream_id = read_stream_backward.stream_id
        and event.number <= start_version
    order by event.number desc
    limit max_count;
end
$$;

comment on function ${schema}.read_stream_backward(text, bigint, int) is
'Events of one stream from a version back, newest first; any higher version is the end.';

create function ${schema}.read_all_forward(
    after_event_id bigint, max_count int
) returns setof ${schema}.recorded_event
language plpgsql
volatile
rows 1000
as $$
declare
    last_final bigint;
begin
    select edge.horizon
    into last_final
    from ${schema}.read_horizon() as edge;

    return query
    select
        event.event_id,
        event.event_id,
        event.event_uuid,
        event.stream_id,
        event.stream_version,
        event.event_type,
        event.event_version,
        event.data,
        event.metadata,
        event.created_at
    from ${schema}.all_events as event
    where event.event_id > after_event_id and event.event_id <= last_final
    order by event.event_id
    limit max_count;
end
$$;

comment on function ${schema}.read_all_forward(bigint, int) is
'Events of all streams after a position, in their final order: nothing ever appears before what was read.';

create function ${schema}.read_all_backward(
    before_event_id bigint, max_count int
) returns setof ${schema}.recorded_event
language plpgsql
volatile
rows 1000
as $$
declare
    last_final bigint;
begin
    select edge.horizon
    into last_final
    from ${schema}.read_horizon() as edge;

    return query
    select
        event.event_id,
        event.event_id,
        event.event_uuid,
        event.stream_id,
        event.stream_version,
        event.event_type,
        event.event_version,
        event.data,
        event.metadata,
        event.created_at
    from ${schema}.all_events as event
    where event.event_id < before_event_id and event.event_id <= last_final
    order by event.event_id desc
    limit max_count;
end
$$;

comment on function ${schema}.read_all_backward(bigint, int) is
'Events of all streams before a position, newest first; any higher position is the end.';

-- For those who follow the store. They read the horizon first, and then, up to there, no further
-- than they want to look at once: a rare type never makes one statement read the whole store.
create function ${schema}.scan_events(
    after_event_id bigint,
    through_event_id bigint,
    category text,
    event_types text[],
    max_count int
) returns setof ${schema}.recorded_event
language sql
stable
rows 1000
as $$
    select
        event.event_id,
        event.event_id,
        event.event_uuid,
        event.stream_id,
        event.stream_version,
        event.event_type,
        event.event_version,
        event.data,
        event.metadata,
        event.created_at
    from ${schema}.all_events as event
    where
        event.event_id > after_event_id
        and event.event_id <= through_event_id
        and (
            scan_events.category is null
            or split_part(event.stream_id, '-', 1) = scan_events.category
        )
        and (event_types is null or event.event_type = any(event_types))
    order by event.event_id
    limit max_count
$$;

comment on function ${schema}.scan_events(bigint, bigint, text, text[], int) is
'Events after one position, through another; of a category (what stands before the first hyphen) and types, or any.';

-------------------------------------------------------------------------------
-- Streams
-------------------------------------------------------------------------------

create type ${schema}.stream_info as (
    stream_id text,
    stream_version bigint,
    created_at timestamptz,
    updated_at timestamptz,
    deleted_at timestamptz,
    erased_at timestamptz,
    metadata jsonb
);

create function ${schema}.read_stream_info(stream_id text) returns setof ${schema}.stream_info
language sql
stable
rows 1
as $$
    select
        stream.stream_id,
        stream.stream_version,
        stream.created_at,
        stream.updated_at,
        stream.deleted_at,
        stream.erased_at,
        stream.metadata
    from ${schema}.event_streams as stream
    where
        stream.stream_id = read_stream_info.stream_id
        and stream.stream_id not like '$%'
        and stream.stream_version > 0
$$;

comment on function ${schema}.read_stream_info(text) is
'How far a stream has come, and whether it was deleted; no row where there is none.';

-- The order is put into the statement, because only so an index can serve it.
create function ${schema}.paginate_streams(
    search text,
    sort_by text,
    is_descending boolean,
    after_value text,
    after_stream_id text,
    max_count int
) returns setof ${schema}.stream_info
language plpgsql
stable
rows 100
as $$
declare
    sort_type text;
begin
    sort_type := case sort_by
        when 'stream_id' then 'text'
        when 'stream_version' then 'bigint'
        when 'created_at' then 'timestamptz'
        when 'updated_at' then 'timestamptz'
    end;
    if sort_type is null then
        raise exception 'streams are sorted by stream_id, stream_version, created_at or updated_at'
        using errcode = 'invalid_parameter_value', constraint = 'event_streams_sort';
    end if;

    return query execute format(
        'select stream.stream_id, stream.stream_version, stream.created_at, stream.updated_at,'
        ' stream.deleted_at, stream.erased_at, stream.metadata'
        ' from ${schema}.event_streams as stream'
        ' where stream.stream_id not like ''$%%'' and stream.stream_version > 0'
        ' and ($1 is null or position($1 in stream.stream_id) > 0)'
        ' and ($2 is null or (stream.%1$I, stream.stream_id) %2$s ($2::%3$s, $3))'
        ' order by stream.%1$I %4$s, stream.stream_id %4$s'
        ' limit $4',
        sort_by,
        case when is_descending then '<' else '>' end,
        sort_type,
        case when is_descending then 'desc' else 'asc' end
    )
    using search, after_value, after_stream_id, max_count;
end
$$;

comment on function ${schema}.paginate_streams(text, text, boolean, text, text, int) is
'Streams whose name holds `search`, after a place in the order: the sort value and the name of the last one.';

-- Brings the stream into being, so that it can be held.
create function ${schema}.hold_stream(
    stream_id text, expected_version bigint, held_at timestamptz
) returns bigint
language plpgsql
as $$
declare
    stream record;
begin
    perform ${schema}.check_stream_id(hold_stream.stream_id);

    insert into ${schema}.event_streams as known (stream_id, created_at, updated_at)
    values (hold_stream.stream_id, held_at, held_at)
    on conflict on constraint pk_event_streams do nothing;

    select
        known.stream_version,
        known.deleted_at
    into stream
    from ${schema}.event_streams as known
    where known.stream_id = hold_stream.stream_id
    for no key update;

    if stream.deleted_at is not null then
        raise exception 'the stream was deleted'
        using errcode = 'restrict_violation', constraint = 'event_streams_deleted';
    end if;
    perform ${schema}.check_version(expected_version, stream.stream_version);

    return stream.stream_version;
end
$$;

create function ${schema}.link_to_stream(
    stream_id text, expected_version bigint, event_ids bigint[], linked_at timestamptz
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    links constant int := cardinality(event_ids);
    base bigint;
    missing bigint;
begin
    lock table only ${schema}.archived_events in row exclusive mode;

    -- Before the stream itself, as erase_stream does: whoever erases these events waits for us, or
    -- we for him, and neither waits for the other.
    perform origin.stream_id
    from ${schema}.event_streams as origin
    where
        origin.stream_id in (
            select event.stream_id
            from ${schema}.all_events as event
            where event.event_id = any(event_ids)
        )
    order by origin.stream_id
    for key share;

    base := ${schema}.hold_stream(link_to_stream.stream_id, expected_version, linked_at);

    if exists (
        select
        from ${schema}.all_events as event
        where event.event_id = any(event_ids) and event.stream_id = link_to_stream.stream_id
    ) then
        raise exception 'one of these events stands in that stream already'
        using errcode = 'unique_violation', constraint = 'uq_event_links_event';
    end if;

    select min(wanted.event_id)
    into missing
    from unnest(event_ids) as wanted (event_id)
    left join ${schema}.all_events as event on wanted.event_id = event.event_id
    where event.event_id is null;

    if missing is not null then
        raise exception 'there is no event %', missing
        using
            errcode = 'no_data_found',
            constraint = 'event_links_event',
            detail = jsonb_build_object('event_id', missing)::text;
    end if;

    insert into ${schema}.event_links as link (stream_id, stream_version, event_id, created_at)
    select
        link_to_stream.stream_id,
        base + wanted.step,
        wanted.event_id,
        linked_at
    from unnest(event_ids) with ordinality as wanted (event_id, step);

    update ${schema}.event_streams as known
    set
        stream_version = base + links,
        updated_at = linked_at
    where known.stream_id = link_to_stream.stream_id;

    -- A link has no position, so the horizon does not move: the payload says who must look.
    perform pg_notify((parse_ident('${schema}'))[1], link_to_stream.stream_id);

    return base + links;
end
$$;

comment on function ${schema}.link_to_stream(text, bigint, bigint[], timestamptz) is
'Puts events that are in the store into a further stream, once each; answers its new version.';

create function ${schema}.delete_stream(
    stream_id text, expected_version bigint, deleted_by text, deleted_at timestamptz
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    last_version bigint;
begin
    perform ${schema}.check_stream_readable(delete_stream.stream_id);
    last_version := ${schema}.hold_stream(
        delete_stream.stream_id, expected_version, delete_stream.deleted_at
    );

    update ${schema}.event_streams as known
    set
        deleted_at = delete_stream.deleted_at,
        deleted_by = delete_stream.deleted_by,
        updated_at = delete_stream.deleted_at
    where known.stream_id = delete_stream.stream_id;

    return last_version;
end
$$;

comment on function ${schema}.delete_stream(text, bigint, text, timestamptz) is
'Closes a stream: reading and appending say so from now on; `$all` keeps its events. Answers its last version.';

-- The row of the stream stays, so that its name and versions are never given again.
create function ${schema}.erase_stream(
    stream_id text, expected_version bigint, erased_by text, erased_at timestamptz
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    last_version bigint;
    erased bigint;
begin
    lock table only ${schema}.archived_events in share row exclusive mode;

    select known.stream_version
    into last_version
    from ${schema}.event_streams as known
    where
        known.stream_id = erase_stream.stream_id
        and known.stream_id not like '$%'
        and known.stream_version > 0
    for update;

    if not found then
        raise exception 'there is no stream of this name'
        using errcode = 'no_data_found', constraint = 'event_streams_unknown';
    end if;
    perform ${schema}.check_version(expected_version, last_version);

    perform set_config('emberkeep.erasing', pg_current_xact_id()::text, true);

    with erased_link as (
        delete from ${schema}.event_links as link
        using ${schema}.all_events as event
        where
            link.event_id = event.event_id
            and event.stream_id = erase_stream.stream_id
            and link.stream_id <> erase_stream.stream_id
        returning link.stream_id
    )

    update ${schema}.event_streams as known
    set erased_events = known.erased_events + hole.events
    from (
        select
            erased_link.stream_id,
            count(*) as events
        from erased_link
        group by erased_link.stream_id
    ) as hole
    where known.stream_id = hole.stream_id;

    delete from ${schema}.event_links as link
    where link.stream_id = erase_stream.stream_id;

    with erased_event as (
        delete from ${schema}.events as event
        where event.stream_id = erase_stream.stream_id
        returning event.event_id
    ),

    erased_from_archive as (
        delete from ${schema}.archived_events as event
        where event.stream_id = erase_stream.stream_id
        returning event.event_id
    )

    select (select count(*) from erased_event) + (select count(*) from erased_from_archive)
    into erased;

    perform set_config('emberkeep.erasing', '', true);

    delete from ${schema}.snapshots as snapshot
    where snapshot.source_id = erase_stream.stream_id;

    update ${schema}.event_streams as known
    set
        erased_events = known.stream_version,
        erased_at = erase_stream.erased_at,
        deleted_at = coalesce(known.deleted_at, erase_stream.erased_at),
        deleted_by = erased_by,
        updated_at = erase_stream.erased_at,
        metadata = null
    where known.stream_id = erase_stream.stream_id;

    return erased;
end
$$;

comment on function ${schema}.erase_stream(text, bigint, text, timestamptz) is
'Erases the events of a stream for good, and every link to them. For operators; answers how many went.';

-------------------------------------------------------------------------------
-- Archive and expire
-------------------------------------------------------------------------------

-- Attached, not created as a partition: that would stop every reader for as long as it takes.
create function ${schema}.ensure_archive_month(first_day date) returns void
language plpgsql
as $$
declare
    store constant text := (parse_ident('${schema}'))[1];
    month_name constant text := 'archived_events_p' || to_char(first_day, 'YYYYMM');
begin
    if to_regclass(format('%I.%I', store, month_name)) is not null then
        return;
    end if;

    execute format(
        'create table %1$I.%2$I (like ${schema}.archived_events including all)', store, month_name
    );
    execute format(
        'alter table ${schema}.archived_events attach partition %1$I.%2$I'
        ' for values from (%3$L) to (%4$L)',
        store,
        month_name,
        first_day::timestamp at time zone 'UTC',
        (first_day + interval '1 month')::timestamp at time zone 'UTC'
    );
end
$$;

-- Takes the oldest positions only, up to the first event that is young enough to stay: so what is
-- archived always lies before what is not.
create function ${schema}.archive_events(created_before timestamptz, max_count int) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    last_event_id bigint;
    last_final bigint;
    first_day date;
    archived bigint;
begin
    lock table only ${schema}.archived_events in share row exclusive mode;

    select edge.horizon
    into last_final
    from ${schema}.read_horizon() as edge;

    select
        coalesce(
            min(oldest.event_id) filter (where oldest.created_at >= created_before) - 1,
            max(oldest.event_id)
        )
    into last_event_id
    from (
        select
            event.event_id,
            event.created_at
        from ${schema}.events as event
        where event.event_id <= last_final
        order by event.event_id
        limit max_count
    ) as oldest;

    for first_day in
        select distinct date_trunc('month', event.created_at at time zone 'UTC')::date
        from ${schema}.events as event
        where event.event_id <= last_event_id
    loop
        perform ${schema}.ensure_archive_month(first_day);
    end loop;

    perform set_config('emberkeep.erasing', pg_current_xact_id()::text, true);

    with moved as (
        delete from ${schema}.events as event
        where event.event_id <= last_event_id
        returning
            event.event_id,
            event.event_uuid,
            event.stream_id,
            event.stream_version,
            event.event_type,
            event.event_version,
            event.data,
            event.metadata,
            event.created_at
    )

    insert into ${schema}.archived_events (
        event_id,
        event_uuid,
        stream_id,
        stream_version,
        event_type,
        event_version,
        data,
        metadata,
        created_at
    )
    select
        moved.event_id,
        moved.event_uuid,
        moved.stream_id,
        moved.stream_version,
        moved.event_type,
        moved.event_version,
        moved.data,
        moved.metadata,
        moved.created_at
    from moved
    order by moved.event_id;

    get diagnostics archived = row_count;

    perform set_config('emberkeep.erasing', '', true);

    return archived;
end
$$;

comment on function ${schema}.archive_events(timestamptz, int) is
'Moves the oldest events to the archive, at most so many and none that is younger; answers how many. 0: done.';

-------------------------------------------------------------------------------
-- Snapshots
-------------------------------------------------------------------------------

create function ${schema}.record_snapshot(
    source_id text,
    source_version bigint,
    source_type text,
    data jsonb,
    metadata jsonb,
    created_at timestamptz
) returns bigint
language sql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
    -- A slow writer never puts an older state over a newer one.
    insert into ${schema}.snapshots as snapshot (
        source_id,
        source_version,
        source_type,
        data,
        metadata,
        created_at
    )
    values ($1, $2, $3, $4, $5, $6)
    on conflict on constraint pk_snapshots do update
        set
            source_version = excluded.source_version,
            source_type = excluded.source_type,
            data = excluded.data,
            metadata = excluded.metadata,
            created_at = excluded.created_at
        where snapshot.source_version <= excluded.source_version;

    select snapshot.source_version
    from ${schema}.snapshots as snapshot
    where snapshot.source_id = $1;
$$;

comment on function ${schema}.record_snapshot(text, bigint, text, jsonb, jsonb, timestamptz) is
'Keeps the state of a source, unless a newer one is kept already; answers the version that is kept.';

create function ${schema}.read_snapshot(source_id text) returns setof ${schema}.snapshots
language sql
stable
rows 1
as $$
    select
        snapshot.source_id,
        snapshot.source_version,
        snapshot.source_type,
        snapshot.data,
        snapshot.metadata,
        snapshot.created_at
    from ${schema}.snapshots as snapshot
    where snapshot.source_id = read_snapshot.source_id
$$;

comment on function ${schema}.read_snapshot(text) is
'The state that is kept of a source; no row where there is none.';

create function ${schema}.delete_snapshot(source_id text) returns boolean
language sql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
    with deleted as (
        delete from ${schema}.snapshots as snapshot
        where snapshot.source_id = $1
        returning snapshot.source_id
    )

    select exists (select from deleted);
$$;

comment on function ${schema}.delete_snapshot(text) is
'Forgets the state that is kept of a source; says whether there was one.';

-------------------------------------------------------------------------------
-- Who may
-------------------------------------------------------------------------------

-- Not in V004: an append that waits for the locks of that file runs on with the rights of its
-- caller, as the function it had begun does. It has ended before this file could lock the streams.
revoke insert, update on ${schema}.event_streams, ${schema}.events, ${schema}.subscriptions
from emberkeep_service;
revoke usage on sequence ${schema}.events_event_id_seq from emberkeep_service;

revoke execute on all functions in schema ${schema} from public;

do $$
declare
    store constant text := (parse_ident('${schema}'))[1];
begin
    execute format(
        'grant select on ${schema}.event_links, ${schema}.snapshots, ${schema}.archived_events,'
        ' ${schema}.all_events, ${schema}.stream_contents to %I, emberkeep_service',
        store || '_reader'
    );
    execute format(
        'grant execute on function'
        ' ${schema}.check_stream_readable(text),'
        ' ${schema}.read_stream_forward(text, bigint, int),'
        ' ${schema}.read_stream_backward(text, bigint, int),'
        ' ${schema}.read_all_forward(bigint, int),'
        ' ${schema}.read_all_backward(bigint, int),'
        ' ${schema}.scan_events(bigint, bigint, text, text[], int),'
        ' ${schema}.read_stream_info(text),'
        ' ${schema}.paginate_streams(text, text, boolean, text, text, int),'
        ' ${schema}.read_snapshot(text)'
        ' to %I, emberkeep_service',
        store || '_reader'
    );
    execute format(
        'grant execute on function'
        ' ${schema}.link_to_stream(text, bigint, bigint[], timestamptz),'
        ' ${schema}.delete_stream(text, bigint, text, timestamptz),'
        ' ${schema}.record_snapshot(text, bigint, text, jsonb, jsonb, timestamptz),'
        ' ${schema}.delete_snapshot(text)'
        ' to %I, emberkeep_service',
        store || '_writer'
    );
    grant execute on function
    ${schema}.erase_stream(text, bigint, text, timestamptz),
    ${schema}.archive_events(timestamptz, int)
    to emberkeep_service;
end
$$;
