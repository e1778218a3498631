"""The event store over HTTP. Who may call is declared on each route.

Reading order: shapes, origin, appends, reads, tails, streams, snapshots; then subscriptions, parked.
"""

from emberkeep.events.routes.appends import append_events, link_events
from emberkeep.events.routes.parked import list_parked, replay_parked, skip_parked
from emberkeep.events.routes.reads import list_events, list_stream_events
from emberkeep.events.routes.snapshots import delete_snapshot, put_snapshot, read_snapshot
from emberkeep.events.routes.streams import delete_stream, list_streams, read_stream
from emberkeep.events.routes.subscriptions import (
    delete_subscription,
    list_event_types,
    list_subscriptions,
    read_subscription,
    reset_subscription,
    resume_subscription,
)

ROUTES = (
    append_events,
    list_stream_events,
    link_events,
    list_streams,
    read_stream,
    delete_stream,
    list_events,
    put_snapshot,
    read_snapshot,
    delete_snapshot,
    list_event_types,
    list_subscriptions,
    read_subscription,
    resume_subscription,
    reset_subscription,
    delete_subscription,
    list_parked,
    replay_parked,
    skip_parked,
)

__all__ = ["ROUTES"]
