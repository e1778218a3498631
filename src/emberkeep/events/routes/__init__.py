"""The event store over HTTP. Who may call is declared on each route.

Reading order: shapes, origin, appends, reads, streams, snapshots.
"""

from emberkeep.events.routes.appends import append_events, link_events
from emberkeep.events.routes.reads import list_events, list_stream_events
from emberkeep.events.routes.snapshots import delete_snapshot, put_snapshot, read_snapshot
from emberkeep.events.routes.streams import delete_stream, list_streams, read_stream

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
)

__all__ = ["ROUTES"]
