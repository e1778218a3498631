"""docs/how-to/keep-streaks-fair.md: what it shows to type prints what it says."""

from __future__ import annotations

import asyncio
import datetime
import re
from typing import TYPE_CHECKING

from emberkeep.base import clock
from tests.acting import Operator
from tests.claiming import World, assert_clean, claim, make_policy, open_writer
from tests.guiding import GUIDES, Typist

if TYPE_CHECKING:
    import pytest

GUIDE = GUIDES / "keep-streaks-fair.md"
_GUIDE_TODAY = datetime.date(2027, 3, 10)
_GUIDE_DAY = re.compile(r"2027-03-\d\d")


async def _fill(world: World, today: datetime.date) -> None:
    """Let `ada` have moved, and claimed twelve days in a row, three to fourteen days ago."""
    world.publish(make_policy(freezes=(3, 10), pause=(14, 30)))
    world.add_players("ada")
    noon = datetime.datetime.combine(today, datetime.time(12), clock.UTC)
    async with open_writer(world.dsn) as conn:
        # Where the clocks show UTC, so that the guide's today is today all day long.
        await Operator(conn).move("ada", "Africa/Abidjan", noon - datetime.timedelta(days=15))
        for days in range(14, 2, -1):
            await claim(conn, "ada", noon - datetime.timedelta(days=days))


def test_the_guide_prints_what_it_says(
    database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", database)
    today = clock.read_now().date()
    asyncio.run(_fill(World(database), today))
    # The guide's days are told from its own today.
    text = _GUIDE_DAY.sub(
        lambda day: str(today + (datetime.date.fromisoformat(day[0]) - _GUIDE_TODAY)),
        GUIDE.read_text("utf-8"),
    )
    printed, shown = Typist(capsys, monkeypatch).follow(text)
    assert printed == shown
    assert_clean(database)
