"""Requests are joined into batches; whatever happens to one, its neighbours are answered."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.base import batch as batches
from emberkeep.base.batch import Batcher, ShuttingDown
from emberkeep.base.db import DatabaseUnavailable, OutcomeUnknown
from emberkeep.base.errors import Conflict, EmberkeepError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from emberkeep.base.db import Connection


class Refused(Conflict):
    """The test's own refusal."""

    code = "test.refused"


class Desk:
    """Work that doubles numbers, remembers its batches, and fails when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.find_failure: Callable[[Sequence[int]], Exception | None] = lambda _: None
        self.conns: set[int] = set()

    async def work(
        self, conn: Connection, requests: Sequence[int]
    ) -> Sequence[int | EmberkeepError]:
        self.batches.append(list(requests))
        self.conns.add(conn.info.backend_pid)
        await asyncio.sleep(0)  # Work that waits for nothing is no work: others get their turn.
        await self.gate.wait()
        failure = self.find_failure(requests)
        if failure is not None:
            raise failure
        return [Refused("odd one out") if n < 0 else 2 * n for n in requests]


@pytest.fixture
def desk() -> Desk:
    """Work that has not begun."""
    return Desk()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_PAUSES_S", (0.0, 0.01, 0.02))


@contextlib.asynccontextmanager
async def run(
    desk: Desk, dsn: str, *, connections: int = 1, max_size: int = 64
) -> AsyncGenerator[Batcher[int, int]]:
    batcher = Batcher(desk.work, dsn=dsn, connections=connections, max_size=max_size)
    await batcher.start()
    try:
        yield batcher
    finally:
        desk.gate.set()
        await batcher.stop()


async def await_batches(desk: Desk, count: int) -> None:
    async with asyncio.timeout(5):
        while len(desk.batches) < count:
            await asyncio.sleep(0)


# Joining


async def test_one_request_is_a_batch_of_one_and_is_not_held_back(
    desk: Desk, empty_database: str
) -> None:
    async with run(desk, empty_database) as batcher:
        assert await asyncio.wait_for(batcher.submit(4), 0.5) == 8
    assert desk.batches == [[4]]


async def test_what_waits_is_joined_in_order_and_answered_one_by_one(
    desk: Desk, empty_database: str
) -> None:
    async with run(desk, empty_database) as batcher:
        desk.gate.clear()
        first = batcher.submit(0)
        await await_batches(desk, 1)
        rest = [batcher.submit(n) for n in range(1, 50)]
        desk.gate.set()
        assert await asyncio.gather(first, *rest) == [2 * n for n in range(50)]
    assert desk.batches == [[0], list(range(1, 50))]


async def test_a_batch_has_at_most_its_size(desk: Desk, empty_database: str) -> None:
    async with run(desk, empty_database, max_size=20) as batcher:
        await asyncio.gather(*(batcher.submit(n) for n in range(70)))
    assert [n for batch in desk.batches for n in batch] == list(range(70))
    assert max(len(batch) for batch in desk.batches) == 20


async def test_idle_connections_share_a_crowd(desk: Desk, empty_database: str) -> None:
    async with run(desk, empty_database, connections=2) as batcher:
        await asyncio.sleep(0)  # Both come to rest.
        await asyncio.gather(*(batcher.submit(n) for n in range(64)))
    assert sorted(len(batch) for batch in desk.batches) == [32, 32]
    assert len(desk.conns) == 2


async def test_nobody_waits_for_ever_however_requests_arrive(
    desk: Desk, empty_database: str
) -> None:
    async def arrive(n: int) -> int:
        for _ in range(n % 7):
            await asyncio.sleep(0)
        return await batcher.submit(n)

    async with run(desk, empty_database, connections=3, max_size=5) as batcher, asyncio.timeout(10):
        answers = await asyncio.gather(*(arrive(n) for n in range(500)))
    assert answers == [2 * n for n in range(500)]


# Failing


async def test_an_error_in_the_answers_is_that_request_s_own(
    desk: Desk, empty_database: str
) -> None:
    async with run(desk, empty_database) as batcher:
        answers = await asyncio.gather(
            *(batcher.submit(n) for n in (1, -2, 3)), return_exceptions=True
        )
    assert [answers[0], answers[2]] == [2, 6]
    assert isinstance(answers[1], Refused)


@pytest.mark.parametrize("poisons", [{0}, {49}, {25}, {3, 4, 30}, set(range(50))])
async def test_a_poison_request_stands_alone_in_the_end(
    desk: Desk, empty_database: str, poisons: set[int]
) -> None:
    poison = RuntimeError("a bug")
    desk.find_failure = lambda requests: poison if poisons & set(requests) else None
    async with run(desk, empty_database) as batcher:
        answers = await asyncio.gather(
            *(batcher.submit(n) for n in range(50)), return_exceptions=True
        )
        assert answers == [poison if n in poisons else 2 * n for n in range(50)]
        # The others were served once each, in their order.
        served = [n for batch in desk.batches for n in batch if not poisons & set(batch)]
        assert served == [n for n in range(50) if n not in poisons]
        desk.find_failure = lambda _: None
        assert await batcher.submit(0) == 0


@pytest.mark.parametrize(
    "failure",
    [
        psycopg.errors.SerializationFailure("stale"),
        psycopg.errors.DeadlockDetected("deadlock"),
        OutcomeUnknown("the reply was lost"),
        DatabaseUnavailable("it was away"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_what_may_pass_is_tried_again_as_a_whole(
    desk: Desk, empty_database: str, failure: Exception
) -> None:
    failures = [failure, failure]
    desk.find_failure = lambda _: failures.pop() if failures else None
    async with run(desk, empty_database) as batcher:
        answers = await asyncio.gather(*(batcher.submit(n) for n in range(5)))
    assert answers == [0, 2, 4, 6, 8]
    assert desk.batches == [[0, 1, 2, 3, 4]] * 3


async def test_a_lost_connection_is_replaced(desk: Desk, empty_database: str) -> None:
    async with run(desk, empty_database) as batcher:
        await batcher.submit(1)
        (pid,) = desk.conns

        def lose(_: Sequence[int]) -> Exception | None:
            desk.find_failure = lambda _: None
            return psycopg.OperationalError("server closed the connection unexpectedly")

        desk.find_failure = lose
        assert await batcher.submit(2) == 4
    assert len(desk.conns) == 2
    assert desk.conns - {pid}


async def test_when_patience_ends_everybody_is_told_and_the_next_is_served(
    desk: Desk, empty_database: str
) -> None:
    desk.find_failure = lambda _: DatabaseUnavailable("it is away")
    async with run(desk, empty_database) as batcher:
        answers = await asyncio.gather(
            *(batcher.submit(n) for n in range(3)), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {DatabaseUnavailable}
        # Not halved: nothing is wrong with the requests.
        assert {len(batch) for batch in desk.batches} == {3}
        desk.find_failure = lambda _: None
        assert await batcher.submit(1) == 2


async def test_a_lost_commit_is_never_called_unwritten_later(
    desk: Desk, empty_database: str
) -> None:
    failures: list[Exception] = [DatabaseUnavailable("it is away")] * 5
    failures.append(OutcomeUnknown("the reply to the commit was lost"))
    desk.find_failure = lambda _: failures.pop()
    async with run(desk, empty_database) as batcher:
        with pytest.raises(OutcomeUnknown):
            await batcher.submit(1)


# Leaving


async def test_a_caller_who_leaves_does_not_disturb_the_others(
    desk: Desk, empty_database: str
) -> None:
    async with run(desk, empty_database) as batcher:
        desk.gate.clear()
        first = batcher.submit(0)
        await await_batches(desk, 1)
        waiting = [asyncio.ensure_future(batcher.submit(n)) for n in range(1, 6)]
        waiting[1].cancel()
        first.cancel()
        desk.gate.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [answers[0], *answers[2:]] == [2, 6, 8, 10]
    assert isinstance(answers[1], asyncio.CancelledError)


async def test_stop_answers_what_waits_and_takes_nothing_new(
    desk: Desk, empty_database: str
) -> None:
    async with run(desk, empty_database, max_size=4) as batcher:
        desk.gate.clear()
        waiting = [batcher.submit(n) for n in range(10)]
        await await_batches(desk, 1)
        stopping = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0.01)
        with pytest.raises(ShuttingDown):
            await batcher.submit(11)
        desk.gate.set()
        await stopping
        assert await asyncio.gather(*waiting) == [2 * n for n in range(10)]


async def test_nothing_is_taken_before_the_start(desk: Desk, empty_database: str) -> None:
    batcher = Batcher(desk.work, dsn=empty_database, connections=1, max_size=4)
    with pytest.raises(ShuttingDown):
        await batcher.submit(1)


async def test_a_start_without_a_database_says_so(desk: Desk) -> None:
    batcher = Batcher(desk.work, dsn="host=/nowhere", connections=1, max_size=4)
    with pytest.raises(DatabaseUnavailable):
        await batcher.start()
