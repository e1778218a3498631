"""Streams themselves: how far they have come, links into them, and their end."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from psycopg.rows import kwargs_row

from emberkeep.base import sql
from emberkeep.base.db import Connection
from emberkeep.events.model import ExpectedVersion, ExpiredMonth, StreamId, StreamInfo, StreamSort
from emberkeep.events.store.appends import to_code
from emberkeep.events.store.refusals import refusals
from emberkeep.events.store.statements import for_schema


async def read_stream_info(
    conn: Connection, *, stream_id: StreamId, schema: str
) -> StreamInfo | None:
    """Return what is known of a stream; None where there is none."""
    async with conn.cursor(row_factory=kwargs_row(StreamInfo)) as cursor:
        await cursor.execute(for_schema(schema)["read_stream_info"], {"stream_id": stream_id})
        return await cursor.fetchone()


async def paginate_streams(
    conn: Connection,
    *,
    search: str | None,
    sort_by: StreamSort,
    is_descending: bool,
    after: tuple[str, StreamId] | None,
    max_count: int,
    schema: str,
) -> list[StreamInfo]:
    """Return streams whose names hold `search`; `after` is the sort value and name of the last."""
    async with conn.cursor(row_factory=kwargs_row(StreamInfo)) as cursor:
        await cursor.execute(
            for_schema(schema)["paginate_streams"],
            {
                "search": search,
                "sort_by": sort_by.value,
                "is_descending": is_descending,
                "after_value": None if after is None else after[0],
                "after_stream_id": None if after is None else after[1],
                "max_count": max_count,
            },
        )
        return await cursor.fetchall()


async def link_to_stream(
    conn: Connection,
    *,
    stream_id: StreamId,
    expected_version: ExpectedVersion,
    event_ids: Sequence[int],
    now: datetime.datetime,
    schema: str,
) -> int:
    """Put events into a further stream; return its new version."""
    return await _change(
        conn,
        "link_to_stream",
        schema,
        {
            "stream_id": stream_id,
            "expected_version": to_code(expected_version),
            "event_ids": sql.array(event_ids),
            "now": now,
        },
    )


async def delete_stream(
    conn: Connection,
    *,
    stream_id: StreamId,
    expected_version: ExpectedVersion,
    actor: str,
    now: datetime.datetime,
    schema: str,
) -> int:
    """Close a stream; return its last version."""
    return await _change(
        conn,
        "delete_stream",
        schema,
        {
            "stream_id": stream_id,
            "expected_version": to_code(expected_version),
            "actor": actor,
            "now": now,
        },
    )


async def erase_stream(
    conn: Connection,
    *,
    stream_id: StreamId,
    expected_version: ExpectedVersion,
    actor: str,
    now: datetime.datetime,
    schema: str,
) -> int:
    """Erase the events of a stream for good; return how many."""
    return await _change(
        conn,
        "erase_stream",
        schema,
        {
            "stream_id": stream_id,
            "expected_version": to_code(expected_version),
            "actor": actor,
            "now": now,
        },
    )


async def archive_events(
    conn: Connection, *, created_before: datetime.datetime, max_count: int, schema: str
) -> int:
    """Move the oldest events to the archive, at most so many; return how many."""
    return await _change(
        conn,
        "archive_events",
        schema,
        {"created_before": created_before, "max_count": max_count},
    )


async def expire_events(
    conn: Connection, *, created_before: datetime.datetime, schema: str
) -> list[ExpiredMonth]:
    """Drop whole months of the archive for good; return which, oldest first."""
    with refusals():
        cursor = await conn.execute(
            for_schema(schema)["expire_events"], {"created_before": created_before}
        )
        return [
            # The name of its table ends in the year and the month.
            ExpiredMonth(month=f"{name[-6:-2]}-{name[-2:]}", events=events)
            for name, events in await cursor.fetchall()
        ]


async def _change(conn: Connection, name: str, schema: str, parameters: dict[str, object]) -> int:
    with refusals():
        row = await (await conn.execute(for_schema(schema)[name], parameters)).fetchone()
    assert row is not None
    return int(row[0])
