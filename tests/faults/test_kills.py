"""Everybody can be killed at any moment: what was acknowledged stands, and nothing stands twice."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.errors import Unavailable
from emberkeep.migrate.service import apply_migrations
from emberkeep.xp.model import PlayerId, Receipt
from tests.claiming import (
    KEY,
    LONG_AGO,
    World,
    assert_clean,
    at,
    claim,
    day_id,
    make_policy,
    open_desk,
    open_writer,
)
from tests.faults.killing import KILLS, PATIENCE_S, Kill, find_postmaster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emberkeep.base.postgres import EmbeddedServer

ROOT = Path(__file__).parents[2]
PLAYERS = [f"q{n}" for n in range(24)]


# A server of our own that is killed


async def test_what_was_acknowledged_outlives_kills_of_the_database(
    durable: EmbeddedServer,
) -> None:
    before = find_postmaster(durable)
    await _claim_through_kills(durable, seed=1, kills=KILLS)
    assert find_postmaster(durable) != before


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1050))
async def test_what_was_acknowledged_outlives_many_kills_of_the_database(
    durable: EmbeddedServer, seed: int
) -> None:
    kills = random.Random(seed).choices(KILLS, k=12)  # noqa: S311
    await _claim_through_kills(durable, seed=seed, kills=kills)


async def _claim_through_kills(
    durable: EmbeddedServer, *, seed: int, kills: Sequence[Kill]
) -> None:
    rng = random.Random(seed)  # noqa: S311
    dsn = durable.dsn_for("kills")
    await apply_migrations(dsn, now=LONG_AGO)
    world = World(dsn)
    world.publish(make_policy())
    world.add_players(*PLAYERS)
    told: dict[tuple[str, int], Receipt] = {}
    is_over = False

    async def claim_days(player: str) -> None:
        day = 0
        while not is_over:
            try:
                receipt = await desk.claim(player_id=PlayerId(player), policy_key=KEY, now=at(day))
            except Unavailable:
                await asyncio.sleep(0.01)
                continue
            told[player, day] = receipt
            day += 1

    async def await_more_claims() -> None:
        enough = len(told) + 5 * len(PLAYERS)
        async with asyncio.timeout(PATIENCE_S):
            while len(told) < enough:
                await asyncio.sleep(0.01)

    async with open_desk(dsn) as desk:
        claiming = [asyncio.create_task(claim_days(player)) for player in PLAYERS]
        for kill in kills:
            await await_more_claims()
            await asyncio.sleep(rng.random() / 5)
            await asyncio.to_thread(kill, durable, rng)
        await await_more_claims()
        is_over = True
        await asyncio.gather(*claiming)
    assert_told(world, {key: receipt.receipt_id for key, receipt in told.items()})


def assert_told(world: World, told: dict[tuple[str, int], str]) -> None:
    """Hold that every acknowledged claim stands, with its receipt, and that all is clean."""
    stored = {
        (player, day): receipt
        for player, day, receipt in world.execute(
            "select external_user_id, reward_day_id, receipt_id::text"
            " from xp.xp_awards join xp.xp_users using (user_id)"
        )
    }
    lost = [key for key in told if stored.get((key[0], day_id(key[1]))) != told[key]]
    assert lost == []
    assert_clean(world.dsn)


# A process of ours that is killed


class Claimer:
    """A process that claims for `players` until it is killed."""

    def __init__(self, dsn: str, players: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.claimer", dsn, *players],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )

    def kill_after(self, seconds: float) -> dict[tuple[str, int], str]:
        """Let it work for a while and kill it; return the receipts that it was given."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        self._process.kill()
        out, _ = self._process.communicate()
        whole, _, _ = out.rpartition(b"\n")  # The last line may be half of one.
        lines = [line.decode().split() for line in whole.splitlines()]
        return {(player, int(day)): receipt for player, day, receipt, _, _ in lines}


@pytest.fixture
def world(database: str) -> World:
    """A database with the plain policy and some players."""
    world = World(database)
    world.publish(make_policy())
    world.add_players(*PLAYERS)
    return world


def test_a_killed_process_leaves_what_it_acknowledged_and_nothing_by_halves(world: World) -> None:
    _kill_claimers(world, random.Random(1), rounds=4)  # noqa: S311


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1100))
def test_many_killed_processes_leave_nothing_by_halves(world: World, seed: int) -> None:
    _kill_claimers(world, random.Random(seed), rounds=24)  # noqa: S311


def _kill_claimers(world: World, rng: random.Random, *, rounds: int) -> None:
    told: dict[tuple[str, int], str] = {}
    size = len(PLAYERS) // rounds or 1
    for group in range(rounds):
        players = PLAYERS[group * size : (group + 1) * size]
        if not players:
            break
        told |= Claimer(world.dsn, players).kill_after(rng.random() / 3)
        assert_told(world, told)
    assert told


async def test_after_a_kill_the_same_claim_has_the_same_receipt(world: World) -> None:
    told = Claimer(world.dsn, PLAYERS).kill_after(0.2)
    last = {player: max(d for p, d in told if p == player) for player, _ in told}
    async with open_writer(world.dsn) as conn:
        for player, day in last.items():
            ((stored,),) = world.execute(
                "select max(reward_day_id) from xp.xp_awards join xp.xp_users using (user_id)"
                " where external_user_id = %s",
                player,
            )
            if stored == day_id(day):  # Else one more was paid that nobody was told of.
                assert (await claim(conn, player, at(day))).receipt_id == told[player, day]
    assert Counter(player for player, _ in told).keys() <= set(PLAYERS)
    assert_told(world, told)
