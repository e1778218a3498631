"""What the tests of the event store share: events to append, and what must hold afterwards."""

from __future__ import annotations

import datetime
import uuid
from typing import TYPE_CHECKING

from emberkeep.base.clock import UTC
from emberkeep.base.db import connect
from emberkeep.events.model import (
    DEFAULT_SCHEMA,
    Append,
    Appended,
    Expected,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    StreamId,
)
from emberkeep.events.service import append_to_stream, make_event, read_all_forward, verify_events
from emberkeep.migrate.model import MigrationSet
from emberkeep.migrate.service import apply_migrations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emberkeep.base.db import Connection

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOP = "shop_events"
"""The schema of a second store."""


def make_uuid(number: int) -> uuid.UUID:
    """Return an id that a test can name."""
    return uuid.UUID(int=number)


def make_events(count: int = 1, *, uuids: Sequence[int] = ()) -> list[NewEvent]:
    """Return events that say which of them they are; those that have a number in `uuids`, an id."""
    return [
        make_event("Happened", {"n": n}, event_uuid=make_uuid(uuids[n]) if n < len(uuids) else None)
        for n in range(max(count, len(uuids)))
    ]


def make_append(
    stream: str,
    count: int = 1,
    *,
    expected: ExpectedVersion = Expected.ANY,
    uuids: Sequence[int] = (),
) -> Append:
    """Return an append of `make_events` to `stream`."""
    return Append(
        stream_id=StreamId(stream),
        events=tuple(make_events(count, uuids=uuids)),
        expected_version=expected,
    )


async def append(
    conn: Connection,
    stream: str,
    count: int = 1,
    *,
    expected: ExpectedVersion = Expected.ANY,
    uuids: Sequence[int] = (),
    schema: str = DEFAULT_SCHEMA,
) -> Appended:
    """Append `make_events` to `stream`."""
    return await append_to_stream(
        conn,
        stream_id=StreamId(stream),
        events=make_events(count, uuids=uuids),
        expected_version=expected,
        now=NOW,
        schema=schema,
    )


def list_places(events: Sequence[RecordedEvent]) -> list[tuple[str, int]]:
    """Return where each event was written: its stream and its version there."""
    return [(event.stream_id, event.stream_version) for event in events]


async def read_places(conn: Connection, *, schema: str = DEFAULT_SCHEMA) -> list[tuple[str, int]]:
    """Return the places of all that is final, in its order."""
    return list_places(await read_all_forward(conn, max_count=10_000, schema=schema))


async def count_events(conn: Connection) -> int:
    """Return how many events are in the tables, final or not."""
    row = await (await conn.execute("select count(*) from event_store.events")).fetchone()
    assert row is not None
    return int(row[0])


async def add_store(dsn: str, schema: str = SHOP) -> None:
    """Create a further store in the database."""
    store = MigrationSet("event_store", "emberkeep.events.migrations", schema)
    await apply_migrations(dsn, sets=(store,), now=NOW)


async def list_violations(dsn: str, *, schema: str = DEFAULT_SCHEMA) -> dict[str, tuple[str, ...]]:
    """Return the invariants that do not hold, each with examples."""
    async with await connect(dsn) as conn:
        checks = await verify_events(conn, schema=schema)
    return {check.name: check.examples for check in checks if not check.is_clean}
