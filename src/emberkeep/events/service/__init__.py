"""Use cases of the event store. Other slices call these, and nothing else of it but its nouns.

Reading order: appends, desk, reads, streams, snapshots, archive; then those who follow: scan,
watcher, ground, lane, handling, membership, subscription, hub, projection; last what operators do:
subscriptions, operators, stores, figures, verify. drafts, pages and tails serve the routes and the
commands, services puts all of it together.
"""

from emberkeep.events.rules.append import check_schema, make_event
from emberkeep.events.rules.subscription import find_partition, name_source, parse_source
from emberkeep.events.rules.upcast import Upcasters
from emberkeep.events.service.appends import append_batch, append_to_stream, append_to_streams
from emberkeep.events.service.archive import archive_events, expire_events
from emberkeep.events.service.desk import AppendDesk
from emberkeep.events.service.figures import measure_events
from emberkeep.events.service.hub import SubscriptionHub
from emberkeep.events.service.projection import (
    Projection,
    list_type_counts,
    make_type_counts,
    rebuild_projection,
    run_projection,
)
from emberkeep.events.service.reads import (
    find_next_start,
    iterate_events,
    read_all_backward,
    read_all_forward,
    read_horizon,
    read_page,
    read_stream_backward,
    read_stream_forward,
    stream_causes,
    stream_data,
)
from emberkeep.events.service.snapshots import delete_snapshot, read_snapshot, record_snapshot
from emberkeep.events.service.streams import (
    delete_stream,
    erase_stream,
    link_to_stream,
    paginate_streams,
    read_stream_info,
)
from emberkeep.events.service.subscription import Subscription
from emberkeep.events.service.subscriptions import (
    delete_subscription,
    find_subscription,
    list_consumers,
    list_parked,
    list_subscriptions,
    replay_parked,
    reset_subscription,
    resume_subscription,
    skip_parked,
)
from emberkeep.events.service.verify import verify_events
from emberkeep.events.store import refusals

__all__ = [
    "AppendDesk",
    "Projection",
    "Subscription",
    "SubscriptionHub",
    "Upcasters",
    "append_batch",
    "append_to_stream",
    "append_to_streams",
    "archive_events",
    "check_schema",
    "delete_snapshot",
    "delete_stream",
    "delete_subscription",
    "erase_stream",
    "expire_events",
    "find_next_start",
    "find_partition",
    "find_subscription",
    "iterate_events",
    "link_to_stream",
    "list_consumers",
    "list_parked",
    "list_subscriptions",
    "list_type_counts",
    "make_event",
    "make_type_counts",
    "measure_events",
    "name_source",
    "paginate_streams",
    "parse_source",
    "read_all_backward",
    "read_all_forward",
    "read_horizon",
    "read_page",
    "read_snapshot",
    "read_stream_backward",
    "read_stream_forward",
    "read_stream_info",
    "rebuild_projection",
    "record_snapshot",
    "refusals",
    "replay_parked",
    "reset_subscription",
    "resume_subscription",
    "run_projection",
    "skip_parked",
    "stream_causes",
    "stream_data",
    "verify_events",
]
