"""Whoever archives can be killed at any step: nothing is lost, nothing is archived twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emberkeep.xp.service import archive
from tests.claiming import World
from tests.slices.test_archive import assert_nothing_lost, assert_verified, fill, remember

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
MOST_STEPS = 19
DAY = 45


def start(dsn: str, out: Path, step: int) -> subprocess.Popen[bytes]:
    """Start a process that archives, up to that step."""
    command = [sys.executable, "-m", "tests.faults.archiver", dsn, str(out), str(DAY), str(step)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)


async def _archive_through_kills(dsn: str, out: Path, *, seed: int, steps: Sequence[int]) -> None:
    world = World(dsn)
    await fill(world, seed=seed, days=60)
    before = remember(world)
    for step in steps:
        process = start(dsn, out, step)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        await assert_verified(dsn)
        assert world.execute("select count(*) from xp.xp_archives where state <> 'deleted'") == [
            (step > 1,)
        ]
    await _finish(world, out, before)


async def _finish(world: World, out: Path, before: dict[str, list[tuple[object, ...]]]) -> None:
    last = start(world.dsn, out, 0)
    _, errors = last.communicate()
    assert last.returncode == 0, errors
    assert_nothing_lost(world, out, before)
    await assert_verified(world.dsn)
    folders = sorted(path.name for path in out.iterdir())
    told = world.execute("select location from xp.xp_archives where state = 'deleted'")
    assert folders == sorted(Path(location).name for (location,) in told)
    for folder in out.iterdir():
        archive.verify_archive(folder)


async def test_a_killed_archive_is_finished_by_the_next(database: str, tmp_path: Path) -> None:
    # Before anything; with half a folder; before it is told to stand; amid the deletion.
    await _archive_through_kills(database, tmp_path, seed=1, steps=(1, 4, 10, 5))


@pytest.mark.soak
@pytest.mark.parametrize("step", range(1, MOST_STEPS + 1))
async def test_an_archive_may_be_killed_at_every_step(
    database: str, tmp_path: Path, step: int
) -> None:
    await _archive_through_kills(database, tmp_path, seed=step, steps=(step,))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1030))
async def test_an_archive_may_be_killed_at_any_moment(
    database: str, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311
    world = World(database)
    await fill(world, seed=seed, days=60)
    before = remember(world)
    for _ in range(6):
        process = start(database, tmp_path, 0)
        time.sleep(0.6 + rng.random())
        process.kill()
        process.communicate()
        await assert_verified(database)
    await _finish(world, tmp_path, before)
