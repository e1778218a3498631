"""Consumers are killed or stand still: others go on where they were, and nothing is skipped."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.db import connect
from tests.eventing import append, list_violations
from tests.faults.delivering import list_expected, read_checkpoints
from tests.faults.follower import make_follower_plan
from tests.faults.worker import Worker, read_lines
from tests.following import PATIENCE_S, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from emberkeep.base.db import Connection

LEASE_S = 0.6
LONG_LEASE_S = 4.0
# How long somebody who waits may need beyond the lease: two looks at it, on a busy machine.
SLACK_S = 2.0
STREAMS = [f"p-{n}" for n in range(12)]


class Scene:
    """A store that is written to, and the processes that follow it."""

    def __init__(self, dsn: str, log: Path, conn: Connection) -> None:
        self.dsn, self._log, self._conn = dsn, log, conn
        self.workers: dict[str, Worker] = {}

    async def start(
        self,
        name: str,
        *,
        partitions: int = 1,
        checkpoint_every: int = 5,
        lease_s: float = LEASE_S,
        pause_s: float = 0.0,
    ) -> Worker:
        """Start a follower, and wait until it begins."""
        arguments = (self.dsn, name, partitions, checkpoint_every, lease_s, pause_s)
        worker = Worker(self._log, "tests.faults.follower", *(str(a) for a in arguments))
        self.workers[name] = worker
        await worker.await_line("ready", name)
        return worker

    async def write(self, rounds: int) -> None:
        """Append to every stream, so many times."""
        for _ in range(rounds):
            for stream in STREAMS:
                await append(self._conn, stream)

    def read_handled(self, name: str | None = None) -> list[tuple[int, int]]:
        """Return (partition, event) of what anybody, or only `name`, has handled, in order."""
        lines = read_lines(self._log, "handled")
        return [(int(p), int(e)) for _, who, p, e in lines if name in (None, who)]

    async def await_handled(self, count: int, name: str | None = None) -> None:
        """Wait until so many different events were handled."""
        async with asyncio.timeout(PATIENCE_S):
            while len(set(self.read_handled(name))) < count:
                await asyncio.sleep(0.01)

    async def read_checkpoint(self) -> tuple[int, int]:
        """Return the checkpoint of the only partition, and its token."""
        return (await read_checkpoints(self._conn, make_follower_plan(1)))[0]

    async def assert_complete(self, partitions: int = 1) -> None:
        """Hold that each partition was handled whole, each event for the first time in order."""
        firsts: dict[int, list[int]] = {}
        for partition, event_id in dict.fromkeys(self.read_handled()):
            firsts.setdefault(partition, []).append(event_id)
        assert firsts == await list_expected(self.dsn, make_follower_plan(partitions))
        assert await list_violations(self.dsn) == {}


@contextlib.asynccontextmanager
async def _set_scene(dsn: str, directory: Path) -> AsyncGenerator[Scene]:
    async with await connect(dsn) as conn:
        scene = Scene(dsn, directory / "handled", conn)
        try:
            yield scene
        finally:
            for worker in scene.workers.values():
                worker.kill()


@pytest.fixture
async def scene(database: str, tmp_path: Path) -> Any:
    """A store of its own; its followers are killed at the end."""
    async with _set_scene(database, tmp_path) as scene:
        yield scene


async def test_when_a_consumer_is_killed_another_takes_over_as_soon_as_its_lease_ends(
    scene: Scene,
) -> None:
    await scene.write(4)
    doomed = await scene.start("doomed", pause_s=0.02)
    await scene.await_handled(10, "doomed")
    await scene.start("heir")
    doomed.kill()
    killed_at = time.monotonic()
    await scene.await_handled(1, "heir")
    assert time.monotonic() - killed_at < LEASE_S + SLACK_S
    await scene.await_handled(4 * len(STREAMS))
    await scene.assert_complete()


async def test_a_killed_consumer_repeats_no_more_than_it_had_not_written_down(
    scene: Scene,
) -> None:
    await scene.write(4)
    doomed = await scene.start("doomed", pause_s=0.02)
    await scene.await_handled(20, "doomed")
    doomed.kill()
    checkpoint, _ = await scene.read_checkpoint()
    await scene.start("heir")
    await scene.await_handled(4 * len(STREAMS))
    events = [event_id for _, event_id in scene.read_handled("heir")]
    assert events == list(range(checkpoint + 1, 4 * len(STREAMS) + 1))


async def test_consumers_that_are_killed_at_any_moment_skip_nothing(scene: Scene) -> None:
    await _kill_followers(scene, random.Random(1), kills=5)  # noqa: S311


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1050))
async def test_consumers_that_are_killed_again_and_again_skip_nothing(
    scene: Scene, seed: int
) -> None:
    await _kill_followers(scene, random.Random(seed), kills=30)  # noqa: S311


async def _kill_followers(scene: Scene, rng: random.Random, *, kills: int) -> None:
    """Have three consumers at work, of whom one is killed and replaced again and again."""
    partitions = 4
    begun = itertools.count()

    async def start_one() -> str:
        name = f"f{next(begun)}"
        await scene.start(name, partitions=partitions, pause_s=0.002)
        return name

    names = [await start_one() for _ in range(3)]
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            await scene.write(1)
            written += len(STREAMS)
            await asyncio.sleep(0.02)

    async with running(write()):
        for _ in range(kills):
            await asyncio.sleep(rng.random())
            victim = names.pop(rng.randrange(len(names)))
            scene.workers.pop(victim).kill()
            names.append(await start_one())
    total = len(await list_all(scene))
    assert total >= written > 0
    await scene.await_handled(total)
    await scene.assert_complete(partitions)


async def list_all(scene: Scene) -> list[int]:
    """Return every event of the store."""
    return (await list_expected(scene.dsn, make_follower_plan(1)))[0]


# Standing still: the process does not know that others took it for dead


async def test_whoever_wakes_up_without_the_lease_moves_the_checkpoint_nowhere(
    scene: Scene,
) -> None:
    await scene.write(20)
    # It has acknowledged more than it wrote down, and will want to when it wakes up.
    sleeper = await scene.start("sleeper", checkpoint_every=6_000, pause_s=0.02)
    await scene.await_handled(50, "sleeper")
    heir = await scene.start("heir", lease_s=LONG_LEASE_S, pause_s=0.02)
    sleeper.freeze()
    await scene.await_handled(5, "heir")
    # Its lease holds still, for a third of its length less than all of it.
    heir.freeze()
    await asyncio.sleep(0.1)  # What is on its way to the server arrives.
    before = await scene.read_checkpoint()
    dreamt = len(scene.read_handled("sleeper"))
    sleeper.wake()
    await scene.await_handled(dreamt + 1, "sleeper")
    await asyncio.sleep(LONG_LEASE_S / 4)
    assert await scene.read_checkpoint() == before
    heir.wake()
    await scene.await_handled(20 * len(STREAMS))
    await scene.assert_complete()


async def test_a_checkpoint_never_goes_back_however_often_consumers_stand_still(
    scene: Scene,
) -> None:
    await _freeze_followers(scene, random.Random(1), rounds=3)  # noqa: S311


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1050))
async def test_a_checkpoint_never_goes_back_for_long(scene: Scene, seed: int) -> None:
    await _freeze_followers(scene, random.Random(seed), rounds=20)  # noqa: S311


async def _freeze_followers(scene: Scene, rng: random.Random, *, rounds: int) -> None:
    """Have each of two consumers stand still for about as long as a lease, by turns."""
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append((await scene.read_checkpoint())[0])
            await asyncio.sleep(0.005)

    await scene.write(1)
    pair = [await scene.start(name, pause_s=0.005) for name in ("one", "other")]
    await scene.await_handled(1)
    async with running(look()):
        for round_ in range(rounds):
            await scene.write(10)
            worker = pair[round_ % 2]
            worker.freeze()
            await asyncio.sleep(LEASE_S * (0.5 + rng.random()))
            worker.wake()
            await asyncio.sleep(LEASE_S * rng.random())
    await scene.await_handled((1 + 10 * rounds) * len(STREAMS))
    assert seen == sorted(seen)
    await scene.assert_complete()
