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
grant select, insert on ${schema}.events to emberkeep_service;
grant select, insert, update on ${schema}.event_streams, ${schema}.subscriptions
to emberkeep_service;
grant usage on sequence ${schema}.events_event_id_seq to emberkeep_service;
