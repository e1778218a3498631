"""Append facts and read them back. An append is part of the caller's transaction."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Sequence

from emberkeep.base import db
from emberkeep.base.check import Check
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


def stream_causes(conn: Connection, *, event_type: str) -> AsyncIterator[tuple[str, StreamId]]:
    """Yield the correlation id and the stream of every event of this type, in order of the id.

    Rows come as they are asked for, however many there are. `conn` is in a transaction.
    """
    return store.stream_causes(conn, event_type=event_type)


async def verify_events(conn: Connection) -> list[Check]:
    """Return every invariant of the event store, checked in one read-only snapshot.

    :param conn: in autocommit mode
    """
    async with db.snapshot(conn):
        return [await store.check_streams(conn, name="events: streams have no gaps")]
