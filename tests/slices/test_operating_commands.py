"""`emberkeep xp levels`, `seasons`, `eligibility`, `preview` and `explain`: what is printed, and how
they refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from emberkeep.base.etag import Stale
from emberkeep.migrate.model import SchemaBehind
from emberkeep.xp.commands import app
from emberkeep.xp.model import (
    LevelCurveUnknown,
    PlayerUnknown,
    QuestionInvalid,
    SeasonBegun,
    SeasonUnknown,
)
from tests.claiming import World, make_policy

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

runner = CliRunner()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, database: str) -> World:
    """Where the commands find a policy and a player."""
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", database)
    world = World(database)
    world.publish(make_policy())
    world.add_players("p")
    return world


def _run(*arguments: str) -> Result:
    return runner.invoke(app, arguments)


def _say(*arguments: str) -> str:
    result = _run(*arguments)
    assert result.exit_code == 0, result.output or result.exception
    return result.stdout


def _ask(*arguments: str) -> Any:
    return json.loads(_say(*arguments, "--json"))


@pytest.mark.usefixtures("world")
def test_a_level_curve_is_set_shown_and_deleted(tmp_path: Path) -> None:
    file = tmp_path / "levels.json"
    file.write_text('{"thresholds": [100, 1000]}')
    assert isinstance(_run("levels", "show").exception, LevelCurveUnknown)
    assert _say("levels", "set", str(file), "--reason", "launch") == (
        "daily-login: level curve of 3 levels created\n"
    )
    shown = _ask("levels", "show")
    assert shown == {"policy_key": "daily-login", "thresholds": [100, 1000], "etag": '"1"'}
    lines = [line.split() for line in _say("levels", "show").splitlines()]
    assert lines[1:] == [["1", "0"], ["2", "100"], ["3", "1,000"]]
    stale = _run("levels", "set", str(file), "--if-match", '"9"')
    assert isinstance(stale.exception, Stale)
    assert _run("levels", "delete").exit_code == 2, "nobody said that it is meant"
    assert _ask("levels", "delete", "--yes", "--if-match", '"1"')["deleted"]
    audit = [(s["step"], s["actor"], s["reason"]) for s in _ask("levels", "audit")["items"]]
    assert audit == [("deleted", "command-line", ""), ("created", "command-line", "launch")]


def test_the_calendar_is_written_read_and_changed(world: World) -> None:
    days = ("--start", "2100-01-01", "--end", "2100-03-31")
    created = _ask("seasons", "create", "far", *days, "--display-name", "Far off")
    assert _ask("seasons", "show", "far") == created
    assert _say("seasons", "show", "far").split()[-2:] == ["Far", "off"]
    tag = created["etag"]
    moved = _ask("seasons", "edit", "far", "--start", "2100-01-02", *days[2:], "--if-match", tag)
    assert (moved["start_date"], moved["display_name"]) == ("2100-01-02", "Far off")
    assert isinstance(_run("seasons", "edit", "far", *days, "--if-match", tag).exception, Stale)
    assert [s["season_id"] for s in _ask("seasons", "list", "--when", "next")] == ["far"]
    assert "far" in _say("seasons", "list")
    assert _ask("seasons", "current", "--at", "2100-01-02T00:00:00Z")["current"]["end_date"]
    assert "next: far, 2100-01-02 to 2100-03-31" in _say("seasons", "current")
    assert _run("seasons", "edit", "far", "--start", "soon", "--end", "later").exit_code == 2
    assert _run("seasons", "edit", "far", *days, "--if-match", "x").exit_code == 2
    assert "deleted" in _say("seasons", "delete", "far", "--yes")
    assert isinstance(_run("seasons", "show", "far").exception, SeasonUnknown)
    steps = [line.split()[2] for line in _say("seasons", "audit", "far").splitlines()[1:]]
    assert steps == ["deleted", "edited", "created"]
    world.add_season("old", 0, 9)
    assert isinstance(_run("seasons", "delete", "old", "--yes").exception, SeasonBegun)


def test_what_a_claim_would_come_to_is_printed(world: World) -> None:
    assert "p: 100 XP for " in _say("eligibility", "p")
    assert _ask("eligibility", "p", "--at", "tomorrow")["eligible"]
    assert isinstance(_run("eligibility", "p", "--at", "soon").exception, QuestionInvalid)
    assert isinstance(_run("eligibility", "q").exception, PlayerUnknown)
    assert "300 XP in 3 days" in _say("preview", "p", "--days", "3")
    world.publish(make_policy(base_xp=7), version=2)
    assert _ask("preview", "p", "--days", "2", "--policy-version", "1")["total_xp"] == 200
    assert _ask("preview", "p", "--days", "2")["total_xp"] == 14


def test_an_explanation_is_readable_and_says_what_its_json_says(world: World) -> None:
    verdict = _ask("explain", "p", "--at", "tomorrow")
    printed = _say("explain", "p", "--at", "tomorrow")
    assert verdict["xp_awarded"] == 100
    for step in verdict["steps"]:
        assert step["says"] in printed
    assert "no player has this id" in _say("explain", "q").lower()
    assert _ask("explain", "p", "--policy", "nothing")["reason"] == "policy_unknown"
    assert world.execute("select count(*) from xp.xp_awards") == [(0,)]


def test_a_schema_of_another_version_is_not_worked_with(
    monkeypatch: pytest.MonkeyPatch, empty_database: str
) -> None:
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", empty_database)
    assert isinstance(_run("explain", "p").exception, SchemaBehind)
