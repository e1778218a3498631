"""Rows in, events out: one function per statement in queries.sql."""

from emberkeep.events.store.appends import append_batch, append_to_streams
from emberkeep.events.store.reads import (
    read_all_backward,
    read_all_forward,
    read_horizon,
    read_stream_backward,
    read_stream_forward,
    scan_events,
    stream_causes,
)
from emberkeep.events.store.refusals import refusals
from emberkeep.events.store.snapshots import delete_snapshot, read_snapshot, record_snapshot
from emberkeep.events.store.streams import (
    check_links,
    check_positions,
    check_streams,
    delete_stream,
    erase_stream,
    link_to_stream,
    paginate_streams,
    read_stream_info,
)

__all__ = [
    "append_batch",
    "append_to_streams",
    "check_links",
    "check_positions",
    "check_streams",
    "delete_snapshot",
    "delete_stream",
    "erase_stream",
    "link_to_stream",
    "paginate_streams",
    "read_all_backward",
    "read_all_forward",
    "read_horizon",
    "read_snapshot",
    "read_stream_backward",
    "read_stream_forward",
    "read_stream_info",
    "record_snapshot",
    "refusals",
    "scan_events",
    "stream_causes",
]
