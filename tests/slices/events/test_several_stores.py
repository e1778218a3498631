"""Several stores in one database: each has its own events, followers, notifications and version."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from emberkeep.base.db import Connection, connect
from emberkeep.events.model import (
    DEFAULT_SCHEMA,
    EVERYTHING,
    Category,
    OneStream,
    ReadInvalid,
    Source,
    StreamId,
    StreamUnknown,
)
from emberkeep.events.service import (
    AppendDesk,
    append_to_streams,
    find_subscription,
    make_event,
    read_stream_forward,
)
from emberkeep.events.service.stores import (
    StoreBehind,
    create_store,
    migrate_store,
    read_store_status,
    require_store,
)
from emberkeep.events.service.watcher import HorizonWatcher
from emberkeep.migrate.model import MigrationSet
from emberkeep.migrate.service import apply_migrations, verify_schemas
from tests.eventing import (
    NOW,
    SHOP,
    add_store,
    append,
    list_places,
    list_violations,
    make_append,
    read_places,
)
from tests.following import Consumer, make_plan, open_hub, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from emberkeep.base.db import Database
    from emberkeep.events.service import SubscriptionHub

BOTH = [DEFAULT_SCHEMA, SHOP]
# Nothing is found by looking: who hears of an append was notified.
DEAF_S = 3_600.0
SOURCES: list[Source] = [EVERYTHING, Category("s"), OneStream(StreamId("s-1"))]


@contextlib.asynccontextmanager
async def open_desk(dsn: str, schema: str) -> AsyncIterator[AppendDesk]:
    desk = AppendDesk(dsn, connections=1, schema=schema)
    await desk.start()
    try:
        yield desk
    finally:
        await desk.stop()


def other_than(schema: str) -> str:
    return next(known for known in BOTH if known != schema)


@pytest.mark.parametrize("schema", BOTH)
async def test_a_desk_appends_to_the_store_that_it_is_of(
    dsn: str, conn: Connection, schema: str
) -> None:
    async with open_desk(dsn, schema) as desk:
        appended = await desk.append(
            stream_id=StreamId("s-1"), events=[make_event("A", {})], now=NOW
        )
    assert (appended.first_version, appended.first_event_id) == (1, 1)
    assert await read_places(conn, schema=schema) == [("s-1", 1)]
    with pytest.raises(StreamUnknown):
        await read_stream_forward(conn, stream_id=StreamId("s-1"), schema=other_than(schema))


@pytest.mark.parametrize("schema", BOTH)
async def test_an_append_is_notified_on_the_channel_of_its_store_alone(
    dsn: str, schema: str
) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        for channel in BOTH:
            listener.execute(f"listen {channel}".encode())
        async with open_desk(dsn, schema) as desk, await connect(dsn) as conn:
            for _ in range(3):
                await desk.append(stream_id=StreamId("s-1"), events=[make_event("A", {})], now=NOW)
            await append(conn, "s-1", schema=schema)
            await append_to_streams(conn, appends=[make_append("s-1")], now=NOW, schema=schema)
        heard = {note.channel for note in listener.notifies(timeout=0.3)}
    assert heard == {schema}


@pytest.mark.parametrize("source", SOURCES, ids=str)
@pytest.mark.parametrize("schema", BOTH)
async def test_followers_of_a_store_are_woken_by_its_appends_alone(
    dsn: str, conn: Connection, schema: str, source: Source
) -> None:
    watcher = HorizonWatcher(dsn, schema=schema, poll_s=DEAF_S)
    await watcher.start()
    with watcher.watch(source) as watch:
        # Whoever begins to watch has to look first.
        watch.forget_news()
        for _ in range(5):
            await append(conn, "s-1", schema=other_than(schema))
        assert await _measure(watch.wait_for_news(0.5)) >= 0.5
        await append(conn, "s-1", schema=schema)
        assert await _measure(watch.wait_for_news(30)) < 20
    await watcher.stop()


async def _measure(waiting: Coroutine[Any, Any, None]) -> float:
    started = time.monotonic()
    await waiting
    return time.monotonic() - started


@pytest.mark.parametrize("schema", BOTH)
async def test_a_follower_sees_the_events_of_its_store_alone(
    dsn: str, conn: Connection, schema: str
) -> None:
    async with open_hub(dsn, schema=schema, poll_s=0.05) as hub:
        follow = hub.follow(EVERYTHING, after=0)
        waiting = asyncio.ensure_future(anext(follow))
        await append(conn, "s-9", 3, schema=other_than(schema))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await append(conn, "s-1", schema=schema)
        assert list_places([await waiting]) == [("s-1", 1)]
        await follow.aclose()


async def test_subscriptions_of_one_name_in_two_stores_have_a_checkpoint_each(
    dsn: str, conn: Connection
) -> None:
    plan = make_plan("same")
    ours, theirs = Consumer(), Consumer()
    async with (
        open_hub(dsn) as hub,
        open_hub(dsn, schema=SHOP) as shop_hub,
        running(hub.run(plan, ours.handle)),
        running(shop_hub.run(plan, theirs.handle)),
    ):
        await append(conn, "s-1", 5)
        await append(conn, "s-1", 2, schema=SHOP)
        await ours.await_events(5)
        await theirs.await_events(2)
        await until(_is_at(conn, DEFAULT_SCHEMA, 5))
        await until(_is_at(conn, SHOP, 2))
        await append(conn, "s-1", schema=SHOP)
        await theirs.await_events(3)
        await until(_is_at(conn, SHOP, 3))
        assert await _is_at(conn, DEFAULT_SCHEMA, 5)()
    assert (len(ours.events), len(theirs.events)) == (5, 3)
    assert await list_violations(dsn, schema=SHOP) == {}


def _is_at(conn: Connection, schema: str, event_id: int) -> Callable[[], Awaitable[bool]]:
    async def is_at() -> bool:
        state = await find_subscription(
            conn, subscription_id=make_plan("same").subscription_id, schema=schema
        )
        return (state.last_seen_event_id, state.lag) == (event_id, 0)

    return is_at


async def test_an_open_append_in_one_store_does_not_hold_up_the_followers_of_another(
    dsn: str, conn: Connection, other: Connection
) -> None:
    async with open_hub(dsn, schema=SHOP) as hub, conn.transaction():
        await append(conn, "s-1")
        follow = hub.follow(EVERYTHING, after=0)
        await append(other, "s-1", schema=SHOP)
        async with asyncio.timeout(20):
            assert list_places([await anext(follow)]) == [("s-1", 1)]
        await follow.aclose()


@pytest.fixture
async def old_and_new(database: str) -> str:
    """The connection string of a database with a store of the first version beside a new one."""
    old = MigrationSet("event_store", "emberkeep.events.migrations", SHOP)
    await apply_migrations(database, sets=(old,), module="event_store", to=1, now=NOW)
    return database


async def _append_old(conn: Connection) -> None:
    await conn.execute(
        "select shop_events.append_to_streams("
        "array['s-1'], array['A'], array[1], array['{}'], array[null], %s)",
        (NOW,),
    )


async def test_stores_of_different_versions_stand_side_by_side(old_and_new: str) -> None:
    async with await connect(old_and_new) as conn, open_hub(old_and_new) as hub:
        await _append_old(conn)
        await append(conn, "s-1", 2)
        await _follow(hub, 2)
        assert await read_places(conn) == [("s-1", 1), ("s-1", 2)]
    await require_store(old_and_new, schema=DEFAULT_SCHEMA)
    with pytest.raises(StoreBehind):
        await require_store(old_and_new, schema=SHOP)
    assert (await read_store_status(old_and_new, schema=SHOP)).pending > 0
    for schema in BOTH:
        store = MigrationSet("event_store", "emberkeep.events.migrations", schema)
        (verification,) = await verify_schemas(old_and_new, sets=(store,))
        assert verification.findings == ()


async def test_an_old_store_is_migrated_while_another_is_followed(old_and_new: str) -> None:
    async with await connect(old_and_new) as conn:
        await _append_old(conn)
        async with open_hub(old_and_new) as hub:
            following = asyncio.create_task(_follow(hub, 40))
            for _ in range(20):
                await append(conn, "s-1")
            applied = await migrate_store(old_and_new, schema=SHOP, now=NOW)
            for _ in range(20):
                await append(conn, "s-1")
            await following
        assert [done.version for done in applied] == list(range(2, len(applied) + 2))
        assert await read_places(conn, schema=SHOP) == [("s-1", 1)]
        await append(conn, "s-1", schema=SHOP)
        assert await read_places(conn, schema=SHOP) == [("s-1", 1), ("s-1", 2)]
    for schema in BOTH:
        assert await list_violations(old_and_new, schema=schema) == {}


async def _follow(hub: SubscriptionHub, count: int) -> None:
    follow = hub.follow(EVERYTHING, after=0)
    async with asyncio.timeout(20):
        assert list_places([await anext(follow) for _ in range(count)]) == [
            ("s-1", version) for version in range(1, count + 1)
        ]
    await follow.aclose()


async def test_a_store_made_while_another_is_in_use_is_whole(dsn: str, pool: Database) -> None:
    await create_store(dsn, schema="third_events", now=NOW)
    try:
        async with open_hub(dsn, schema="third_events") as hub, pool.connection() as conn:
            await append(conn, "s-1", schema="third_events")
            await _follow(hub, 1)
        assert await list_violations(dsn, schema="third_events") == {}
    finally:
        with psycopg.connect(dsn) as conn:
            conn.execute("drop schema third_events cascade")


@pytest.mark.parametrize("schema", ["xp", "public", "Shop", "shop-events", "pg_temp; drop", ""])
async def test_a_store_cannot_have_a_name_that_is_none_or_is_taken(dsn: str, schema: str) -> None:
    with pytest.raises(ReadInvalid):
        await create_store(dsn, schema=schema, now=NOW)


async def test_a_second_store_can_be_added_twice_without_effect(database: str) -> None:
    await add_store(database)
    assert await create_store(database, schema=SHOP, now=NOW) == ()
