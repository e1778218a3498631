"""Rows in, events out: one function per statement in queries.sql."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from emberkeep.base import sql
from emberkeep.base.db import Connection
from emberkeep.events.model import NewEvent, RecordedEvent, StreamId

_SQL = sql.load("emberkeep.events")


async def append_to_streams(
    conn: Connection, *, events: Sequence[NewEvent], now: datetime.datetime
) -> None:
    """Append all of `events`, without waiting for the answer when `conn` is in a pipeline."""
    await conn.execute(
        _SQL["append_to_streams"],
        {
            "stream_ids": [e.stream_id for e in events],
            "event_types": [e.event_type for e in events],
            "event_versions": [e.event_version for e in events],
            "data": [e.data for e in events],
            "metadata": [e.metadata for e in events],
            "now": now,
        },
    )


async def read_stream_forward(
    conn: Connection, *, stream_id: StreamId, start_version: int, max_rows: int
) -> list[RecordedEvent]:
    """Return up to `max_rows` events of the stream, oldest first."""
    cursor = await conn.execute(
        _SQL["read_stream_forward"],
        {"stream_id": stream_id, "start_version": start_version, "max_rows": max_rows},
    )
    return [
        RecordedEvent(
            event_id=event_id,
            stream_id=stream_id,
            stream_version=stream_version,
            event_type=event_type,
            event_version=event_version,
            data=data,
            metadata=metadata,
            created_at=created_at,
        )
        for (
            event_id,
            stream_id,
            stream_version,
            event_type,
            event_version,
            data,
            metadata,
            created_at,
        ) in await cursor.fetchall()
    ]
