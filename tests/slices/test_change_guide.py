"""docs/how-to/change-a-policy.md: what it shows to type prints what it says."""

from __future__ import annotations

import datetime
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from emberkeep import cli
from emberkeep.base import clock
from tests.claiming import World

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "how-to" / "change-a-policy.md"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_GUIDE_DAY = "2027-03-01"


@pytest.fixture
def world(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A database whose policy is the example's, and a directory to work in."""
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", database)
    monkeypatch.chdir(tmp_path)
    return World(database)


def _list_lines(text: str) -> Iterator[str]:
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()


def _type(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run one line and return what it prints, whether it is refused or not."""
    command, _, target = line.partition(" > ")
    words = shlex.split(command)
    if words[0] != "emberkeep":
        subprocess.run(["bash", "-ec", line], check=True)
        return ""
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        cli.main()
    printed: Any = capsys.readouterr()
    if target:
        Path(target).write_text(printed.out, "utf-8")
        return ""
    return str(printed.out + printed.err)


def test_the_guide_prints_what_it_says(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (
        f"draft {ROOT}/examples/daily-login.json --reason launch",
        "publish daily-login --reason launch",
    ):
        _type(f"emberkeep xp policies {command}", capsys, monkeypatch)
    # The guide's day has to lie ahead, whenever this runs.
    day = (clock.read_now() + datetime.timedelta(days=30)).date().isoformat()
    text = GUIDE.read_text("utf-8").replace(_GUIDE_DAY, day)
    shown = list(_list_lines(text))
    printed: list[str] = []
    for line in shown:
        if line.startswith("$ "):
            output = _type(line.removeprefix("$ "), capsys, monkeypatch)
            printed += [line, *(row.rstrip() for row in output.splitlines())]
    assert [_MOMENT.sub("(moment)", line) for line in printed] == [
        _MOMENT.sub("(moment)", line.rstrip()) for line in shown
    ]
