"""Connections break and replies are lost: each append stands once, each effect happens once."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.base.db import OutcomeUnknown, connect, transaction
from emberkeep.events.model import EVERYTHING
from emberkeep.events.service import AppendDesk
from emberkeep.migrate.service import apply_migrations
from tests.eventing import NOW, append, list_violations
from tests.faults.appending import (
    Journal,
    PlainClient,
    append_one,
    assert_written,
    make_known_append,
    read_event_ids,
    through_desk,
)
from tests.faults.delivering import (
    assert_goes_on,
    make_effects,
    project,
    read_checkpoints,
    read_effects,
)
from tests.faults.killing import KILLS, Kill, find_postmaster
from tests.faults.proxy import Cut, Faults, run_proxy
from tests.following import PATIENCE_S, Consumer, make_plan, open_hub, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from emberkeep.base.db import Connection
    from emberkeep.base.postgres import EmbeddedServer
    from emberkeep.events.model import Appended, RecordedEvent

SEEDS = range(3)
WRITERS = 8
CHECKPOINT = b".acknowledge_events("


@contextlib.asynccontextmanager
async def open_desk(dsn: str, *, connections: int = 2) -> AsyncGenerator[AppendDesk]:
    """Run a desk as a process of its own would."""
    desk = AppendDesk(dsn, connections=connections)
    await desk.start()
    try:
        yield desk
    finally:
        await desk.stop()


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection that no fault befalls; what is left is verified."""
    async with await connect(database) as conn:
        yield conn
    assert await list_violations(database) == {}


async def give(desk: AppendDesk, stream: str, seed: int = 0) -> Appended:
    """Append some events through a desk."""
    known = make_known_append(stream, random.Random(seed))  # noqa: S311
    return await through_desk(desk)(known)


# The proxy itself


@pytest.mark.parametrize("cut", Cut)
async def test_the_proxy_knows_what_appends_and_what_does_not_yet(
    database: str, conn: Connection, cut: Cut
) -> None:
    faults = Faults(cut=cut)
    async with run_proxy(database, faults) as dsn:
        async with await connect(dsn) as cut_off:
            with pytest.raises(psycopg.OperationalError):
                await append(cut_off, "a")
        async with await connect(dsn) as cut_off:
            with pytest.raises(OutcomeUnknown):
                await _append_in_transaction(cut_off, faults)
    assert (faults.commits, faults.cuts) == (2, 2)
    assert len(read_event_ids(database)) == (2 if cut is Cut.AFTER else 0)


async def _append_in_transaction(conn: Connection, faults: Faults) -> None:
    async with transaction(conn):
        commits = faults.commits
        await append(conn, "b")
        assert faults.commits == commits


# Appends


async def test_an_append_whose_reply_is_lost_is_answered_with_where_it_stands(
    database: str, conn: Connection
) -> None:
    await append(conn, "s", 3)
    faults = Faults(cut=Cut.AFTER, most=1)
    async with run_proxy(database, faults) as dsn, open_desk(dsn) as desk:
        answer = await give(desk, "s")
    assert (faults.cuts, answer.is_retry, answer.first_version) == (1, True, 4)
    assert read_event_ids(database)[-1] == answer.last_event_id
    assert len(read_event_ids(database)) == answer.last_version


async def test_an_append_that_never_arrives_is_written_after_all(
    database: str, conn: Connection
) -> None:
    faults = Faults(cut=Cut.BEFORE, most=1)
    async with run_proxy(database, faults) as dsn, open_desk(dsn) as desk:
        answer = await give(desk, "s")
    assert (faults.cuts, answer.is_retry, answer.first_version) == (1, False, 1)
    assert len(read_event_ids(database)) == answer.last_version


async def test_while_a_server_is_silent_appends_wait_and_none_is_lost(
    database: str, conn: Connection
) -> None:
    faults = Faults()
    async with run_proxy(database, faults) as dsn, open_desk(dsn) as desk:
        faults.is_black_hole = True
        waiting = [asyncio.create_task(give(desk, f"s-{n}", n)) for n in range(20)]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in waiting)
        faults.is_black_hole = False
        answers = await asyncio.gather(*waiting)
    assert {answer.first_version for answer in answers} == {1}
    assert len(read_event_ids(database)) == sum(answer.last_version for answer in answers)


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_is_cut_every_append_stands_once(
    database: str, conn: Connection, seed: int
) -> None:
    await _append_through_cuts(database, seed, appends=200)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1100))
async def test_whatever_is_cut_every_append_stands_once_for_long(
    database: str, conn: Connection, seed: int
) -> None:
    await _append_through_cuts(database, seed, appends=3_000)


async def _append_through_cuts(database: str, seed: int, *, appends: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    faults = Faults(share=0.2, delay_s=0.002, rng=rng)
    journal = Journal()
    async with run_proxy(database, faults) as dsn, writing(dsn, journal, rng):
        while len(journal.told) < appends:
            faults.cut = rng.choice([Cut.BEFORE, Cut.AFTER])
            await journal.await_more(10, PATIENCE_S)
        faults.cut = None
    assert faults.cuts > 0
    assert {told.is_retry for told in journal.told.values()} == {True, False}
    assert_written(database, journal)


@contextlib.asynccontextmanager
async def writing(dsn: str, journal: Journal, rng: random.Random) -> AsyncGenerator[None]:
    """Have eight write for the length of the block, half of them through one desk."""
    clients = [PlainClient(dsn) for _ in range(WRITERS // 2)]
    async with open_desk(dsn) as desk:
        ways = [through_desk(desk)] * (WRITERS // 2) + [client.give for client in clients]
        tasks = [
            asyncio.create_task(journal.write(way, str(n), random.Random(rng.random())))  # noqa: S311
            for n, way in enumerate(ways)
        ]
        try:
            yield
        finally:
            journal.is_over = True
            await asyncio.gather(*tasks)
            for client in clients:
                await client.close()


# Checkpoints


@pytest.mark.parametrize("cut", Cut)
async def test_when_a_checkpoint_breaks_nothing_is_skipped(
    database: str, conn: Connection, cut: Cut
) -> None:
    faults = Faults(cut=cut, share=0.3, writes=(CHECKPOINT,))
    consumer = Consumer()
    plan = make_plan(checkpoint_every=2)
    async with (
        run_proxy(database, faults) as dsn,
        open_hub(dsn) as hub,
        running(hub.run(plan, consumer.handle)),
    ):
        for _ in range(20):
            await append(conn, "s", 3)
            await asyncio.sleep(0.01)
        await consumer.await_events(60)
        while faults.cuts < 3:
            await append(conn, "t")
            await asyncio.sleep(0.05)
        faults.cut = None
        await until(lambda: _is_at_end(conn, database))
    given = [event.event_id for event in consumer.events]
    assert list(dict.fromkeys(given)) == read_event_ids(database)
    assert_goes_on(given)


async def _is_at_end(conn: Connection, database: str) -> bool:
    checkpoint, _ = (await read_checkpoints(conn, make_plan()))[0]
    return checkpoint == read_event_ids(database)[-1]


# Projections


@pytest.mark.parametrize("cut", Cut)
async def test_when_the_commit_of_a_projection_breaks_its_effect_happens_once(
    database: str, conn: Connection, cut: Cut
) -> None:
    make_effects(database)
    faults = Faults(cut=cut, most=3, writes=())
    plan = make_plan(buffer_size=10)
    async with (
        run_proxy(database, faults) as dsn,
        open_hub(dsn) as hub,
        running(hub.run_batches(plan, project)),
    ):
        for _ in range(10):
            await append(conn, "s", 3)
        await until(lambda: _are_effects(database, 30))
    assert faults.cuts == 3
    assert read_effects(database) == read_event_ids(database)


async def _are_effects(database: str, count: int) -> bool:
    return len(read_effects(database)) >= count


_SLOW_COMMIT = """
    create function public.dawdle() returns trigger language plpgsql as $$
    begin
        perform pg_sleep(1.5);
        return null;
    end
    $$;
    create constraint trigger dawdle after insert on public.effects
    deferrable initially deferred for each row when (new.event_id = 1)
    execute function public.dawdle();
"""


async def test_a_commit_that_is_under_way_when_the_connection_breaks_is_not_overtaken(
    database: str, conn: Connection
) -> None:
    make_effects(database)
    await conn.execute(_SLOW_COMMIT)
    faults = Faults(cut=Cut.AFTER, most=1, writes=(), is_hasty=True)
    async with (
        run_proxy(database, faults) as dsn,
        open_hub(dsn) as hub,
        running(hub.run_batches(make_plan(), project)),
    ):
        await append(conn, "s", 3)
        await until(lambda: _are_effects(database, 3))
        await append(conn, "s", 3)
        await until(lambda: _are_effects(database, 6))
    assert faults.cuts == 1
    assert read_effects(database) == read_event_ids(database)


# Notifications


async def test_whoever_is_never_notified_follows_by_looking(
    database: str, conn: Connection
) -> None:
    faults = Faults(is_deaf=True)
    consumer = Consumer()
    async with (
        run_proxy(database, faults) as dsn,
        open_hub(dsn, poll_s=0.1) as hub,
        running(hub.run(make_plan(), consumer.handle)),
    ):
        for count in range(1, 6):
            await append(conn, "s")
            await consumer.await_events(count)
    assert consumer.numbers == [0] * 5


@pytest.mark.parametrize("seed", SEEDS)
async def test_followers_outlive_the_loss_of_every_connection(
    database: str, conn: Connection, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311
    faults = Faults()
    cuts = 0
    consumer = Consumer()
    async with (
        run_proxy(database, faults) as dsn,
        open_hub(dsn) as hub,
        running(hub.run(make_plan(), consumer.handle)),
    ):
        for _ in range(4):
            await append(conn, "s", 5)
            await asyncio.sleep(rng.random())
            cuts += faults.cut_all()
        await until(lambda: _has_all(consumer, 20))
    assert cuts > 4
    given = [event.event_id for event in consumer.events]
    assert list(dict.fromkeys(given)) == read_event_ids(database)
    assert_goes_on(given)


async def _has_all(consumer: Consumer, count: int) -> bool:
    return len({event.event_id for event in consumer.events}) == count


@pytest.mark.parametrize("kill", KILLS)
async def test_followers_outlive_a_restart_of_the_database(
    durable: EmbeddedServer, kill: Kill
) -> None:
    dsn = durable.dsn_for("kills")
    await apply_migrations(dsn, now=NOW)
    consumer = Consumer()
    client = PlainClient(dsn)
    rng = random.Random(0)  # noqa: S311
    journal = Journal()
    async with open_hub(dsn) as hub, running(hub.run(make_plan(), consumer.handle)):
        for _ in range(2):
            await journal.insist(client.give, make_known_append("s", rng))
            await until(lambda: _has_all(consumer, len(read_event_ids(dsn))))
            # Nobody is at anything: each finds out by itself, later.
            await asyncio.to_thread(kill, durable, rng)
            await journal.insist(client.give, make_known_append("s", rng))
            await asyncio.to_thread(find_postmaster, durable)
        await until(lambda: _has_all(consumer, len(read_event_ids(dsn))))
    await client.close()
    assert_written(dsn, journal)


# Order


@pytest.mark.parametrize("seed", SEEDS)
async def test_whoever_follows_everything_sees_it_in_order_however_late_commits_arrive(
    database: str, conn: Connection, seed: int
) -> None:
    await _follow_slow_commits(database, seed, rounds=25)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1050))
async def test_whoever_follows_everything_sees_it_in_order_for_long(
    database: str, conn: Connection, seed: int
) -> None:
    await _follow_slow_commits(database, seed, rounds=1_000)


async def _follow_slow_commits(database: str, seed: int, *, rounds: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    faults = Faults(commit_delay_s=0.05, rng=rng)
    committed: list[int] = []
    followed: list[int] = []
    persistent = Consumer()

    async def write(dsn: str, name: str) -> None:
        async with await connect(dsn) as conn:
            for _ in range(rounds):
                async with transaction(conn):
                    answer = await append_one(conn, make_known_append(name, rng))
                # In the order in which they committed; those of others may lie between two.
                committed.append(answer.first_event_id)

    async with run_proxy(database, faults) as dsn, open_hub(database) as hub:

        async def follow() -> None:
            async for event in hub.follow(EVERYTHING, after=0):
                followed.append(event.event_id)  # noqa: PERF401 -- It never ends.

        async with (
            running(follow()),
            running(hub.run(make_plan(), persistent.handle)),
        ):
            await asyncio.gather(*(write(dsn, f"w-{n}") for n in range(WRITERS)))
            count = len(read_event_ids(database))
            await until(lambda: _are_both(followed, persistent.events, count))
    assert committed != sorted(committed)
    assert followed == read_event_ids(database)
    assert [event.event_id for event in persistent.events] == followed


async def _are_both(followed: Sequence[int], events: Sequence[RecordedEvent], count: int) -> bool:
    return len(followed) >= count and len(events) >= count
