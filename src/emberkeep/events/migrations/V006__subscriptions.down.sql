-------------------------------------------------------------------------------
-- Takes back V006; of a subscription only the checkpoint of its slowest partition is kept
-------------------------------------------------------------------------------

drop view ${schema}.subscription_states;
drop trigger event_streams_settle_parked on ${schema}.event_streams;
drop function ${schema}.settle_parked_of_the_erased();
drop function ${schema}.expire_events(timestamptz);
drop function ${schema}.scan_stream(text, bigint, text[], int);
drop function ${schema}.read_replays(text, text, int, int);
drop function ${schema}.settle_replay(text, text, int, bigint, bigint, timestamptz);
drop function ${schema}.skip_parked(text, text, bigint[], text, timestamptz);
drop function ${schema}.replay_parked(text, text, bigint[], text);
drop function ${schema}.resume_subscription(text, text);
drop function ${schema}.stop_partition(text, text, int, bigint, text, timestamptz);
drop function ${schema}.park_event(text, text, int, bigint, bigint, bigint, int, text, timestamptz);
drop function ${schema}.acknowledge_events(text, text, int, bigint, bigint, bigint, timestamptz);
drop function ${schema}.release_partition(text, text, int, bigint);
drop function ${schema}.renew_leases(uuid[], timestamptz, timestamptz);
drop function ${schema}.lease_partitions(uuid, timestamptz, timestamptz, timestamptz);
drop function ${schema}.leave_subscription(uuid);
drop function ${schema}.join_subscription(text, text, uuid, text, timestamptz);
drop function ${schema}.delete_subscription(text, text);
drop function ${schema}.reset_subscription(text, text, bigint, bigint, int, timestamptz);
drop function ${schema}.create_subscription(text, text, bigint, bigint, int, timestamptz);
drop function ${schema}.call_consumers();
drop table ${schema}.event_type_counts;
drop table ${schema}.projections;
drop table ${schema}.parked_events;
drop table ${schema}.subscription_consumers;
drop table ${schema}.subscription_partitions;
drop sequence ${schema}.lease_token_seq;

comment on column ${schema}.subscriptions.stream_id is null;

alter table ${schema}.subscriptions drop column concurrency_limit;
