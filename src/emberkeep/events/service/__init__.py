"""Use cases of the event store. Other slices call these, and nothing else of it but its nouns.

Reading order: appends, desk, reads, streams, snapshots, verify.
"""

from emberkeep.events.rules.append import make_event
from emberkeep.events.rules.upcast import Upcasters
from emberkeep.events.service.appends import append_batch, append_to_stream, append_to_streams
from emberkeep.events.service.desk import AppendDesk
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
)
from emberkeep.events.service.snapshots import delete_snapshot, read_snapshot, record_snapshot
from emberkeep.events.service.streams import (
    delete_stream,
    erase_stream,
    link_to_stream,
    paginate_streams,
    read_stream_info,
)
from emberkeep.events.service.verify import verify_events
from emberkeep.events.store import refusals

__all__ = [
    "AppendDesk",
    "Upcasters",
    "append_batch",
    "append_to_stream",
    "append_to_streams",
    "delete_snapshot",
    "delete_stream",
    "erase_stream",
    "find_next_start",
    "iterate_events",
    "link_to_stream",
    "make_event",
    "paginate_streams",
    "read_all_backward",
    "read_all_forward",
    "read_horizon",
    "read_page",
    "read_snapshot",
    "read_stream_backward",
    "read_stream_forward",
    "read_stream_info",
    "record_snapshot",
    "refusals",
    "stream_causes",
    "verify_events",
]
