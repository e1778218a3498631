"""`emberkeep xp policies …`: an operator's way from a file to what is in force, and back."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from emberkeep.base import clock
from emberkeep.migrate.model import SchemaBehind
from emberkeep.xp.commands import app
from emberkeep.xp.model import (
    DraftExists,
    EffectiveAtInvalid,
    PolicyInvalid,
    PolicyNotDraft,
    PolicyNotScheduled,
    PolicyUnknown,
    ReasonInvalid,
    RollbackImpossible,
    SegmentOverrideInvalid,
)
from tests.claiming import World
from tests.http.xp.api import POLICY

if TYPE_CHECKING:
    from click.testing import Result

KEY = "daily-login"
LATER_DAY = (clock.read_now() + datetime.timedelta(days=30)).date().isoformat()
LATER = f"{LATER_DAY}T00:00:00Z"

runner = CliRunner()


@pytest.fixture
def world(database: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """A database without policies, where the commands find it."""
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", database)
    return World(database)


def _run(*arguments: str, given: dict[str, Any] | None = None) -> Result:
    text = None if given is None else json.dumps(given)
    return runner.invoke(app, ["policies", *arguments], input=text)


def _ok(*arguments: str, given: dict[str, Any] | None = None) -> list[str]:
    """Return the lines that a command prints that goes well."""
    result = _run(*arguments, given=given)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.splitlines()


def _json(*arguments: str, given: dict[str, Any] | None = None) -> Any:
    (line,) = _ok(*arguments, "--json", given=given)
    return json.loads(line)


def _words(line: str) -> list[str]:
    return line.split()


def test_an_operators_day(world: World) -> None:
    assert _ok("validate", "-", given=POLICY) == [
        "daily-login: valid",
        "smallest award: 100 XP, on day 1 of a streak",
        "largest award:  160 XP, on day 2 of a streak",
    ]
    assert _ok("list") == ["key  name  in force  scheduled  from (UTC)  draft"]
    assert _ok("draft", "-", given=POLICY) == ["daily-login version 1: draft, revision 1"]
    assert _ok("publish", KEY, "--reason", "launch") == ["daily-login version 1: in force"]
    assert json.loads("\n".join(_ok("show", KEY)))["base_xp_amount"] == 100
    _ok("draft", "-", given=POLICY)
    twice = POLICY | {"base_xp_amount": 200}
    edited = _ok("draft", "-", "--edit", "--reason", "spring", given=twice)
    assert edited == ["daily-login version 2: draft, revision 2"]
    heading, _, change = _ok("diff", KEY)
    assert heading == "daily-login: from version 1 to version 2"
    assert _words(change) == ["base_xp_amount", "100", "200"]
    (scheduled,) = _ok("publish", KEY, "2", "--at", LATER, "--override", "vip=1")
    assert scheduled == f"daily-login version 2: in force from {LATER_DAY} 00:00:00 UTC on"
    (_, row) = _ok("list")
    assert _words(row) == [KEY, "Daily", "login", "1", "2", LATER_DAY, "00:00:00"]
    assert _ok("cancel", KEY) == ["daily-login version 2: cancelled"]
    _ok("publish", KEY, "2")
    assert _ok("rollback", KEY, "--reason", "inflation") == ["daily-login version 1: in force"]
    assert _ok("rollback", KEY, "--to", "2") == ["daily-login version 2: in force"]
    assert _ok("retire", KEY) == ["daily-login version 2: out of force"]
    steps = [_words(line)[2:5] for line in _ok("audit", KEY)[1:]]
    assert steps[:3] == [
        ["2", "retired", "command-line"],
        ["2", "rolled_back", "command-line"],
        ["1", "superseded", "command-line"],
    ]
    assert steps[-1] == ["1", "created", "command-line"]
    assert world.execute("select segment_key from xp.xp_policy_segment_overrides") == [("vip",)]


def test_programs_read_json(world: World) -> None:
    tried = _json("validate", "-", given=POLICY)
    assert tried["bounds"]["largest_xp"] == 160
    draft = _json("draft", "-", "--reason", "why", given=tried["document"])
    assert (draft["policy_version"], draft["status"]) == (1, "Draft")
    assert draft["document"] == tried["document"]
    published = _json("publish", KEY, "--at", f"{LATER_DAY}T01:00:00+01:00")
    assert published["effective_at"] == LATER
    (outline,) = _json("list")["items"]
    assert (outline["in_force"], outline["scheduled"]) == (None, 1)
    assert _json("cancel", KEY)["status"] == "Archived"
    assert _json("publish", KEY, "1")["status"] == "Published"
    assert _json("show", KEY)["policy_version"] == 1
    assert _json("diff", KEY, "--from", "1", "--to", "1")["changes"] == []
    page = _json("audit", KEY, "--limit", "1")
    rest = _json("audit", KEY, "--after", page["next"])
    assert [entry["step"] for entry in rest["items"]] == ["cancelled", "published", "created"]
    assert rest["items"][-1]["reason"] == "why"
    _json("draft", "-", given=POLICY)
    shown = _json("versions", KEY, "--status", "Draft", "--model", "WeeklyCycleReset")
    assert [item["policy_version"] for item in shown["items"]] == [2]
    assert _json("delete-draft", KEY) == {"policy_key": KEY, "policy_version": 2}
    versions = _ok("versions", KEY)
    assert _words(versions[1])[:2] == ["1", "Published"]
    assert _json("retire", KEY)["status"] == "Archived"


def test_what_is_refused_is_refused_with_its_reasons_and_changes_nothing(world: World) -> None:
    wrong = POLICY | {"base_xp_amount": 0, "streak_model": {"type": "Lottery"}}
    for arguments in (("validate", "-"), ("draft", "-"), ("draft", "-", "--edit")):
        refused = _run(*arguments, given=wrong).exception
        assert isinstance(refused, PolicyInvalid)
        assert [e.path for e in refused.errors] == ["base_xp_amount", "streak_model.type"]
    assert world.execute("select count(*) from xp.xp_policies") == [(0,)]
    _ok("draft", "-", given=POLICY)
    for arguments, refusal in (
        (("draft", "-"), DraftExists),
        (("publish", KEY, "--at", "2000-01-01T00:00:00Z"), EffectiveAtInvalid),
        (("publish", KEY, "--override", "vip=9", "--override", "VIP=1"), SegmentOverrideInvalid),
        (("publish", KEY, "--reason", "x" * 501), ReasonInvalid),
        (("publish", "other"), PolicyUnknown),
        (("cancel", KEY), PolicyUnknown),
        (("cancel", KEY, "1"), PolicyNotScheduled),
        (("retire", KEY), PolicyUnknown),
        (("rollback", KEY), RollbackImpossible),
        (("audit", "other"), PolicyUnknown),
    ):
        result = _run(*arguments, given=POLICY)
        assert isinstance(result.exception, refusal), arguments
        assert result.stdout == ""
    _ok("publish", KEY)
    assert isinstance(_run("delete-draft", KEY).exception, PolicyUnknown)
    assert isinstance(_run("delete-draft", KEY, "1").exception, PolicyNotDraft)
    assert isinstance(_run("draft", "-", "--edit", given=POLICY).exception, PolicyUnknown)
    assert len(_json("audit", KEY)["items"]) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["publish", KEY, "--at", "tomorrow"], id="no instant"),
        pytest.param(["publish", KEY, "--at", "2999-01-01"], id="no offset"),
        pytest.param(["publish", KEY, "--override", "vip"], id="no version"),
        pytest.param(["publish", KEY, "--override", "vip=0"], id="no such version"),
        pytest.param(["publish", KEY, "0"], id="version 0"),
        pytest.param(["draft", "/nowhere"], id="no such file"),
        pytest.param(["versions", KEY, "--status", "Lost"], id="no status"),
        pytest.param(["publish"], id="no policy"),
    ],
)
def test_misuse_exits_with_2(world: World, arguments: list[str]) -> None:
    assert _run(*arguments).exit_code == 2


def test_a_database_without_the_schema_is_told_so(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", empty_database)
    assert isinstance(_run("list").exception, SchemaBehind)
