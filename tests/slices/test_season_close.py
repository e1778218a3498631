"""A season closes at the boundary of the day after its last one, by each player's own clock."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from emberkeep.xp.model import StreakChange, TieredSeasonalReset
from tests.claiming import LONG_AGO, World, assert_clean, claim, make_policy, open_writer

if TYPE_CHECKING:
    from collections.abc import Iterator

MICROSECOND = datetime.timedelta(microseconds=1)
TIERED = TieredSeasonalReset(tiers=())

# The season's last day, the window's start, the zone, and when its next day begins.
CLOSES = [
    ("2026-03-31", 0, "UTC", "2026-04-01T00:00:00Z"),
    ("2026-03-31", 0, "Pacific/Kiritimati", "2026-03-31T10:00:00Z"),
    ("2026-03-31", 300, "Pacific/Pago_Pago", "2026-04-01T16:00:00Z"),
    ("2026-12-31", 0, "Asia/Kathmandu", "2026-12-31T18:15:00Z"),
    # 02:30 is skipped that night: the day begins with the first instant after the gap.
    ("2026-03-28", 150, "Europe/Berlin", "2026-03-29T01:00:00Z"),
    # 01:30 comes twice that night: the day begins with the first.
    ("2026-10-31", 90, "America/New_York", "2026-11-01T05:30:00Z"),
]


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """An empty database; clean afterwards."""
    yield World(database)
    assert_clean(database)


def _add_season(world: World, season_id: str, first: datetime.date, days: int) -> None:
    last = first + datetime.timedelta(days=days - 1)
    world.execute(
        "insert into xp.xp_seasons values (%s, %s, %s, %s, %s, 'test')",
        season_id,
        season_id,
        first,
        last,
        LONG_AGO,
    )


@pytest.mark.parametrize(("last_day", "minutes", "zone", "closes_at"), CLOSES)
async def test_the_last_instant_belongs_to_the_season_and_the_next_to_its_successor(
    world: World, last_day: str, minutes: int, zone: str, closes_at: str
) -> None:
    world.publish(make_policy(TIERED, window=(minutes, 24)))
    world.add_players("p", zone=zone)
    last, closes = datetime.date.fromisoformat(last_day), datetime.datetime.fromisoformat(closes_at)
    _add_season(world, "s-1", last - datetime.timedelta(days=4), 5)
    _add_season(world, "s-2", last + datetime.timedelta(days=1), 5)
    async with open_writer(world.dsn) as conn:
        await claim(conn, "p", closes - datetime.timedelta(hours=36))
        within = await claim(conn, "p", closes - MICROSECOND)
        after = await claim(conn, "p", closes)
    assert within.reward_day_id == last
    assert (within.explain.season_id, within.balance.seasonal) == ("s-1", 200)
    assert (within.explain.streak, within.streak.current) == (StreakChange.ADVANCED, 2)
    assert after.reward_day_id == last + datetime.timedelta(days=1)
    assert (after.explain.season_id, after.balance.seasonal) == ("s-2", 100)
    assert (after.explain.streak, after.streak.current) == (StreakChange.SEASON_RESET, 1)


async def test_a_season_without_a_successor_keeps_its_xp_and_ends_the_streak(world: World) -> None:
    world.publish(make_policy(TIERED))
    world.add_players("p")
    world.add_season("s", 0, 0)
    closes = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
    async with open_writer(world.dsn) as conn:
        await claim(conn, "p", closes - MICROSECOND)
        after = await claim(conn, "p", closes)
    assert (after.explain.season_id, after.balance.seasonal) == (None, 100)
    assert after.explain.streak is StreakChange.SEASON_RESET
