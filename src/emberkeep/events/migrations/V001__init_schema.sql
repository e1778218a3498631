-------------------------------------------------------------------------------
-- Event store: streams, events and subscriptions
-------------------------------------------------------------------------------

create schema if not exists ${schema};

create table ${schema}.event_streams (
    stream_id text not null,
    stream_version bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz null,
    metadata jsonb null,
    constraint pk_event_streams primary key (stream_id)
) with (fillfactor = 80);

comment on table ${schema}.event_streams is 'One row per stream: how far it has come.';
comment on column ${schema}.event_streams.stream_version is 'The version of its last event; versions start at 1 and have no gaps.';
comment on column ${schema}.event_streams.deleted_at is 'Set when the stream was deleted: it takes no more events.';

-------------------------------------------------------------------------------
-- Events
-------------------------------------------------------------------------------

create table ${schema}.events (
    -- squawk-ignore prefer-identity -- the schema document says bigserial.
    event_id bigserial not null,
    stream_id text not null,
    stream_version bigint not null,
    event_type text not null,
    event_version integer not null default 1,
    data jsonb not null,
    metadata jsonb null,
    created_at timestamptz not null default now(),
    constraint pk_events primary key (event_id),
    constraint fk_events_stream foreign key (stream_id)
    references ${schema}.event_streams (stream_id),
    constraint uq_events_stream_version unique (stream_id, stream_version)
);

comment on table ${schema}.events is 'Every fact, once, in the order of its stream.';
comment on column ${schema}.events.event_id is 'Position among all events; rises within a stream.';
comment on column ${schema}.events.event_version is 'The version of the form that data has for this event_type.';
comment on column ${schema}.events.metadata is 'Where it came from: correlation, causation, actor, trace.';

-------------------------------------------------------------------------------
-- Subscriptions
-------------------------------------------------------------------------------

create table ${schema}.subscriptions (
    subscription_id text not null,
    stream_id text not null,
    last_seen_event_id bigint null,
    last_seen_stream_version bigint null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    metadata jsonb null,
    constraint pk_subscriptions primary key (subscription_id, stream_id),
    constraint fk_subscriptions_stream foreign key (stream_id)
    references ${schema}.event_streams (stream_id)
);

comment on table ${schema}.subscriptions is 'How far each subscriber has come in each stream it follows.';
comment on column ${schema}.subscriptions.last_seen_event_id is 'The last event that was acknowledged.';

-------------------------------------------------------------------------------
-- Facts stay as they are
-------------------------------------------------------------------------------

create function ${schema}.refuse_change() returns trigger
language plpgsql
as $$
begin
    raise exception '%.% is append-only', tg_table_schema, tg_table_name
    using
        errcode = 'restrict_violation',
        constraint = tg_table_name || '_append_only',
        hint = 'Append an event that says what changed.';
end
$$;

create trigger events_refuse_change
before update or delete or truncate on ${schema}.events
for each statement execute function ${schema}.refuse_change();

-------------------------------------------------------------------------------
-- Append
-------------------------------------------------------------------------------

-- Locks the streams in order of their names, so that two appends never wait for each other.
create function ${schema}.append_to_streams(
    stream_ids text[],
    event_types text[],
    event_versions int[],
    data text[],
    metadata text[],
    appended_at timestamptz
) returns bigint
language plpgsql
-- Both sides of the join are as long as the batch, which the planner cannot know.
set enable_nestloop = off
set enable_mergejoin = on
as $$
declare
    appended bigint;
begin
    with given as (
        select
            event.stream_id,
            event.event_type,
            event.event_version,
            event.data,
            event.metadata,
            event.ordinal,
            row_number() over (partition by event.stream_id order by event.ordinal) as step,
            count(*) over (partition by event.stream_id) as steps
        from
            unnest(stream_ids, event_types, event_versions, data, metadata) with ordinality
            as event (stream_id, event_type, event_version, data, metadata, ordinal)
    ),

    moved as (
        insert into ${schema}.event_streams as stream (
            stream_id,
            stream_version,
            created_at,
            updated_at
        )
        select
            given.stream_id,
            given.steps,
            appended_at,
            appended_at
        from given
        where given.step = 1
        order by given.stream_id
        on conflict on constraint pk_event_streams do update
            set
                stream_version = stream.stream_version + excluded.stream_version,
                updated_at = excluded.updated_at
            where stream.deleted_at is null
        returning stream.stream_id, stream.stream_version
    )

    insert into ${schema}.events (
        stream_id,
        stream_version,
        event_type,
        event_version,
        data,
        metadata,
        created_at
    )
    select
        given.stream_id,
        moved.stream_version - given.steps + given.step,
        given.event_type,
        given.event_version,
        given.data::jsonb,
        given.metadata::jsonb,
        appended_at
    from given
    inner join moved on given.stream_id = moved.stream_id
    order by given.ordinal;

    get diagnostics appended = row_count;

    if appended <> cardinality(stream_ids) then
        raise exception 'a deleted stream takes no more events'
        using errcode = 'restrict_violation', constraint = 'event_streams_deleted';
    end if;

    return appended;
end
$$;

comment on function ${schema}.append_to_streams(text[], text[], int[], text[], text[], timestamptz) is
'Appends any number of events to any number of streams, in the order given, or none. Returns how many.';

-------------------------------------------------------------------------------
-- The role that runs the service appends and reads
-------------------------------------------------------------------------------

do $$
begin
    if not exists (select 1 from pg_roles where rolname = 'emberkeep_service') then
        create role emberkeep_service nologin;
    end if;
exception
    when duplicate_object or unique_violation then null;
end
$$;

grant usage on schema ${schema} to emberkeep_service;
grant select on all tables in schema ${schema} to emberkeep_service;
grant insert on ${schema}.events to emberkeep_service;
grant insert, update on ${schema}.event_streams, ${schema}.subscriptions to emberkeep_service;
grant usage on sequence ${schema}.events_event_id_seq to emberkeep_service;
