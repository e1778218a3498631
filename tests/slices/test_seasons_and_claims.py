"""A season is added or changed before a claim or after it, never while the claim is under way."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING

import pytest

from emberkeep.xp.model import (
    PlayerId,
    Season,
    SeasonBegun,
    SeasonId,
    SeasonOver,
    StreakChange,
    TieredSeasonalReset,
)
from emberkeep.xp.service.seasons import create_season, delete_season, edit_season
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


async def _move_season(conn: Connection, first: int, last: int) -> Season:
    """Move the season `s` to the days from `first` to `last`, as it is noon of the second day."""
    days = (FIRST_DAY + datetime.timedelta(days=day) for day in (first, last))
    start_date, end_date = days
    season = Season(season_id=SeasonId("s"), start_date=start_date, end_date=end_date)
    return await edit_season(
        conn, season=season, expected_tag=None, actor="test", reason="", now=at(1)
    )


async def _delete_season(conn: Connection) -> None:
    """Delete the season `s`, as it is noon of the second day."""
    await delete_season(
        conn, season_id=SeasonId("s"), expected_tag=None, actor="test", reason="", now=at(1)
    )


@pytest.mark.parametrize("change", ["move", "delete"])
async def test_a_change_waits_for_a_claim_of_the_seasons_days(world: World, change: str) -> None:
    # A history that is replayed may run ahead of the clock.
    world.add_season("s", 3, 3)
    async with open_writer(world.dsn) as writer, open_writer(world.dsn) as conn:
        async with writer.transaction():
            await claim(writer, PLAYER, at(3))
            changing = asyncio.create_task(
                _move_season(conn, 8, 9) if change == "move" else _delete_season(conn)
            )
            await await_waiter(world.dsn)
        with pytest.raises(SeasonBegun):
            await changing
    assert world.execute("select start_date, end_date from xp.xp_seasons") == [
        (FIRST_DAY + datetime.timedelta(days=3),) * 2
    ]


async def test_a_claim_that_waited_for_an_edit_is_decided_by_it(world: World) -> None:
    world.add_season("s", 3, 3)
    async with open_desk(world.dsn) as desk, open_writer(world.dsn) as conn:
        await desk.claim(player_id=PLAYER, policy_key=KEY, now=at(0))
        async with conn.transaction():
            await _move_season(conn, 0, 0)
            claiming = asyncio.create_task(desk.claim(player_id=PLAYER, policy_key=KEY, now=at(1)))
            await await_waiter(world.dsn)
        assert (await claiming).explain.streak is StreakChange.SEASON_RESET


async def test_a_claim_that_waited_for_a_deletion_knows_of_no_season(world: World) -> None:
    world.add_season("s", 3, 3)
    async with open_desk(world.dsn) as desk, open_writer(world.dsn) as conn:
        await desk.claim(player_id=PLAYER, policy_key=KEY, now=at(2))
        async with conn.transaction():
            await _delete_season(conn)
            claiming = asyncio.create_task(desk.claim(player_id=PLAYER, policy_key=KEY, now=at(4)))
            await await_waiter(world.dsn)
        assert (await claiming).explain.streak is StreakChange.RESTARTED


async def test_a_season_is_not_moved_to_end_before_claims_that_were_made(world: World) -> None:
    world.add_season("s", 3, 3)
    async with open_writer(world.dsn) as conn:
        await claim(conn, PLAYER, at(1))
        with pytest.raises(SeasonOver):
            await _move_season(conn, -2, 0)
        assert (await _move_season(conn, 0, 1)).start_date == FIRST_DAY
