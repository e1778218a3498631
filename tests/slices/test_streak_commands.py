"""`emberkeep xp streaks`, `rebuild` and `time-zone-changes`: what they do, print and refuse."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from emberkeep.base import clock
from emberkeep.migrate.model import SchemaBehind
from emberkeep.xp.commands import app
from emberkeep.xp.model import CorrelationReused, NotPaused, PlayerUnknown, StreakActionInvalid
from tests.acting import Operator
from tests.claiming import World, assert_clean, claim, make_policy, open_writer

if TYPE_CHECKING:
    from click.testing import Result

TODAY = clock.read_now().date()
NOON = datetime.datetime.combine(TODAY, datetime.time(), clock.UTC)
DAY = datetime.timedelta(days=1)

runner = CliRunner()


@pytest.fixture
async def world(database: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """A player who claimed three and two days ago, where the commands find the database."""
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", database)
    world = World(database)
    world.publish(make_policy(freezes=(2, 4), pause=(9, 0)))
    world.add_players("p")
    async with open_writer(database) as conn:
        await claim(conn, "p", NOON - 3 * DAY)
        await claim(conn, "p", NOON - 2 * DAY)
        await Operator(conn).move("p", "Europe/Berlin", NOON - DAY)
    return world


def run(*arguments: str) -> Result:
    return runner.invoke(app, arguments)


def ok(*arguments: str) -> str:
    """Return what a command prints that goes well."""
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def ok_json(*arguments: str) -> Any:
    return json.loads(ok(*arguments, "--json"))


def test_an_operator_helps_a_player(world: World) -> None:
    yesterday, tomorrow = (TODAY - DAY).isoformat(), (TODAY + 2 * DAY).isoformat()
    assert (
        ok("streaks", "grant-freezes", "p", "--amount", "5", "--reason", "x") == "p: +2 freezes\n"
    )
    excuse = ("--excuse-from", yesterday, "--excuse-to", yesterday)
    assert ok("streaks", "repair", "p", "--streak", "7", *excuse, "--reason", "lost") == (
        "p: repaired\n"
    )
    paused = ok_json("streaks", "pause", "p", "--until", tomorrow)
    assert (paused["kind"], paused["last_day"]) == ("paused", tomorrow)
    standing = ok_json("streaks", "show", "p")
    assert (standing["current"], standing["freezes"]["held"]) == (7, 2)
    assert standing["pause"]["is_running"] is True
    assert "paused" in ok("streaks", "show", "p")
    assert ok("streaks", "resume", "p") == "p: resumed\n"
    assert isinstance(run("streaks", "resume", "p").exception, NotPaused)
    kinds = [item["kind"] for item in ok_json("streaks", "actions", "p")["items"]]
    assert kinds == ["resumed", "paused", "repaired", "freezes_granted"]
    assert "lost" in ok("streaks", "actions", "p")
    assert_clean(world.dsn)


def test_a_cause_acts_once_however_often_it_is_asked_for(world: World) -> None:
    grant = ("streaks", "grant-freezes", "p", "--amount", "1", "--reason", "x")
    cause = ("--id", str(uuid.UUID(int=7)))
    assert ok_json(*grant, *cause) == ok_json(*grant, *cause)
    assert isinstance(run("streaks", "resume", "p", *cause).exception, CorrelationReused)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("streaks", "show", "nobody"), PlayerUnknown),
        (("streaks", "repair", "p", "--reason", "x"), StreakActionInvalid),
        (("time-zone-changes", "nobody"), PlayerUnknown),
        (("rebuild", "streaks", "--player", "nobody"), PlayerUnknown),
    ],
)
def test_what_cannot_be_done_is_refused(
    world: World, arguments: tuple[str, ...], error: type[Exception]
) -> None:
    assert isinstance(run(*arguments).exception, error)


@pytest.mark.parametrize(
    "arguments",
    [
        ("streaks", "pause", "p"),
        ("streaks", "pause", "p", "--until", "soon"),
        ("streaks", "resume", "p", "--id", "7"),
        ("rebuild", "everything"),
        ("rebuild", "streaks", "--chunk", "0"),
    ],
)
def test_misuse_is_told_from_refusal(world: World, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_the_requests_for_another_zone_are_printed(world: World) -> None:
    (change,) = ok_json("time-zone-changes", "p")["items"]
    assert (change["new_time_zone"], change["granted"]) == ("Europe/Berlin", True)
    assert "Europe/Berlin" in ok("time-zone-changes", "p")


def test_a_rebuild_says_what_it_changes(world: World) -> None:
    world.execute("update xp.xp_streaks set current_streak = 5")
    world.execute("update xp.xp_balance set lifetime_xp = 5")
    for what in ("streaks", "balances"):
        dry = ok("rebuild", what, "--dry-run")
        assert f"{what}: 1 players, 1 would be changed" in dry
        report = ok_json("rebuild", what, "--chunk", "1")
        assert (report["changed"], report[what][0]["player_id"]) == (1, "p")
        assert ok("rebuild", what, "--player", "p") == f"{what}: 1 players, 0 changed\n"
    assert_clean(world.dsn)


def test_a_history_that_cannot_be_read_is_not_clean(world: World) -> None:
    world.execute("alter table xp.xp_awards disable trigger all")
    world.execute("update xp.xp_awards set policy_version = 9")
    result = run("rebuild", "streaks")
    assert (result.exit_code, "cannot be read: p" in result.stdout) == (1, True)


def test_a_schema_that_is_behind_is_said(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", empty_database)
    for arguments in (("streaks", "show", "p"), ("rebuild", "streaks"), ("time-zone-changes", "p")):
        assert isinstance(run(*arguments).exception, SchemaBehind)
