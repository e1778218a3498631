-------------------------------------------------------------------------------
-- Appends that agree on one order, without waiting for each other
-------------------------------------------------------------------------------

-- Positions are drawn from a sequence, and transactions commit in another order than they draw. A
-- reader who trusts the highest position it sees would skip what commits late. So each append first
-- takes a lock that anybody can share, and whose number says below which position it will write
-- nothing. What a reader may trust ends at the lowest number that is still held: the horizon.

-- The number: the store in the upper 16 bits, the position in the 48 below.
create function ${schema}.fence_key(bound bigint) returns bigint
language sql
stable
as $$
    select (('${schema}.events_event_id_seq'::regclass::oid::bigint & 65535) << 48) | bound
$$;

comment on function ${schema}.fence_key(bigint) is
'The advisory lock that stands for a lower bound of the positions that a transaction will write.';

create function ${schema}.hold_fence() returns void
language plpgsql
as $$
declare
    setting constant text
    := 'emberkeep.fence_' || '${schema}.events_event_id_seq'::regclass::oid::text;
    last_event_id constant bigint
    := coalesce(pg_sequence_last_value('${schema}.events_event_id_seq'::regclass), 0);
    bound bigint := nullif(current_setting(setting, true), '')::bigint;
begin
    -- What a transaction draws later is higher still, so its first bound holds for all of it. To
    -- take the same lock again costs no room: with a new one for each append, a transaction of many
    -- would fill the server's table of locks. A savepoint that is rolled back takes lock and
    -- setting with it; and whoever writes the setting by hand can only hold up readers.
    if bound is null or bound not between 0 and last_event_id then
        bound := last_event_id;
        perform set_config(setting, bound::text, true);
    end if;
    perform pg_advisory_xact_lock_shared(${schema}.fence_key(bound));
end
$$;

comment on function ${schema}.hold_fence() is
'Before a transaction draws its first position: tells readers to trust nothing from there on.';

create function ${schema}.list_fences() returns table (
    bound bigint,
    pid int
)
language sql
stable
as $$
    select
        ((held.classid::bigint & 65535) << 32) | held.objid::bigint,
        held.pid
    from pg_locks as held
    where
        held.locktype = 'advisory'
        and held.objsubid = 1
        and held.mode = 'ShareLock'
        and held.database = (
            select here.oid
            from pg_database as here
            where here.datname = current_database()
        )
        and held.classid::bigint >> 16
        = '${schema}.events_event_id_seq'::regclass::oid::bigint & 65535
$$;

comment on function ${schema}.list_fences() is
'The transactions that have appended and not ended: who, and below which position they write nothing.';

-- Whoever reads by the horizon must see what was committed before it was read.
create function ${schema}.check_isolation() returns void
language plpgsql
stable
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception '`$all` is read in READ COMMITTED: a snapshot that was taken before the'
        ' horizon would skip what was committed between the two'
        using errcode = 'feature_not_supported', constraint = 'events_order_isolation';
    end if;
end
$$;

create function ${schema}.read_horizon(out horizon bigint, out last_event_id bigint)
language plpgsql
as $$
declare
    lowest_bound bigint;
begin
    perform ${schema}.check_isolation();

    if pg_is_in_recovery() then
        raise exception 'a standby does not know which appends are under way: ask the primary'
        using errcode = 'feature_not_supported', constraint = 'events_order_standby';
    end if;

    -- In this order. Whoever drew a position up to the last one did so before we looked: so the
    -- lock is still held, or the transaction has ended and the caller's next snapshot knows how.
    last_event_id := coalesce(
        pg_sequence_last_value('${schema}.events_event_id_seq'::regclass), 0
    );

    select min(fence.bound)
    into lowest_bound
    from ${schema}.list_fences() as fence;

    horizon := least(last_event_id, lowest_bound);
end
$$;

comment on function ${schema}.read_horizon() is
'Up to which event_id `$all` is final, and the last one handed out. Read events in a later statement.';

-- One of the appends under way is enough to wake everybody. Whoever finds the lock taken need not
-- notify: its position is drawn, so a reader who is woken by the holder sees that something is
-- missing, and looks again until it is there.
create function ${schema}.wake_subscribers() returns void
language plpgsql
as $$
begin
    if pg_try_advisory_xact_lock(${schema}.fence_key((1::bigint << 48) - 1)) then
        perform pg_notify((parse_ident('${schema}'))[1], '');
    end if;
end
$$;

comment on function ${schema}.wake_subscribers() is
'Notifies the channel named like the schema, unless a transaction under way does so already.';

-------------------------------------------------------------------------------
-- Refusals, each under the name of a constraint
-------------------------------------------------------------------------------

-- Null expects anything, -1 any stream that is there, 0 none, and a version that very one.
create function ${schema}.is_expected(expected bigint, actual bigint) returns boolean
language sql
immutable
as $$
    select coalesce(expected = actual or (expected = -1 and actual > 0), true)
$$;

create function ${schema}.check_version(expected bigint, actual bigint) returns void
language plpgsql
immutable
as $$
begin
    if not ${schema}.is_expected(expected, actual) then
        raise exception 'the stream is at version %, not where it was expected', actual
        using
            errcode = 'restrict_violation',
            constraint = 'event_streams_expected_version',
            detail = jsonb_build_object('expected', expected, 'actual', actual)::text;
    end if;
end
$$;

create function ${schema}.check_stream_id(stream_id text) returns void
language plpgsql
immutable
as $$
begin
    if coalesce(char_length(stream_id), 0) not between 1 and 512 or stream_id like '$%' then
        raise exception 'a stream has a name of 1 to 512 characters that does not begin with $'
        using errcode = 'invalid_parameter_value', constraint = 'event_streams_name';
    end if;
end
$$;

create function ${schema}.check_stream_ids(stream_ids text[]) returns void
language plpgsql
immutable
as $$
begin
    if exists (
        select
        from unnest(stream_ids) as named (stream_id)
        where
            coalesce(char_length(named.stream_id), 0) not between 1 and 512
            or starts_with(named.stream_id, '$')
    ) then
        perform ${schema}.check_stream_id('');
    end if;
end
$$;

-- What Python checks before it sends an event holds for every other writer too.
alter table ${schema}.events
add constraint events_event_type check (char_length(event_type) between 1 and 255) not valid,
add constraint events_event_version check (event_version >= 1) not valid,
add constraint events_metadata check (jsonb_typeof(metadata) = 'object') not valid,
-- The archive is by month, and a month has a year of four digits.
add constraint events_created_at
check (created_at >= '0001-01-01 00:00+00' and created_at < '9999-12-01 00:00+00') not valid;

-------------------------------------------------------------------------------
-- Append to any streams, whatever their versions: all or nothing
-------------------------------------------------------------------------------

-- Locks the streams in order of their names, so that two appends never wait for each other.
create or replace function ${schema}.append_to_streams(
    stream_ids text[],
    event_types text[],
    event_versions int[],
    data text[],
    metadata text[],
    appended_at timestamptz
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
-- Both sides of the join are as long as the batch, which the planner cannot know.
set enable_nestloop = off
set enable_mergejoin = on
as $$
declare
    appended bigint;
begin
    perform ${schema}.check_stream_ids(stream_ids);
    perform ${schema}.hold_fence();

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

    perform ${schema}.wake_subscribers();

    return appended;
end
$$;

-------------------------------------------------------------------------------
-- Append many batches to many streams: each by itself, if its stream is where it expects it
-------------------------------------------------------------------------------

-- Decides all appends while it holds their streams, then writes what was accepted at once. An
-- append expects null (anything), 0 (no stream yet), -1 (a stream), or the version of the last
-- event. The events of all appends stand one after the other; event_counts says where each ends.
create function ${schema}.append_batch(
    stream_ids text[],
    expected_versions bigint[],
    event_counts int[],
    event_uuids uuid[],
    event_types text[],
    event_versions int[],
    data text[],
    metadata text[],
    appended_at timestamptz
) returns table (
    outcome text,
    actual_version bigint,
    first_version bigint,
    first_event_id bigint,
    last_event_id bigint
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
-- An array says nothing of its length: every row is reached by an index, one by one.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    appends constant int := cardinality(stream_ids);
    outcomes text[] := array_fill(null::text, array[appends]);
    actuals bigint[] := array_fill(0::bigint, array[appends]);
    firsts bigint[] := array_fill(0::bigint, array[appends]);
    first_ids bigint[] := array_fill(null::bigint, array[appends]);
    last_ids bigint[] := array_fill(null::bigint, array[appends]);
    event_ids bigint[];
    -- Which append each event belongs to, and which step of it the event is, both from 1.
    event_appends int[];
    event_steps int[];
    old_ids text[];
    old_versions bigint[];
    new_ids text[];
    new_versions bigint[];
    raced text[];
    given record;
    stream text;
    version bigint;
    event_number int := 1;
    has_retries boolean;
begin
    select
        array_agg(append.ordinal::int order by append.ordinal, step.step),
        array_agg(step.step order by append.ordinal, step.step)
    into event_appends, event_steps
    from unnest(event_counts) with ordinality as append (events, ordinal)
    cross join lateral generate_series(1, append.events) as step (step);

    if
        appends is distinct from cardinality(expected_versions)
        or appends is distinct from cardinality(event_counts)
        or 1 > any(event_counts)
        or cardinality(event_appends) is distinct from cardinality(event_uuids)
        or cardinality(event_appends) is distinct from cardinality(event_types)
        or cardinality(event_appends) is distinct from cardinality(event_versions)
        or cardinality(event_appends) is distinct from cardinality(data)
        or cardinality(event_appends) is distinct from cardinality(metadata)
        or appended_at is null
    then
        raise exception 'the arrays of a batch do not fit each other'
        using errcode = 'invalid_parameter_value', constraint = 'events_append_form';
    end if;

    perform ${schema}.check_stream_ids(stream_ids);
    perform ${schema}.hold_fence();

    loop
        old_ids := '{}';
        old_versions := '{}';
        new_ids := '{}';
        new_versions := '{}';
        stream := null;

        -- Locked in order of the names, so that two batches never wait for each other.
        for given in
            select
                named.stream_id,
                named.expected,
                named.events,
                named.append,
                held.stream_version,
                held.deleted_at
            from (
                select
                    append.stream_id,
                    append.expected,
                    append.events,
                    append.ordinal::int as append
                from
                    unnest(stream_ids, expected_versions, event_counts, outcomes)
                    with ordinality as append (stream_id, expected, events, outcome, ordinal)
                where append.outcome is null
                order by append.stream_id, append.ordinal
            ) as named
            left join lateral (
                select
                    known.stream_version,
                    known.deleted_at
                from ${schema}.event_streams as known
                where known.stream_id = named.stream_id
                for no key update
            ) as held on true
        loop
            if given.stream_id is distinct from stream then
                stream := given.stream_id;
                version := coalesce(given.stream_version, 0);
            end if;

            if given.deleted_at is not null then
                outcomes[given.append] := 'deleted';
            elsif ${schema}.is_expected(given.expected, version) then
                outcomes[given.append] := 'appended';
                firsts[given.append] := version + 1;
                version := version + given.events;
                -- The highest entry of a stream says how far it comes.
                if given.stream_version is null then
                    new_ids := new_ids || given.stream_id;
                    new_versions := new_versions || version;
                else
                    old_ids := old_ids || given.stream_id;
                    old_versions := old_versions || version;
                end if;
            else
                outcomes[given.append] := 'wrong_expected_version';
            end if;
            actuals[given.append] := version;
        end loop;

        -- Only now that the streams are held: an earlier try of an append has either committed, or
        -- comes after us.
        has_retries := false;
        for given in
            select
                event.append,
                bool_and(known.event_id is not null and known.stream_id = stream_ids[event.append])
                and min(known.stream_version - event.step)
                = max(known.stream_version - event.step)
                and exists (
                    select
                    from ${schema}.events as last_one
                    where
                        last_one.stream_id = stream_ids[event.append]
                        and last_one.stream_version
                        = min(known.stream_version - event.step) + event_counts[event.append]
                ) as is_retry,
                min(known.stream_version - event.step) as base
            from unnest(event_uuids, event_appends, event_steps) as event (event_uuid, append, step)
            left join ${schema}.events as known on event.event_uuid = known.event_uuid
            where
                event.event_uuid is not null
                and outcomes[event.append] not in ('duplicate', 'duplicate_event_uuid')
                and (raced is null or stream_ids[event.append] = any(raced))
            group by event.append
            having count(known.event_id) > 0
        loop
            has_retries := true;
            outcomes[given.append] := case
                when given.is_retry then 'duplicate' else 'duplicate_event_uuid'
            end;
            firsts[given.append] := given.base + 1;
        end loop;

        if has_retries then
            -- The others are decided again, without these before them; but for those whose streams
            -- were moved in an earlier round already.
            select
                array_agg(
                    case
                        when
                            known.outcome like 'duplicate%'
                            or stream_ids[known.ordinal] <> all(raced)
                            then known.outcome
                    end
                    order by known.ordinal
                )
            into outcomes
            from unnest(outcomes) with ordinality as known (outcome, ordinal);
            continue;
        end if;

        if cardinality(old_ids) > 0 then
            update ${schema}.event_streams as known
            set
                stream_version = moved.stream_version,
                updated_at = appended_at
            from (
                select
                    entry.stream_id,
                    max(entry.stream_version) as stream_version
                from unnest(old_ids, old_versions) as entry (stream_id, stream_version)
                group by entry.stream_id
            ) as moved
            where known.stream_id = moved.stream_id;
        end if;

        exit when cardinality(new_ids) = 0;

        with created as (
            insert into ${schema}.event_streams as known (
                stream_id,
                stream_version,
                created_at,
                updated_at
            )
            select
                entry.stream_id,
                max(entry.stream_version),
                appended_at,
                appended_at
            from unnest(new_ids, new_versions) as entry (stream_id, stream_version)
            group by entry.stream_id
            order by entry.stream_id
            on conflict on constraint pk_event_streams do nothing
            returning known.stream_id
        )

        select array_agg(entry.stream_id)
        into raced
        from unnest(new_ids) as entry (stream_id)
        where not exists (select from created where created.stream_id = entry.stream_id);

        exit when raced is null;

        -- Somebody else created these meanwhile: once more, for them alone.
        for given in
            select append.ordinal::int as append
            from
                unnest(stream_ids, outcomes) with ordinality
                as append (stream_id, outcome, ordinal)
            where append.stream_id = any(raced) and append.outcome not like 'duplicate%'
        loop
            outcomes[given.append] := null;
        end loop;
    end loop;

    select array_agg(nextval('${schema}.events_event_id_seq'))
    into event_ids
    from generate_series(1, cardinality(event_types));

    insert into ${schema}.events (
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
        event.event_id,
        event.event_uuid,
        stream_ids[event.append],
        firsts[event.append] + event.step - 1,
        event.event_type,
        event.event_version,
        event.data::jsonb,
        event.metadata::jsonb,
        appended_at
    from
        unnest(
            event_ids,
            event_appends,
            event_steps,
            event_uuids,
            event_types,
            event_versions,
            data,
            metadata
        ) as event (
            event_id, append, step, event_uuid, event_type, event_version, data, metadata
        )
    where outcomes[event.append] = 'appended';

    for append in 1..appends loop
        if outcomes[append] = 'appended' then
            first_ids[append] := event_ids[event_number];
            last_ids[append] := event_ids[event_number + event_counts[append] - 1];
        elsif outcomes[append] = 'duplicate' then
            actuals[append] := firsts[append] + event_counts[append] - 1;
            first_ids[append] := (
                select known.event_id
                from ${schema}.events as known
                where
                    known.stream_id = stream_ids[append]
                    and known.stream_version = firsts[append]
            );
            last_ids[append] := (
                select known.event_id
                from ${schema}.events as known
                where
                    known.stream_id = stream_ids[append]
                    and known.stream_version = actuals[append]
            );
        end if;
        event_number := event_number + event_counts[append];
    end loop;

    if 'appended' = any(outcomes) then
        perform ${schema}.wake_subscribers();
    end if;

    return query
    select
        answer.outcome,
        answer.actual_version,
        answer.first_version,
        answer.first_event_id,
        answer.last_event_id
    from
        unnest(outcomes, actuals, firsts, first_ids, last_ids)
        as answer (outcome, actual_version, first_version, first_event_id, last_event_id);
end
$$;

comment on function ${schema}.append_batch(
    text[], bigint[], int[], uuid[], text[], int[], text[], text[], timestamptz
) is
'Appends to many streams, each append whole or not at all; answers one row an append, in order.';

-- The same for one append, for clients that would rather be told no: a refusal is an error with the
-- name of a constraint, and a JSON object of expected and actual as its detail.
create function ${schema}.append_to_stream(
    stream_id text,
    expected_version bigint,
    event_types text[],
    data jsonb[],
    appended_at timestamptz,
    metadata jsonb[] default null,
    event_uuids uuid[] default null,
    event_versions int[] default null
) returns table (
    first_version bigint,
    last_version bigint,
    first_event_id bigint,
    last_event_id bigint
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp -- noqa: PRS
as $$
declare
    events constant int := cardinality(event_types);
    answer record;
begin
    perform ${schema}.check_stream_id(append_to_stream.stream_id);

    if
        coalesce(events, 0) = 0
        or events is distinct from cardinality(data)
        or events <> coalesce(cardinality(metadata), events)
        or events <> coalesce(cardinality(event_uuids), events)
        or events <> coalesce(cardinality(event_versions), events)
        or append_to_stream.expected_version < -1
        or appended_at is null
    then
        raise exception 'the arrays of an append are as long as each other, and not empty; versions'
        ' are -1 (a stream), 0 (no stream), or that of the last event'
        using errcode = 'invalid_parameter_value', constraint = 'events_append_form';
    end if;

    select batch.*
    into answer
    from ${schema}.append_batch(
        array[append_to_stream.stream_id],
        array[append_to_stream.expected_version],
        array[events],
        coalesce(event_uuids, array_fill(null::uuid, array[events])),
        event_types,
        coalesce(event_versions, array_fill(1, array[events])),
        data::text[],
        coalesce(metadata::text[], array_fill(null::text, array[events])),
        appended_at
    ) as batch;

    case answer.outcome
        when 'appended', 'duplicate' then
            return query select
                answer.first_version,
                answer.actual_version,
                answer.first_event_id,
                answer.last_event_id;
        when 'deleted' then
            raise exception 'a deleted stream takes no more events'
            using errcode = 'restrict_violation', constraint = 'event_streams_deleted';
        when 'wrong_expected_version' then
            perform ${schema}.check_version(
                append_to_stream.expected_version, answer.actual_version
            );
        when 'duplicate_event_uuid' then
            raise exception 'an event with one of these ids is in the store already'
            using errcode = 'unique_violation', constraint = 'uq_events_event_uuid';
    end case;
end
$$;

comment on function ${schema}.append_to_stream(
    text, bigint, text[], jsonb[], timestamptz, jsonb[], uuid[], int[]
) is
'Appends events to one stream, all or none. expected_version: null (any), 0 (none yet), -1 (any that is there), n.';

-------------------------------------------------------------------------------
-- Two roles a store: one appends, one reads, and neither touches the tables
-------------------------------------------------------------------------------

revoke execute on all functions in schema ${schema} from public;
grant select on sequence ${schema}.events_event_id_seq to emberkeep_service;

do $$
declare
    store constant text := (parse_ident('${schema}'))[1];
    writer constant text := store || '_writer';
    reader constant text := store || '_reader';
    role_name text;
begin
    foreach role_name in array array[writer, reader] loop
        begin
            if not exists (select 1 from pg_roles where rolname = role_name) then
                execute format('create role %I nologin', role_name);
            end if;
        exception
            when duplicate_object or unique_violation then null;
        end;
        execute format('grant usage on schema ${schema} to %I', role_name);
    end loop;

    execute format(
        'grant select on ${schema}.event_streams, ${schema}.events, ${schema}.subscriptions,'
        ' ${schema}.events_event_id_seq to %I',
        reader
    );
    execute format(
        'grant execute on function ${schema}.list_fences(), ${schema}.check_isolation(),'
        ' ${schema}.read_horizon() to %I, emberkeep_service',
        reader
    );
    execute format(
        'grant execute on function'
        ' ${schema}.append_to_streams(text[], text[], int[], text[], text[], timestamptz),'
        ' ${schema}.append_batch(text[], bigint[], int[], uuid[], text[], int[], text[], text[],'
        ' timestamptz),'
        ' ${schema}.append_to_stream(text, bigint, text[], jsonb[], timestamptz, jsonb[], uuid[],'
        ' int[]) to %I, emberkeep_service',
        writer
    );
end
$$;
