"""Projections: every event counts once, in the transaction of the checkpoint; built anew beside."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.db import connect
from emberkeep.events.model import EVERYTHING, RecordedEvent, SubscriptionId, SubscriptionStopped
from emberkeep.events.service import (
    Projection,
    list_parked,
    list_subscriptions,
    list_type_counts,
    make_type_counts,
    rebuild_projection,
    run_projection,
)
from tests.eventing import append
from tests.following import PATIENCE_S, make_plan, open_hub, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from emberkeep.base.db import Connection
    from emberkeep.events.service import SubscriptionHub

NAME = SubscriptionId("s")


@pytest.fixture
async def hub(dsn: str) -> AsyncIterator[SubscriptionHub]:
    """The hub of one process."""
    async with open_hub(dsn, lease_s=0.6) as hub:
        yield hub


@pytest.fixture
async def totals(dsn: str) -> AsyncIterator[Connection]:
    """A connection to a table of the test's own, of which `count_events` keeps the rows."""
    async with await connect(dsn) as conn:
        await conn.execute(
            "create table totals (generation int, stream_id text, events int,"
            " primary key (generation, stream_id))"
        )
        yield conn
        await conn.execute("drop table totals")


async def count_events(conn: Connection, events: list[RecordedEvent], generation: int = 1) -> None:
    """Count the events of each stream: not safe to repeat, so that a double would show."""
    for event in events:
        await conn.execute(
            "insert into totals values (%s, %s, 1) on conflict (generation, stream_id)"
            " do update set events = totals.events + 1",
            (generation, event.stream_id),
        )


async def read_totals(conn: Connection, generation: int = 1) -> dict[str, int]:
    """Return what was counted."""
    cursor = await conn.execute(
        "select stream_id, events from totals where generation = %s", (generation,)
    )
    return dict(await cursor.fetchall())


async def is_counted(conn: Connection, wanted: dict[str, int], generation: int = 1) -> bool:
    """Say whether just that was counted."""
    return await read_totals(conn, generation) == wanted


async def test_each_event_counts_once_across_restarts(
    hub: SubscriptionHub, conn: Connection, totals: Connection
) -> None:
    for round_ in range(1, 4):
        await append(conn, "a-1", 5)
        await append(conn, "b-1", 2)
        async with running(hub.run_batches(make_plan(buffer_size=3), count_events)):
            wanted = {"a-1": 5 * round_, "b-1": 2 * round_}
            await until(lambda: is_counted(totals, wanted))  # noqa: B023
    (state,) = await list_subscriptions(conn)
    assert state.lag == 0


async def test_what_a_failed_batch_wrote_is_undone_and_only_the_culprit_is_parked(
    hub: SubscriptionHub, conn: Connection, totals: Connection
) -> None:
    async def handle(conn: Connection, events: list[RecordedEvent]) -> None:
        await count_events(conn, events)
        if any(event.stream_id == "bad-1" for event in events):
            raise ValueError("cannot be counted")

    await append(conn, "a-1", 3)
    await append(conn, "bad-1")
    await append(conn, "a-1", 3)
    async with running(hub.run_batches(make_plan(), handle)):
        await until(lambda: is_counted(totals, {"a-1": 6}))
    page = await list_parked(conn, subscription_id=NAME, source=EVERYTHING)
    assert [parked.error for parked in page.items] == ["ValueError: cannot be counted"]


async def test_a_failed_statement_of_the_handler_does_not_spoil_the_next_batch(
    hub: SubscriptionHub, conn: Connection, totals: Connection
) -> None:
    async def handle(conn: Connection, events: list[RecordedEvent]) -> None:
        for event in events:
            if event.stream_id == "bad-1":
                await conn.execute("select 1 / 0")
        await count_events(conn, events)

    await append(conn, "bad-1")
    await append(conn, "a-1", 2)
    async with running(hub.run_batches(make_plan(), handle)):
        await until(lambda: is_counted(totals, {"a-1": 2}))


async def test_whoever_lost_the_lease_has_no_effect(
    dsn: str, hub: SubscriptionHub, conn: Connection, totals: Connection
) -> None:
    """The slow consumer still works on its batch when another has taken the partition over."""
    await append(conn, "a-1", 4)
    is_slow, go_on = asyncio.Event(), asyncio.Event()

    async def handle_slowly(conn: Connection, events: list[RecordedEvent]) -> None:
        await count_events(conn, events)
        is_slow.set()
        await go_on.wait()

    async with (
        open_hub(dsn, lease_s=0.3) as slow,
        running(slow.run_batches(make_plan(), handle_slowly)) as task,
    ):
        await is_slow.wait()
        await slow._ground.heartbeat.stop()
        await conn.execute(
            "update event_store.subscription_partitions set lease_token = lease_token + 1,"
            " leased_by = gen_random_uuid(), leased_until = now() + interval '1 hour'"
        )
        go_on.set()
        await asyncio.sleep(0.3)
        assert await read_totals(totals) == {}
        task.cancel()
    await conn.execute("update event_store.subscription_partitions set leased_by = null")
    async with running(hub.run_batches(make_plan(), count_events)):
        await until(lambda: is_counted(totals, {"a-1": 4}))


# Generations


def make_totals() -> Projection:
    """Return the projection that counts into `totals`."""

    async def clear(conn: Connection, generation: int) -> None:
        await conn.execute("delete from totals where generation = %s", (generation,))

    return Projection(name="totals", handle=count_events, clear=clear, batch_size=10)


async def test_a_rebuild_counts_everything_anew_beside_the_live_one(
    hub: SubscriptionHub, conn: Connection, totals: Connection
) -> None:
    await append(conn, "a-1", 25)
    seen: list[tuple[int, int]] = []
    async with running(run_projection(hub, make_totals())):
        await until(lambda: is_counted(totals, {"a-1": 25}))
        await totals.execute("update totals set events = 1")
        generation = await rebuild_projection(
            hub, make_totals(), on_progress=lambda done, total: seen.append((done, total))
        )
        assert generation == 2
        assert await read_totals(totals, 2) == {"a-1": 25}
        assert seen == [(10, 25), (20, 25), (25, 25)]
        await append(conn, "a-1", 5)
        await until(lambda: is_counted(totals, {"a-1": 30}, 2))
    assert await read_totals(totals, 1) == {}
    names = [state.subscription_id for state in await list_subscriptions(conn)]
    assert names == ["projection:totals:2"]


async def test_a_rebuild_that_was_broken_off_goes_on_where_it_was(
    hub: SubscriptionHub, conn: Connection, totals: Connection
) -> None:
    await append(conn, "a-1", 30)
    first: list[int] = []

    def break_off(done: int, _: int) -> None:
        first.append(done)
        if done == 20:
            task.cancel()

    task = asyncio.ensure_future(rebuild_projection(hub, make_totals(), on_progress=break_off))
    with pytest.raises(asyncio.CancelledError):
        await task
    second: list[int] = []
    generation = await rebuild_projection(
        hub, make_totals(), on_progress=lambda done, _: second.append(done)
    )
    assert (generation, await read_totals(totals, 2)) == (2, {"a-1": 30})
    assert first[-1] == 20
    assert second[0] in (20, 30)


async def test_a_rebuild_of_an_empty_store_ends_at_once(
    hub: SubscriptionHub, totals: Connection
) -> None:
    assert await rebuild_projection(hub, make_totals(), on_progress=lambda *_: None) == 2
    assert await read_totals(totals, 2) == {}


async def test_a_projection_stops_at_what_it_cannot_count(
    hub: SubscriptionHub, conn: Connection, totals: Connection
) -> None:
    async def handle(conn: Connection, events: list[RecordedEvent], generation: int) -> None:
        if any(event.stream_id == "bad-1" for event in events):
            raise ValueError("cannot be counted")
        await count_events(conn, events, generation)

    async def clear(conn: Connection, generation: int) -> None:
        del conn, generation

    await append(conn, "a-1", 2)
    await append(conn, "bad-1")
    await append(conn, "a-1", 2)
    projection = Projection(name="totals", handle=handle, clear=clear)
    async with running(run_projection(hub, projection)):
        await until(lambda: has_stopped(conn))
    assert await read_totals(totals) == {"a-1": 2}


async def has_stopped(conn: Connection) -> bool:
    """Say whether the one subscription has stopped."""
    states = await list_subscriptions(conn)
    return bool(states) and states[0].stopped == 1


# The store's own


async def test_the_store_counts_its_types(hub: SubscriptionHub, conn: Connection) -> None:
    await append(conn, "a-1", 7)
    async with running(run_projection(hub, make_type_counts())):
        await until(lambda: has_types(conn, 7))
        await append(conn, "b-1", 3)
        await until(lambda: has_types(conn, 10))
    (count,) = await list_type_counts(conn)
    assert (count.event_type, count.event_version, count.last_event_id) == ("Happened", 1, 10)


async def has_types(conn: Connection, events: int) -> bool:
    """Say whether so many events were counted."""
    return sum(count.events for count in await list_type_counts(conn)) == events


async def test_a_rebuild_that_cannot_go_on_says_so_and_goes_on_when_it_can(
    hub: SubscriptionHub, conn: Connection, totals: Connection
) -> None:
    await append(conn, "a-1", 2)
    await append(conn, "bad-1")
    is_mended = False

    async def handle(conn: Connection, events: list[RecordedEvent], generation: int) -> None:
        if any(event.stream_id == "bad-1" for event in events) and not is_mended:
            raise ValueError("cannot be counted")
        await count_events(conn, events, generation)

    projection = dataclasses.replace(make_totals(), handle=handle)
    with pytest.raises(SubscriptionStopped):
        async with asyncio.timeout(PATIENCE_S):
            await rebuild_projection(hub, projection, on_progress=lambda *_: None)
    is_mended = True
    assert await rebuild_projection(hub, projection, on_progress=lambda *_: None) == 2
    assert await read_totals(totals, 2) == {"a-1": 2, "bad-1": 1}
