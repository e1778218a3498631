-------------------------------------------------------------------------------
-- Takes back V004: the service appends by itself again, in no common order
-------------------------------------------------------------------------------

drop function ${schema}.append_to_stream(
    text, bigint, text[], jsonb[], timestamptz, jsonb[], uuid[], int[]
);
drop function ${schema}.append_batch(
    text[], bigint[], int[], uuid[], text[], int[], text[], text[], timestamptz
);
drop function ${schema}.append_to_streams(text[], text[], int[], text[], text[], timestamptz);
drop function ${schema}.check_stream_ids(text[]);
drop function ${schema}.check_stream_id(text);

alter table ${schema}.events
drop constraint events_event_type,
drop constraint events_event_version,
drop constraint events_metadata,
drop constraint events_created_at;

drop function ${schema}.check_version(bigint, bigint);
drop function ${schema}.is_expected(bigint, bigint);
drop function ${schema}.wake_subscribers();
drop function ${schema}.read_horizon();
drop function ${schema}.check_isolation();
drop function ${schema}.list_fences();
drop function ${schema}.hold_fence();
drop function ${schema}.fence_key(bigint);

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

grant execute on all functions in schema ${schema} to public;
grant insert on ${schema}.events to emberkeep_service;
grant insert, update on ${schema}.event_streams, ${schema}.subscriptions to emberkeep_service;
grant usage on sequence ${schema}.events_event_id_seq to emberkeep_service;
revoke select on sequence ${schema}.events_event_id_seq from emberkeep_service;

do $$
declare
    store constant text := (parse_ident('${schema}'))[1];
    role_name text;
begin
    foreach role_name in array array[store || '_writer', store || '_reader'] loop
        execute format('revoke all on all tables in schema ${schema} from %I', role_name);
        execute format('revoke all on all sequences in schema ${schema} from %I', role_name);
        execute format('revoke all on schema ${schema} from %I', role_name);
    end loop;
end
$$;
