-------------------------------------------------------------------------------
-- Takes back V005, with every link and snapshot; what was archived goes back to where it was
-------------------------------------------------------------------------------

drop function ${schema}.delete_snapshot(text);
drop function ${schema}.read_snapshot(text);
drop function ${schema}.record_snapshot(text, bigint, text, jsonb, jsonb, timestamptz);
drop function ${schema}.archive_events(timestamptz, int);
drop function ${schema}.ensure_archive_month(date);
drop function ${schema}.erase_stream(text, bigint, text, timestamptz);
drop function ${schema}.delete_stream(text, bigint, text, timestamptz);
drop function ${schema}.link_to_stream(text, bigint, bigint[], timestamptz);
drop function ${schema}.hold_stream(text, bigint, timestamptz);
drop function ${schema}.paginate_streams(text, text, boolean, text, text, int);
drop function ${schema}.read_stream_info(text);
drop function ${schema}.scan_events(bigint, bigint, text, text[], int);
drop function ${schema}.read_all_backward(bigint, int);
drop function ${schema}.read_all_forward(bigint, int);
drop function ${schema}.read_stream_backward(text, bigint, int);
drop function ${schema}.read_stream_forward(text, bigint, int);
drop function ${schema}.check_stream_readable(text);
drop type ${schema}.stream_info;
drop type ${schema}.recorded_event;
drop view ${schema}.stream_contents;
drop view ${schema}.all_events;
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
    event.stream_id,
    event.stream_version,
    event.event_type,
    event.event_version,
    event.data,
    event.metadata,
    event.created_at
from ${schema}.archived_events as event
order by event.event_id;

drop table ${schema}.archived_events;
drop table ${schema}.snapshots;
drop table ${schema}.event_links;

create or replace function ${schema}.refuse_change() returns trigger
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

-- As V004 left them: holding for what is written, not looked at for what was.
alter table ${schema}.events
drop constraint events_event_type,
drop constraint events_event_version,
drop constraint events_metadata,
drop constraint events_created_at,
add constraint events_event_type check (char_length(event_type) between 1 and 255) not valid,
add constraint events_event_version check (event_version >= 1) not valid,
add constraint events_metadata check (jsonb_typeof(metadata) = 'object') not valid,
add constraint events_created_at
check (created_at >= '0001-01-01 00:00+00' and created_at < '9999-12-01 00:00+00') not valid;

alter table ${schema}.event_streams
drop column deleted_by,
drop column erased_events,
drop column erased_at;

grant insert on ${schema}.events to emberkeep_service;
grant insert, update on ${schema}.event_streams, ${schema}.subscriptions to emberkeep_service;
grant usage on sequence ${schema}.events_event_id_seq to emberkeep_service;
