"""docs/how-to/change-a-policy.md: what it shows to type prints what it says."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from emberkeep.base import clock
from tests.claiming import World
from tests.guiding import GUIDES, ROOT, Typist

if TYPE_CHECKING:
    from pathlib import Path

GUIDE = GUIDES / "change-a-policy.md"
_GUIDE_DAY = "2027-03-01"


@pytest.fixture
def world(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A database whose policy is the example's, and a directory to work in."""
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", database)
    monkeypatch.chdir(tmp_path)
    return World(database)


def test_the_guide_prints_what_it_says(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typist = Typist(capsys, monkeypatch)
    for command in (
        f"draft {ROOT}/examples/daily-login.json --reason launch",
        "publish daily-login --reason launch",
    ):
        typist.type(f"emberkeep xp policies {command}")
    # The guide's day has to lie ahead, whenever this runs.
    day = (clock.read_now() + datetime.timedelta(days=30)).date().isoformat()
    printed, shown = typist.follow(GUIDE.read_text("utf-8").replace(_GUIDE_DAY, day))
    assert printed == shown
