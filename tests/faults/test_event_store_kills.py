"""PostgreSQL and writers are killed: facts stand once and in order, and followers miss none."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.events.model import LeaseLost
from emberkeep.events.service import AppendDesk
from emberkeep.migrate.service import apply_migrations
from tests.eventing import NOW, list_violations
from tests.faults.appending import (
    Journal,
    PlainClient,
    assert_written,
    read_appends,
    read_event_ids,
    through_desk,
)
from tests.faults.delivering import (
    Deliveries,
    assert_goes_on,
    keep_going,
    make_effects,
    project,
    read_effects,
)
from tests.faults.killing import KILLS, PATIENCE_S, Kill, find_postmaster
from tests.faults.worker import Worker, read_lines
from tests.following import make_plan, open_hub

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Sequence
    from pathlib import Path

    from emberkeep.base.postgres import EmbeddedServer
    from emberkeep.events.model import RecordedEvent
    from emberkeep.events.service import SubscriptionHub

WRITERS = 8
LEASE_S = 2.0
APPENDS_BETWEEN_KILLS = 40
HORIZON_S = 5.0


# The server is killed while eight write and four follow


class Followers:
    """Four subscriptions of two processes, and what they were given."""

    def __init__(self, first: SubscriptionHub, second: SubscriptionHub) -> None:
        self._first, self._second = first, second
        settings = {"checkpoint_every": 10, "checkpoint_after_s": 0.05}
        self.handled = Deliveries(make_plan("handled", **settings))
        self.iterated = Deliveries(make_plan("iterated", buffer_size=50, **settings))
        self.parted = Deliveries(make_plan("parted", concurrency_limit=3, **settings))
        self._projected = make_plan("projected", buffer_size=50)

    @property
    def seen(self) -> Sequence[Deliveries]:
        """What each subscription but the projection was given."""
        return self.handled, self.iterated, self.parted

    def follow(self) -> list[Awaitable[None]]:
        """Return what has to go on for all of them to be followed."""
        return [
            keep_going(lambda: self._first.run(self.handled.plan, self._handle)),
            keep_going(lambda: self._iterate(self._first, self.iterated)),
            keep_going(lambda: self._iterate(self._first, self.parted)),
            keep_going(lambda: self._iterate(self._second, self.parted)),
            keep_going(lambda: self._second.run_batches(self._projected, project)),
        ]

    async def _handle(self, event: RecordedEvent) -> None:
        self.handled.note(event)
        await self.handled.compare(self._first.database, event)
        self.handled.acknowledged.add(event.event_id)

    async def _iterate(self, hub: SubscriptionHub, deliveries: Deliveries) -> None:
        async with hub.subscribe(deliveries.plan) as subscription:
            while True:
                batch = await subscription.next_batch(10)
                for delivery in batch:
                    deliveries.note(delivery.event)
                    await deliveries.compare(
                        hub.database, delivery.event, token=delivery.lease_token
                    )
                deliveries.acknowledged |= {delivery.event.event_id for delivery in batch}
                with contextlib.suppress(LeaseLost):
                    await subscription.acknowledge_batch(batch)


async def test_events_outlive_kills_of_the_database_and_every_follower_sees_each(
    durable: EmbeddedServer,
) -> None:
    before = find_postmaster(durable)
    await _write_and_follow_through_kills(durable, seed=1, kills=(*KILLS, *KILLS))
    assert find_postmaster(durable) != before


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1050))
async def test_events_outlive_many_kills_of_the_database(
    durable: EmbeddedServer, seed: int
) -> None:
    kills = random.Random(seed).choices(KILLS, k=12)  # noqa: S311
    await _write_and_follow_through_kills(durable, seed=seed, kills=kills)


async def _write_and_follow_through_kills(
    durable: EmbeddedServer, *, seed: int, kills: Sequence[Kill]
) -> None:
    rng = random.Random(seed)  # noqa: S311
    dsn = durable.dsn_for("kills")
    await apply_migrations(dsn, now=NOW)
    make_effects(dsn)
    journal = Journal()
    async with (
        open_hub(dsn, lease_s=LEASE_S) as first,
        open_hub(dsn, lease_s=LEASE_S) as second,
    ):
        followers = Followers(first, second)
        async with going_on(followers.follow()):
            async with writing(dsn, journal, rng):
                for kill in kills:
                    await journal.await_more(APPENDS_BETWEEN_KILLS, PATIENCE_S)
                    await asyncio.sleep(rng.random() / 5)
                    await asyncio.to_thread(kill, durable, rng)
                await journal.await_more(APPENDS_BETWEEN_KILLS, PATIENCE_S)
            await asyncio.to_thread(find_postmaster, durable)
            event_ids = read_event_ids(dsn)
            await _await_all(dsn, followers, len(event_ids))
    assert_written(dsn, journal)
    assert journal.retries > 0
    for deliveries in followers.seen:
        await deliveries.assert_complete(dsn)
    for deliveries in (followers.handled, followers.iterated):
        assert_goes_on(deliveries.by_partition[0])
    assert read_effects(dsn) == event_ids
    assert _count_unhandled(dsn) == 0
    assert await list_violations(dsn) == {}


@contextlib.asynccontextmanager
async def going_on(works: Sequence[Awaitable[None]]) -> AsyncGenerator[None]:
    """Let all of `works` go on for the length of the block; none of them may end before."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(ended, asyncio.CancelledError):
                raise AssertionError("a follower has ended") from ended


@contextlib.asynccontextmanager
async def writing(dsn: str, journal: Journal, rng: random.Random) -> AsyncGenerator[None]:
    """Have eight write for the length of the block, half of them through one desk."""
    desk = AppendDesk(dsn, connections=2)
    await desk.start()
    plain = [PlainClient(dsn) for _ in range(WRITERS // 2)]
    ways = [through_desk(desk)] * (WRITERS // 2) + [client.give for client in plain]
    tasks = [
        asyncio.create_task(
            journal.write(give, str(n), random.Random(rng.random()), pause_s=0.1)  # noqa: S311
        )
        for n, give in enumerate(ways)
    ]
    try:
        yield
    finally:
        journal.is_over = True
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*tasks)
        await desk.stop()
        for client in plain:
            await client.close()


async def _await_all(dsn: str, followers: Followers, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (
            any(deliveries.count() < count for deliveries in followers.seen)
            or len(read_effects(dsn)) < count
        ):
            await asyncio.sleep(0.05)


def _count_unhandled(dsn: str) -> int:
    """Return how often an event was parked, or a partition stopped: the events are innocent."""
    with psycopg.connect(dsn) as conn:
        row = conn.execute(
            "select (select count(*) from event_store.parked_events)"
            " + (select count(*) from event_store.subscription_partitions where stopped_at is not null)"
        ).fetchone()
    assert row is not None
    return int(row[0])


# A process that writes is killed


async def test_a_killed_writer_leaves_no_append_by_halves_and_holds_up_nobody(
    database: str, tmp_path: Path
) -> None:
    await _kill_writers(database, tmp_path, random.Random(1), kills=3)  # noqa: S311


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1050))
async def test_many_killed_writers_leave_no_append_by_halves(
    database: str, tmp_path: Path, seed: int
) -> None:
    await _kill_writers(database, tmp_path, random.Random(seed), kills=24)  # noqa: S311


async def _kill_writers(dsn: str, directory: Path, rng: random.Random, *, kills: int) -> None:
    log = directory / "told"
    for n in range(kills):
        writer = Worker(log, "tests.faults.appender", dsn, f"w{n}", str(rng.getrandbits(32)))
        await writer.await_line("ready")
        time.sleep(rng.random())
        writer.kill()
        await _await_horizon(dsn)
        _assert_whole(dsn, log)
        assert await list_violations(dsn) == {}


async def _await_horizon(dsn: str) -> None:
    """Wait until everything is final: whoever held that up is gone."""
    async with (
        asyncio.timeout(HORIZON_S),
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn,
    ):
        while True:
            row = await (
                await conn.execute("select horizon, last_event_id from event_store.read_horizon()")
            ).fetchone()
            assert row is not None
            if row[0] == row[1]:
                return
            await asyncio.sleep(0.02)


def _assert_whole(dsn: str, log: Path) -> None:
    """Hold that what was told is there, that nothing is there in part, nor one of a pair."""
    appends = read_appends(dsn)
    told = [(name, int(first), int(last)) for _, name, first, last in read_lines(log, "told")]
    assert told
    for name, first, last in told:
        assert (appends[name].first_event_id, appends[name].last_event_id) == (first, last)
    pairs = [name.split("/") for name in appends if "/" in name]
    assert {p for p, half in pairs if half == "left"} == {p for p, half in pairs if half == "right"}
    assert {pair for _, pair in read_lines(log, "pair")} <= {pair for pair, _ in pairs}
