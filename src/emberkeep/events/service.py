"""Append facts and read them back. An append is part of the caller's transaction."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from emberkeep.base.db import Connection
from emberkeep.events import store
from emberkeep.events.model import NewEvent, RecordedEvent, StreamId


async def append_events(
    conn: Connection, *, events: Sequence[NewEvent], now: datetime.datetime
) -> None:
    """Append `events`, to any number of streams, in the caller's transaction.

    The order within a stream is the order given; one round trip, whatever their number. In a
    pipeline (`db.atomically`) an error of the database rises at the end of the block.
    """
    if events:
        await store.append_to_streams(conn, events=events, now=now)


async def read_stream(
    conn: Connection, *, stream_id: StreamId, start_version: int = 1, max_rows: int = 100
) -> list[RecordedEvent]:
    """Return up to `max_rows` events of the stream from `start_version` on, oldest first."""
    return await store.read_stream_forward(
        conn, stream_id=stream_id, start_version=start_version, max_rows=max_rows
    )
