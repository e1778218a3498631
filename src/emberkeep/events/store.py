"""Rows in, events out: one function per statement in queries.sql."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Sequence

from emberkeep.base import sql
from emberkeep.base.check import Check
from emberkeep.base.db import Connection
from emberkeep.events.model import NewEvent, RecordedEvent, StreamId

_SQL = sql.load("emberkeep.events")
_ROWS_PER_FETCH = 2_000


async def append_to_streams(
    conn: Connection, *, events: Sequence[NewEvent], now: datetime.datetime
) -> None:
    """Append all of `events`, without waiting for the answer when `conn` is in a pipeline."""
    await conn.execute(
        _SQL["append_to_streams"],
        {
            "stream_ids": sql.text_array(e.stream_id for e in events),
            "event_types": sql.text_array(e.event_type for e in events),
            "event_versions": sql.array(e.event_version for e in events),
            "data": sql.text_array(e.data for e in events),
            "metadata": sql.text_array(e.metadata for e in events),
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


async def stream_causes(
    conn: Connection, *, event_type: str
) -> AsyncIterator[tuple[str, StreamId]]:
    """Yield the correlation id and the stream of every event of this type, in order of the id."""
    async with conn.cursor(name="causes") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        await cursor.execute(_SQL["stream_causes"], {"event_type": event_type})
        async for cause, stream_id in cursor:
            yield cause, stream_id


async def check_streams(conn: Connection, *, name: str) -> Check:
    """Return whether every stream counts its events without a gap."""
    row = await (await conn.execute(_SQL["check_streams"])).fetchone()
    assert row is not None
    checked, violations, first, last = row
    examples = tuple(sorted({example for example in (first, last) if example is not None}))
    return Check(name=name, checked=checked, violations=violations, examples=examples)
