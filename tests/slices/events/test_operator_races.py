"""What operators do meets what others do at that moment: nothing is lost, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.clock import UTC
from emberkeep.base.db import Database, connect, open_database
from emberkeep.events.model import (
    EVERYTHING,
    ArchiveNeeded,
    LeaseLost,
    OneStream,
    ParkedState,
    StreamId,
    SubscriptionId,
)
from emberkeep.events.service import (
    append_to_stream,
    archive_events,
    delete_subscription,
    erase_stream,
    expire_events,
    link_to_stream,
    list_parked,
    list_subscriptions,
    read_all_forward,
    replay_parked,
    reset_subscription,
)
from tests.eventing import NOW, append, list_places, list_violations, make_events
from tests.following import Consumer, make_plan, open_hub, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from emberkeep.base.db import Connection
    from emberkeep.events.service import SubscriptionHub

JANUARY = datetime.datetime(2026, 1, 15, tzinfo=UTC)
FEBRUARY = datetime.datetime(2026, 2, 1, tzinfo=UTC)
NAME = SubscriptionId("s")
S = StreamId("s-1")
LIST = StreamId("list-1")
# Neither acknowledged events nor time make it write a checkpoint.
_LAZY = {"checkpoint_every": 100, "checkpoint_after_s": 3_600.0}


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection to a store with two events of January; what is left is verified."""
    async with await connect(database) as conn:
        await append_to_stream(conn, stream_id=S, events=make_events(2), now=JANUARY)
        yield conn
    assert await list_violations(database) == {}


@pytest.fixture
async def other(database: str) -> AsyncIterator[Connection]:
    """A second connection to the same store."""
    async with await connect(database) as conn:
        yield conn


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    """A pool of connections to the same store."""
    async with open_database(database, connections=4) as pool:
        yield pool


@pytest.fixture
async def hub(database: str) -> AsyncIterator[SubscriptionHub]:
    """The hub of one process."""
    async with open_hub(database, lease_s=0.6) as hub:
        yield hub


async def move_to_archive(conn: Connection) -> None:
    """Move what there is, in the transaction that is under way."""
    await conn.execute("select event_store.archive_events(%s, 1000)", (FEBRUARY,))


@contextlib.asynccontextmanager
async def beside(work: Awaitable[object], *, conn: Connection) -> AsyncIterator[None]:
    """Begin `work` while a transaction of `conn` is under way, and end it after the transaction."""
    async with conn.transaction():
        yield
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0.3)
    await task


async def test_what_is_being_archived_is_erased_all_the_same(
    conn: Connection, other: Connection
) -> None:
    erasing = erase_stream(conn, stream_id=S, actor="op", is_allowed=True, now=NOW)
    async with beside(erasing, conn=other):
        await move_to_archive(other)
    assert await read_all_forward(conn, max_count=10) == []


async def test_what_is_being_archived_does_not_expire_unseen(
    conn: Connection, other: Connection, pool: Database
) -> None:
    await archive_events(pool, created_before=FEBRUARY)
    await conn.execute("select event_store.create_subscription('s', '$all', 2, 0, 1, %s)", (NOW,))
    await append_to_stream(conn, stream_id=S, events=make_events(1), now=JANUARY)

    async def expire() -> None:
        with contextlib.suppress(ArchiveNeeded):
            await expire_events(conn, created_before=FEBRUARY, is_allowed=True)

    async with beside(expire(), conn=other):
        await move_to_archive(other)
    assert ("s-1", 3) in list_places(await read_all_forward(conn, max_count=10))


async def test_a_link_that_is_being_made_does_not_outlive_its_event(
    conn: Connection, other: Connection, pool: Database
) -> None:
    await archive_events(pool, created_before=FEBRUARY)
    expiring = expire_events(conn, created_before=FEBRUARY, is_allowed=True)
    async with beside(expiring, conn=other):
        await link_to_stream(other, stream_id=LIST, event_ids=[1], now=NOW)


async def test_what_the_follower_of_a_link_has_yet_to_see_does_not_expire(
    conn: Connection, pool: Database, hub: SubscriptionHub
) -> None:
    async with running(hub.run(make_plan(source=OneStream(LIST)), Consumer().handle)):
        await until(lambda: is_there(conn))
    await link_to_stream(conn, stream_id=LIST, event_ids=[1], now=NOW)
    await archive_events(pool, created_before=FEBRUARY)
    with pytest.raises(ArchiveNeeded):
        await expire_events(conn, created_before=FEBRUARY, is_allowed=True)


async def is_there(conn: Connection) -> bool:
    """Say whether the subscription was begun."""
    return bool(await list_subscriptions(conn, subscription_id=NAME))


async def test_whoever_worked_before_a_subscription_was_begun_anew_cannot_move_it(
    conn: Connection, database: str, hub: SubscriptionHub
) -> None:
    async with (
        open_hub(database, lease_s=60) as old,
        old.subscribe(make_plan(**_LAZY)) as before,
    ):
        held = await before.next_batch(2)
        while len(held) < 2:
            held += await before.next_batch(1)
        await before.acknowledge_batch(held)
        (lane,) = before._membership.list_lanes()  # type: ignore[union-attr]
        await delete_subscription(conn, subscription_id=NAME, source=EVERYTHING)
        async with hub.subscribe(make_plan(**_LAZY)) as fresh:
            await fresh.next()
            with contextlib.suppress(LeaseLost):
                await lane.write_checkpoint()
    consumer = Consumer()
    async with running(hub.run(make_plan(), consumer.handle)):
        await consumer.await_events(2)


async def park_in_the_last_partition(conn: Connection) -> None:
    """Have the only consumer of four partitions park the first event in the last of them."""
    await conn.execute("select event_store.create_subscription('s', '$all', 2, 0, 4, %s)", (NOW,))
    await conn.execute(
        "select event_store.park_event('s', '$all', 3, 0, 1, 1, 1, 'no', %s)", (NOW,)
    )


async def test_what_was_parked_is_replayed_by_fewer_partitions(
    conn: Connection, hub: SubscriptionHub
) -> None:
    await park_in_the_last_partition(conn)
    await reset_subscription(
        conn, subscription_id=NAME, source=EVERYTHING, after=None, concurrency_limit=1, now=NOW
    )
    await replay_parked(conn, subscription_id=NAME, source=EVERYTHING, actor="op")
    async with running(hub.run(make_plan(), Consumer().handle)):
        await until(lambda: is_replayed(conn))


async def is_replayed(conn: Connection) -> bool:
    """Say whether what was parked was handled after all."""
    page = await list_parked(conn, subscription_id=NAME, source=EVERYTHING, with_settled=True)
    return [parked.state for parked in page.items] == [ParkedState.REPLAYED]


async def test_what_was_parked_does_not_wait_for_an_event_that_was_erased(
    conn: Connection,
) -> None:
    await park_in_the_last_partition(conn)
    await erase_stream(conn, stream_id=S, actor="op", is_allowed=True, now=NOW)
    page = await list_parked(conn, subscription_id=NAME, source=EVERYTHING)
    assert page.items == ()


async def test_a_subscription_that_is_reset_while_others_acknowledge_blocks_nobody(
    conn: Connection, other: Connection, database: str
) -> None:
    await append(conn, "a-1")
    await conn.execute("select event_store.create_subscription('s', '$all', 0, 0, 1, %s)", (NOW,))
    await asyncio.gather(*(acknowledge_often(c) for c in (conn, other)), reset_often(database))


async def acknowledge_often(conn: Connection) -> None:
    """Move the checkpoint by whatever lease is valid."""
    for number in range(400):
        await conn.execute(
            "select event_store.acknowledge_events("
            "'s', '$all', 0, part.lease_token, %s, 0, now())"
            " from event_store.subscription_partitions as part",
            (number % 3,),
        )


async def reset_often(dsn: str) -> None:
    """Send the subscription back to where it began."""
    async with await connect(dsn) as conn:
        for _ in range(400):
            await conn.execute("select event_store.reset_subscription('s', '$all', 0, 0, 1, now())")
