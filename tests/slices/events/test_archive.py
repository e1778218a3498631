"""Old events go to the archive and are read all the same; whole months of it expire in the end."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.base.clock import UTC
from emberkeep.base.db import Database, connect, open_database
from emberkeep.events.model import (
    EVERYTHING,
    ArchiveNeeded,
    DuplicateLink,
    ErasureForbidden,
    OneStream,
    ReadInvalid,
    StreamId,
)
from emberkeep.events.service import (
    append_to_stream,
    archive_events,
    erase_stream,
    expire_events,
    iterate_events,
    link_to_stream,
    read_all_backward,
    read_all_forward,
    read_stream_backward,
    read_stream_forward,
)
from emberkeep.migrate.model import DEFAULT_SETS
from emberkeep.migrate.service import verify_schemas
from tests.eventing import list_places, list_violations, make_events, read_places
from tests.following import Consumer, make_plan, open_hub, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from emberkeep.base.db import Connection

JANUARY = datetime.datetime(2026, 1, 15, tzinfo=UTC)
FEBRUARY = datetime.datetime(2026, 2, 15, tzinfo=UTC)
MARCH = datetime.datetime(2026, 3, 15, tzinfo=UTC)
APRIL = datetime.datetime(2026, 4, 1, tzinfo=UTC)
S = StreamId("s-1")


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection to a store with two events of each of three months; what is left is verified."""
    async with await connect(database) as conn:
        for at in (JANUARY, FEBRUARY, MARCH):
            await append_to_stream(conn, stream_id=S, events=make_events(2), now=at)
        yield conn
    assert await list_violations(database) == {}


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    """A pool of connections to the same store."""
    async with open_database(database, connections=4) as pool:
        yield pool


async def count_rows(conn: Connection) -> tuple[int, int]:
    """Return how many events are in the way, and how many in the archive."""
    cursor = await conn.execute(
        "select (select count(*) from event_store.events),"
        " (select count(*) from event_store.archived_events)"
    )
    row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def test_what_is_older_goes_and_what_is_younger_stays(
    conn: Connection, pool: Database
) -> None:
    moved: list[int] = []
    assert await archive_events(pool, created_before=FEBRUARY, on_moved=moved.append) == 2
    assert (await count_rows(conn), moved) == ((4, 2), [2])
    assert await archive_events(pool, created_before=FEBRUARY) == 0
    assert await archive_events(pool, created_before=APRIL) == 4
    assert await count_rows(conn) == (0, 6)


async def test_everything_is_read_as_before(conn: Connection, pool: Database) -> None:
    link = StreamId("links")
    await link_to_stream(conn, stream_id=link, event_ids=[1, 5], now=MARCH)
    before = [
        await read_stream_forward(conn, stream_id=S),
        await read_stream_backward(conn, stream_id=S),
        await read_stream_forward(conn, stream_id=S, start_version=2, max_count=3),
        await read_stream_forward(conn, stream_id=link),
        await read_all_forward(conn),
        await read_all_backward(conn),
        [event async for event in iterate_events(pool, page_size=2)],
    ]
    await archive_events(pool, created_before=MARCH)
    assert await count_rows(conn) == (2, 4)
    assert before == [
        await read_stream_forward(conn, stream_id=S),
        await read_stream_backward(conn, stream_id=S),
        await read_stream_forward(conn, stream_id=S, start_version=2, max_count=3),
        await read_stream_forward(conn, stream_id=link),
        await read_all_forward(conn),
        await read_all_backward(conn),
        [event async for event in iterate_events(pool, page_size=2)],
    ]


async def test_the_stream_goes_on_where_it_was(conn: Connection, pool: Database) -> None:
    await archive_events(pool, created_before=APRIL)
    appended = await append_to_stream(
        conn, stream_id=S, events=make_events(), expected_version=6, now=APRIL
    )
    assert (appended.first_version, appended.first_event_id) == (7, 7)


async def test_a_young_event_keeps_what_was_written_after_it(
    conn: Connection, pool: Database
) -> None:
    """The writer's clock was wrong: what is archived still lies before what is not."""
    await append_to_stream(conn, stream_id=S, events=make_events(), now=JANUARY)
    assert await archive_events(pool, created_before=MARCH) == 4
    assert [event.event_id for event in await read_all_forward(conn)] == list(range(1, 8))
    assert await count_rows(conn) == (3, 4)


async def test_archived_events_are_as_hard_to_change(conn: Connection, pool: Database) -> None:
    await archive_events(pool, created_before=APRIL)
    for statement in (
        "update event_store.archived_events set data = '1'",
        "delete from event_store.archived_events",
        "truncate event_store.archived_events",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation):
            await conn.execute(statement.encode())


async def test_archived_events_are_linked_and_erased_like_others(
    conn: Connection, pool: Database
) -> None:
    await archive_events(pool, created_before=APRIL)
    link = StreamId("links")
    assert await link_to_stream(conn, stream_id=link, event_ids=[2], now=APRIL) == 1
    with pytest.raises(DuplicateLink):
        await link_to_stream(conn, stream_id=S, event_ids=[2], now=APRIL)
    erased = await erase_stream(conn, stream_id=S, is_allowed=True, actor="test", now=APRIL)
    assert erased == 6
    assert await read_places(conn) == []


async def test_whoever_catches_up_gets_archived_events_too(
    database: str, conn: Connection, pool: Database
) -> None:
    await archive_events(pool, created_before=MARCH)
    consumer, of_one = Consumer(), Consumer()
    async with (
        open_hub(database) as hub,
        running(hub.run(make_plan("all"), consumer.handle)),
        running(hub.run(make_plan("one", OneStream(S)), of_one.handle)),
    ):
        await consumer.await_events(6)
        await of_one.await_events(6)
    assert (
        list_places(consumer.events) == list_places(of_one.events) == [(S, n) for n in range(1, 7)]
    )


async def test_the_months_of_the_archive_are_no_drift(
    database: str, conn: Connection, pool: Database
) -> None:
    await archive_events(pool, created_before=APRIL)
    assert [v.findings for v in await verify_schemas(database)] == [()] * len(DEFAULT_SETS)
    del conn


async def test_events_of_the_future_are_not_old(conn: Connection, pool: Database) -> None:
    later = datetime.datetime(2999, 1, 1, tzinfo=UTC)
    with pytest.raises(ReadInvalid):
        await archive_events(pool, created_before=later)
    with pytest.raises(ReadInvalid):
        await expire_events(conn, created_before=later, is_allowed=True)


# Expire


async def test_whole_months_expire_and_streams_begin_later(
    conn: Connection, pool: Database
) -> None:
    await link_to_stream(conn, stream_id=StreamId("links"), event_ids=[1, 5], now=MARCH)
    await archive_events(pool, created_before=APRIL)
    expired = await expire_events(conn, created_before=MARCH, is_allowed=True)
    assert [(month.month, month.events) for month in expired] == [("2026-01", 2), ("2026-02", 2)]
    events = await read_stream_forward(conn, stream_id=S)
    assert list_places(events) == [(S, 5), (S, 6)]
    linked = await read_stream_forward(conn, stream_id=StreamId("links"))
    assert [(event.number, event.event_id) for event in linked] == [(2, 5)]
    assert await expire_events(conn, created_before=MARCH, is_allowed=True) == []


async def test_what_is_not_archived_does_not_expire(conn: Connection) -> None:
    assert await expire_events(conn, created_before=APRIL, is_allowed=True) == []
    assert await count_rows(conn) == (6, 0)


async def test_expiry_must_be_allowed(conn: Connection, pool: Database) -> None:
    await archive_events(pool, created_before=APRIL)
    with pytest.raises(ErasureForbidden):
        await expire_events(conn, created_before=APRIL, is_allowed=False)
    assert await count_rows(conn) == (0, 6)


@pytest.mark.parametrize("source", [EVERYTHING, OneStream(S)])
async def test_what_a_subscription_has_yet_to_see_does_not_expire(
    database: str, conn: Connection, pool: Database, source: OneStream
) -> None:
    consumer = Consumer()
    consumer.find_failure = lambda event: None
    async with open_hub(database) as hub:
        async with hub.subscribe(make_plan(source=source)) as subscription:
            for _ in range(3):
                last = await subscription.next()
            await subscription.acknowledge(last)
        await archive_events(pool, created_before=APRIL)
        with pytest.raises(ArchiveNeeded) as refusal:
            await expire_events(conn, created_before=APRIL, is_allowed=True)
        assert refusal.value.facts == {"subscription_id": "s", "month": "2026-02"}
        assert await count_rows(conn) == (0, 6)
        async with running(hub.run(make_plan(source=source), consumer.handle)):
            await consumer.await_events(3)
    assert len(await expire_events(conn, created_before=APRIL, is_allowed=True)) == 3


async def test_archiving_goes_on_beside_writers_and_readers(
    database: str, conn: Connection, pool: Database
) -> None:
    for _ in range(30):
        await append_to_stream(conn, stream_id=S, events=make_events(400), now=MARCH)
    consumer = Consumer()
    async with open_hub(database) as hub, running(hub.run(make_plan(), consumer.handle)):
        assert await archive_events(pool, created_before=APRIL) == 12_006
        await append_to_stream(conn, stream_id=S, events=make_events(), now=APRIL)
        await consumer.await_events(12_007)
    assert [event.event_id for event in consumer.events] == list(range(1, 12_008))


async def test_only_the_service_archives_and_no_reader_or_writer(conn: Connection) -> None:
    for role, may in (
        ("emberkeep_service", True),
        ("event_store_writer", False),
        ("event_store_reader", False),
    ):
        for function in ("archive_events(timestamptz, int)", "expire_events(timestamptz)"):
            cursor = await conn.execute(
                "select has_function_privilege(%s, %s, 'execute')",
                (role, f"event_store.{function}"),
            )
            assert await cursor.fetchone() == (may,), (role, function)
