"""Read: one stream or all of them, in either direction, a page at a time or without end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from emberkeep.base.db import Connection, Database
from emberkeep.events import store
from emberkeep.events.model import (
    ALL_STREAMS,
    DEFAULT_SCHEMA,
    LAST_VERSION,
    Direction,
    Horizon,
    RecordedEvent,
    StreamId,
)
from emberkeep.events.rules import append as rules
from emberkeep.events.rules.upcast import NO_UPCASTERS, Upcasters

_PAGE: Final = 1_000


async def read_stream_forward(
    conn: Connection,
    *,
    stream_id: StreamId,
    start_version: int = 1,
    max_count: int = 100,
    upcasters: Upcasters = NO_UPCASTERS,
    schema: str = DEFAULT_SCHEMA,
) -> list[RecordedEvent]:
    """Return up to `max_count` events of the stream from `start_version` on, oldest first.

    :raises StreamUnknown: when there is no such stream
    :raises StreamDeleted: when it was deleted
    :raises ReadInvalid: when there can be no such stream, version or count
    """
    rules.check_stream_id(stream_id)
    rules.check_page(start=start_version, max_count=max_count)
    return upcasters.apply_all(
        await store.read_stream_forward(
            conn,
            stream_id=stream_id,
            start_version=start_version,
            max_count=max_count,
            schema=schema,
        )
    )


async def read_stream_backward(
    conn: Connection,
    *,
    stream_id: StreamId,
    start_version: int = LAST_VERSION,
    max_count: int = 100,
    upcasters: Upcasters = NO_UPCASTERS,
    schema: str = DEFAULT_SCHEMA,
) -> list[RecordedEvent]:
    """Return up to `max_count` events of the stream from `start_version` back, newest first.

    The errors are those of `read_stream_forward`.
    """
    rules.check_stream_id(stream_id)
    rules.check_page(start=start_version, max_count=max_count)
    return upcasters.apply_all(
        await store.read_stream_backward(
            conn,
            stream_id=stream_id,
            start_version=start_version,
            max_count=max_count,
            schema=schema,
        )
    )


async def read_all_forward(
    conn: Connection,
    *,
    after_event_id: int = 0,
    max_count: int = 100,
    upcasters: Upcasters = NO_UPCASTERS,
    schema: str = DEFAULT_SCHEMA,
) -> list[RecordedEvent]:
    """Return up to `max_count` events of all streams after a position, in their common order.

    It ends at the horizon: nothing is ever added before an event that was returned.

    :raises OrderUnknown: on a standby, or in a transaction that keeps one snapshot
    :raises ReadInvalid: when there can be no such position or count
    """
    rules.check_page(start=after_event_id, max_count=max_count)
    return upcasters.apply_all(
        await store.read_all_forward(
            conn, after_event_id=after_event_id, max_count=max_count, schema=schema
        )
    )


async def read_all_backward(
    conn: Connection,
    *,
    before_event_id: int = LAST_VERSION,
    max_count: int = 100,
    upcasters: Upcasters = NO_UPCASTERS,
    schema: str = DEFAULT_SCHEMA,
) -> list[RecordedEvent]:
    """Return up to `max_count` events of all streams before a position, newest first.

    The errors are those of `read_all_forward`.
    """
    rules.check_page(start=before_event_id, max_count=max_count)
    return upcasters.apply_all(
        await store.read_all_backward(
            conn, before_event_id=before_event_id, max_count=max_count, schema=schema
        )
    )


async def iterate_events(
    database: Database,
    *,
    stream_id: StreamId = ALL_STREAMS,
    start: int | None = None,
    direction: Direction = Direction.FORWARD,
    page_size: int = _PAGE,
    upcasters: Upcasters = NO_UPCASTERS,
    schema: str = DEFAULT_SCHEMA,
) -> AsyncIterator[RecordedEvent]:
    """Yield the events of a stream, or of all, as they are asked for: a page is in memory.

    `start` is the first version of a stream, or the position after (or before) which `$all` begins;
    None: the beginning, or the end when read backward. No connection is held between two pages.
    """
    is_forward = direction is Direction.FORWARD
    if start is None:
        is_all = stream_id == ALL_STREAMS
        start = (0 if is_all else 1) if is_forward else LAST_VERSION
    while True:
        async with database.connection() as conn:
            page = await read_page(
                conn,
                stream_id=stream_id,
                start=start,
                direction=direction,
                max_count=page_size,
                upcasters=upcasters,
                schema=schema,
            )
        for event in page:
            yield event
        if len(page) < page_size:
            return
        start = find_next_start(stream_id, page[-1], direction)


async def read_page(
    conn: Connection,
    *,
    stream_id: StreamId,
    start: int,
    direction: Direction,
    max_count: int,
    upcasters: Upcasters = NO_UPCASTERS,
    schema: str = DEFAULT_SCHEMA,
) -> list[RecordedEvent]:
    """Return a page of a stream, or of `$all`, in either direction; errors as of the four reads."""
    if stream_id == ALL_STREAMS:
        if direction is Direction.FORWARD:
            return await read_all_forward(
                conn,
                after_event_id=start,
                max_count=max_count,
                upcasters=upcasters,
                schema=schema,
            )
        return await read_all_backward(
            conn, before_event_id=start, max_count=max_count, upcasters=upcasters, schema=schema
        )
    read = read_stream_forward if direction is Direction.FORWARD else read_stream_backward
    return await read(
        conn,
        stream_id=stream_id,
        start_version=start,
        max_count=max_count,
        upcasters=upcasters,
        schema=schema,
    )


def find_next_start(stream_id: StreamId, last: RecordedEvent, direction: Direction) -> int:
    """Return the `start` of the page after the one that ends with `last`."""
    if stream_id == ALL_STREAMS:
        return last.number  # Which is left out by itself.
    return last.number + (1 if direction is Direction.FORWARD else -1)


async def read_horizon(conn: Connection, *, schema: str = DEFAULT_SCHEMA) -> Horizon:
    """Return up to which position `$all` is final.

    :raises OrderUnknown: on a standby
    """
    return await store.read_horizon(conn, schema=schema)


def stream_causes(
    conn: Connection, *, event_type: str, schema: str = DEFAULT_SCHEMA
) -> AsyncIterator[tuple[str, StreamId]]:
    """Yield the correlation id and the stream of every event of this type, in order of the id.

    Rows come as they are asked for, however many there are. `conn` is in a transaction.
    """
    return store.stream_causes(conn, event_type=event_type, schema=schema)


def stream_data(
    conn: Connection, *, event_type: str, schema: str = DEFAULT_SCHEMA
) -> AsyncIterator[tuple[StreamId, str]]:
    """Yield the stream and the data of every event of this type, in order of the stream's bytes.

    Rows come as they are asked for, however many there are. `conn` is in a transaction.
    """
    return store.stream_data(conn, event_type=event_type, schema=schema)
