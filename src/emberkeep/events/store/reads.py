"""Events as they were written, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, LiteralString

from psycopg.rows import args_row

from emberkeep.base.db import Connection
from emberkeep.events.model import Horizon, RecordedEvent, StreamId
from emberkeep.events.store.refusals import refusals
from emberkeep.events.store.statements import for_schema

_ROWS_PER_FETCH: Final = 2_000


async def read_stream_forward(
    conn: Connection, *, stream_id: StreamId, start_version: int, max_count: int, schema: str
) -> list[RecordedEvent]:
    """Return up to `max_count` events of the stream from `start_version` on, oldest first."""
    return await _read(
        conn,
        for_schema(schema)["read_stream_forward"],
        {"stream_id": stream_id, "start_version": start_version, "max_count": max_count},
    )


async def read_stream_backward(
    conn: Connection, *, stream_id: StreamId, start_version: int, max_count: int, schema: str
) -> list[RecordedEvent]:
    """Return up to `max_count` events of the stream from `start_version` back, newest first."""
    return await _read(
        conn,
        for_schema(schema)["read_stream_backward"],
        {"stream_id": stream_id, "start_version": start_version, "max_count": max_count},
    )


async def read_all_forward(
    conn: Connection, *, after_event_id: int, max_count: int, schema: str
) -> list[RecordedEvent]:
    """Return up to `max_count` events of all streams after a position, up to the horizon."""
    return await _read(
        conn,
        for_schema(schema)["read_all_forward"],
        {"after_event_id": after_event_id, "max_count": max_count},
    )


async def read_all_backward(
    conn: Connection, *, before_event_id: int, max_count: int, schema: str
) -> list[RecordedEvent]:
    """Return up to `max_count` events of all streams before a position, newest first."""
    return await _read(
        conn,
        for_schema(schema)["read_all_backward"],
        {"before_event_id": before_event_id, "max_count": max_count},
    )


async def scan_events(
    conn: Connection,
    *,
    after_event_id: int,
    through_event_id: int,
    category: str | None,
    event_types: Sequence[str] | None,
    max_count: int,
    schema: str,
) -> list[RecordedEvent]:
    """Return events after one position up to another, which the horizon has passed."""
    return await _read(
        conn,
        for_schema(schema)["scan_events"],
        {
            "after_event_id": after_event_id,
            "through_event_id": through_event_id,
            "category": category,
            "event_types": None if event_types is None else list(event_types),
            "max_count": max_count,
        },
    )


async def scan_stream(
    conn: Connection,
    *,
    stream_id: StreamId,
    after_version: int,
    event_types: Sequence[str] | None,
    max_count: int,
    schema: str,
) -> list[RecordedEvent]:
    """Return events of a stream after a version; none where the stream is not there yet."""
    return await _read(
        conn,
        for_schema(schema)["scan_stream"],
        {
            "stream_id": stream_id,
            "after_version": after_version,
            "event_types": None if event_types is None else list(event_types),
            "max_count": max_count,
        },
    )


async def _read(
    conn: Connection, statement: LiteralString, parameters: dict[str, Any]
) -> list[RecordedEvent]:
    with refusals():
        # Binary: instants and ids arrive as they are, and need not be parsed.
        async with conn.cursor(binary=True, row_factory=args_row(RecordedEvent)) as cursor:
            await cursor.execute(statement, parameters)
            return await cursor.fetchall()


async def read_horizon(conn: Connection, *, schema: str) -> Horizon:
    """Return how far `$all` is final. What lies before it is read in a later statement."""
    with refusals():
        row = await (await conn.execute(for_schema(schema)["read_horizon"])).fetchone()
    assert row is not None
    return Horizon(*row)


async def find_bounds(
    conn: Connection, *, after_event_id: int, through_event_id: int, schema: str
) -> tuple[int | None, int | None]:
    """Return the first and the last event between two positions; None where there is none."""
    cursor = await conn.execute(
        for_schema(schema)["find_bounds"],
        {"after_event_id": after_event_id, "through_event_id": through_event_id},
    )
    row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def list_streams_between(
    conn: Connection, *, after_event_id: int, through_event_id: int, max_rows: int, schema: str
) -> list[StreamId]:
    """Return the streams that were written to between two positions, at most so many."""
    cursor = await conn.execute(
        for_schema(schema)["list_streams_between"],
        {
            "after_event_id": after_event_id,
            "through_event_id": through_event_id,
            "max_rows": max_rows,
        },
    )
    return [stream_id for (stream_id,) in await cursor.fetchall()]


async def stream_causes(
    conn: Connection, *, event_type: str, schema: str
) -> AsyncIterator[tuple[str, StreamId]]:
    """Yield the correlation id and the stream of every event of this type, in order of the id."""
    async with conn.cursor(name="causes") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        await cursor.execute(for_schema(schema)["stream_causes"], {"event_type": event_type})
        async for cause, stream_id in cursor:
            yield cause, stream_id


async def stream_data(
    conn: Connection, *, event_type: str, schema: str
) -> AsyncIterator[tuple[StreamId, str]]:
    """Yield the stream and the data of every event of this type, in order of the stream's bytes."""
    async with conn.cursor(name="data") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        await cursor.execute(for_schema(schema)["stream_data"], {"event_type": event_type})
        async for stream_id, data in cursor:
            yield stream_id, data
