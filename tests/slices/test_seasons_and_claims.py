"""A season is added before a claim or after it, never while the claim is under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from emberkeep.xp.model import (
    PlayerId,
    Season,
    SeasonId,
    SeasonOver,
    StreakChange,
    TieredSeasonalReset,
)
from emberkeep.xp.service.seasons import create_season
from tests.claiming import (
    FIRST_DAY,
    KEY,
    World,
    assert_clean,
    at,
    await_waiter,
    claim,
    make_policy,
    open_desk,
    open_writer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emberkeep.base.db import Connection

PLAYER = PlayerId("p")


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with a policy that a season's end matters to; clean afterwards."""
    world = World(database)
    world.publish(make_policy(TieredSeasonalReset(tiers=())))
    world.add_players(PLAYER)
    yield world
    assert_clean(database)


async def _add_season(conn: Connection) -> Season:
    """Add a season of the first day alone."""
    season = Season(season_id=SeasonId("s"), start_date=FIRST_DAY, end_date=FIRST_DAY)
    return await create_season(conn, season=season, actor="test", now=at(1))


async def test_a_season_waits_for_a_claim_that_it_would_have_decided(world: World) -> None:
    async with open_writer(world.dsn) as writer, open_writer(world.dsn) as conn:
        await claim(writer, PLAYER, at(0))
        async with writer.transaction():
            receipt = await claim(writer, PLAYER, at(1))
            adding = asyncio.create_task(_add_season(conn))
            await await_waiter(world.dsn)
        assert receipt.explain.streak is StreakChange.ADVANCED
        with pytest.raises(SeasonOver):
            await adding


async def test_a_claim_that_waited_for_a_season_is_decided_by_it(world: World) -> None:
    async with open_desk(world.dsn) as desk, open_writer(world.dsn) as conn:
        await desk.claim(player_id=PLAYER, policy_key=KEY, now=at(0))
        async with conn.transaction():
            await _add_season(conn)
            claiming = asyncio.create_task(desk.claim(player_id=PLAYER, policy_key=KEY, now=at(1)))
            await await_waiter(world.dsn)
        assert (await claiming).explain.streak is StreakChange.SEASON_RESET
