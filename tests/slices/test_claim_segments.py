"""Which version a claim is paid by: by segment, by rule, and by neither when a rule fails."""

from __future__ import annotations

import asyncio
import datetime
import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from emberkeep.base import clock
from emberkeep.base.etag import Stale
from emberkeep.xp.commands import app
from emberkeep.xp.model import PlayerId, Receipt, SegmentInUse
from emberkeep.xp.rules.policy import render_policy
from tests.claiming import (
    KEY,
    LONG_AGO,
    World,
    assert_clean,
    at,
    claim,
    claim_together,
    make_policy,
    make_request,
    open_desk,
    open_writer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

DEFAULT = 3
FAILING = "player.attributes.level > 3"


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """Versions 1 to 3 that pay 100, 200 and 300, the last in force; clean afterwards."""
    world = World(database)
    for version in (1, 2, 3):
        world.publish(make_policy(base_xp=100 * version), version=version)
    yield world
    assert_clean(database)


def add_segment(world: World, key: str, rule: str | None = None) -> None:
    """Write a segment past the services, whatever its rule is."""
    world.execute(
        "insert into xp.xp_segments values (%s, %s, '', %s, 1, %s, 'test', %s, 'test')",
        key,
        key,
        rule,
        LONG_AGO,
        LONG_AGO,
    )


def override(world: World, key: str, version: int, priority: int = 0) -> None:
    world.execute(
        "insert into xp.xp_policy_segment_overrides values (%s, %s, %s, %s, %s, 'test')",
        KEY,
        key,
        version,
        priority,
        LONG_AGO,
    )


def read_told(world: World, player: str) -> Any:
    """Return what the event of a player's first claim says of the choice."""
    ((told,),) = world.execute(
        "select data -> 'chosen_by' from event_store.events where stream_id = %s limit 1",
        f"player-{player}",
    )
    return told


async def test_a_rule_a_member_and_a_key_choose_and_say_so(world: World) -> None:
    add_segment(world, "strong", "streak.current >= 1")
    add_segment(world, "picked")
    world.add_players("anybody", "picked-one")
    world.add_players("own", segment="own-key")
    world.execute(
        "insert into xp.xp_segment_members select user_id, 'picked', %s, 'test'"
        " from xp.xp_users where external_user_id = 'picked-one'",
        LONG_AGO,
    )
    override(world, "strong", 1, priority=9)
    override(world, "picked", 2)
    override(world, "own-key", 1, priority=-1)
    async with open_writer(world.dsn) as conn:
        first = {name: await claim(conn, name, at(0)) for name in ("anybody", "picked-one", "own")}
        # The streak has begun: now the rule holds for all of them, and comes first.
        second = await claim(conn, "picked-one", at(1))
    assert {name: (r.policy_version, r.segment) for name, r in first.items()} == {
        "anybody": (DEFAULT, None),
        "picked-one": (2, "picked"),
        "own": (1, "own-key"),
    }
    assert (second.policy_version, second.segment, second.xp_awarded) == (1, "strong", 100)
    assert read_told(world, "anybody") is None
    told = {"segment": "picked", "reason": "member", "priority": 0, "failure": None}
    assert read_told(world, "picked-one") == told
    told = {"segment": "own-key", "reason": "segment_key", "priority": -1, "failure": None}
    assert read_told(world, "own") == told


async def test_a_repeat_shows_the_choice_of_the_day_it_was_made(world: World) -> None:
    add_segment(world, "new", "days_since_last_claim == -1")
    override(world, "new", 1)
    world.add_players("p")
    async with open_writer(world.dsn) as conn:
        first = await claim(conn, "p", at(0))
        again = await claim(conn, "p", at(0, 13))
    assert (first.policy_version, again.policy_version) == (1, 1)
    assert again.explain == first.explain
    assert again.segment == "new"


async def test_claims_of_one_batch_see_what_those_before_them_left(world: World) -> None:
    add_segment(world, "third-day", "streak.current == 2 && balance.lifetime == 600")
    override(world, "third-day", 1)
    world.add_players("p")
    async with open_writer(world.dsn) as conn:
        answers = await claim_together(conn, [make_request("p", at(day)) for day in range(4)])
    assert [a.xp_awarded for a in answers if isinstance(a, Receipt)] == [300, 300, 100, 300]


async def test_a_failing_rule_pays_by_the_version_in_force_and_is_told(world: World) -> None:
    add_segment(world, "broken", FAILING)
    add_segment(world, "all", "true")
    world.add_players("p", "q", "r")
    override(world, "broken", 1, priority=5)
    override(world, "all", 2, priority=1)
    world.execute(
        "update xp.xp_users set attributes = '{\"level\": 9}' where external_user_id = 'r'"
    )
    with capture_logs() as lines:
        async with open_desk(world.dsn) as desk:
            receipts = [
                await desk.claim(player_id=PlayerId(name), policy_key=KEY, now=at(0))
                for name in ("p", "q", "r", "p")
            ]
            registry = CollectorRegistry()
            registry.register(desk.rule_failures.counter)
            figures = generate_latest(registry).decode()
    assert [r.policy_version for r in receipts] == [DEFAULT, DEFAULT, 1, DEFAULT]
    assert [r.segment for r in receipts] == [None, None, "broken", None]
    told = receipts[0].explain.chosen_by
    assert told is not None
    assert (told.segment, told.reason, told.failure) == ("broken", "rule_failed", "not_found")
    assert read_told(world, "p")["reason"] == "rule_failed"
    # One line for both, within the minute; the repeat is no claim.
    failures = [line for line in lines if line["event"] == "segment_rule_failed"]
    assert [(line["segment"], line["failure"]) for line in failures] == [("broken", "not_found")]
    assert 'emberkeep_segment_rule_failures_total{segment="broken"} 2.0' in figures


async def test_a_rule_that_fails_behind_the_one_that_holds_is_never_missed(world: World) -> None:
    add_segment(world, "all", "true")
    add_segment(world, "broken", FAILING)
    add_segment(world, "unreadable", "no such (rule")
    world.add_players("p")
    override(world, "all", 2, priority=1)
    override(world, "broken", 1)
    override(world, "unreadable", 1, priority=-1)
    async with open_writer(world.dsn) as conn:
        receipt = await claim(conn, "p", at(0))
    assert (receipt.policy_version, receipt.segment) == (2, "all")


async def test_the_next_batch_follows_a_new_rule(world: World) -> None:
    add_segment(world, "some", "false")
    override(world, "some", 1)
    world.add_players("p", "q")
    async with open_desk(world.dsn) as desk:
        before = await desk.claim(player_id=PlayerId("p"), policy_key=KEY, now=at(0))
        world.execute("update xp.xp_segments set rule = 'true'")
        after = await desk.claim(player_id=PlayerId("q"), policy_key=KEY, now=at(0))
    assert (before.policy_version, after.policy_version) == (DEFAULT, 1)


runner = CliRunner()


async def test_a_version_for_a_segment_only_is_never_in_force_for_all(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As docs/how-to/segment-players.md says: scheduled, given to the segment, and cancelled."""
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", world.dsn)
    world.add_players("a", "b")
    document = tmp_path / "own.json"
    document.write_text(json.dumps(render_policy(make_policy(base_xp=7)), default=str))
    instant = (clock.read_now() + datetime.timedelta(days=30)).isoformat()

    def find_versions() -> list[int]:
        return [json.loads(run("of", p, "--json").stdout)["policy_version"] for p in ("a", "b")]

    def act() -> None:
        usual = find_versions()[1]
        drafted = runner.invoke(app, ["policies", "draft", str(document), "--json"])
        version = json.loads(drafted.stdout)["policy_version"]
        assert runner.invoke(app, ["policies", "publish", KEY, "--at", instant]).exit_code == 0
        run("put", "own", "--name", "Own")
        run("add", "own", "a")
        assert run("overrides", KEY, f"own={version}").exit_code == 0
        assert find_versions() == [version, usual]
        assert runner.invoke(app, ["policies", "cancel", KEY]).exit_code == 0
        assert find_versions() == [version, usual]
        for player, xp in (("a", 7), ("b", 300)):
            told = runner.invoke(app, ["eligibility", player, "--json"])
            assert json.loads(told.stdout)["projected_xp"] == xp

    await asyncio.to_thread(act)


def run(*arguments: str) -> Result:
    return runner.invoke(app, ["segments", *arguments])


async def test_segments_are_kept_at_the_command_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", world.dsn)
    world.add_players("a", "b")

    def act() -> None:
        put = run("put", "vip", "--name", "VIP", "--rule", 'player.id == "a"', "--json")
        assert (put.exit_code, json.loads(put.stdout)["revision"]) == (0, 1)
        assert run("put", "vip", "--name", "VIP", "--rule", "nonsense(").exception is not None
        assert run("put", "new").exit_code == 2, "a new segment needs a name"
        named = json.loads(run("put", "vip", "--name", "Very", "--json").stdout)
        assert (named["display_name"], named["rule"]) == ("Very", 'player.id == "a"')
        told = json.loads(run("put", "vip", "--description", "Few", "--no-rule", "--json").stdout)
        assert (told["display_name"], told["description"], told["rule"]) == ("Very", "Few", None)
        assert run("put", "vip", "--rule", "true", "--no-rule").exit_code == 2
        back = run("put", "vip", "--name", "VIP", "--rule", 'player.id == "a"', "--json")
        assert json.loads(back.stdout)["description"] == "Few"
        stale = run("put", "vip", "--name", "VIP", "--revision", "1")
        assert isinstance(stale.exception, Stale)
        added = run("add", "vip", "b", "nobody", "--reason", "asked", "--json")
        assert (added.exit_code, json.loads(added.stdout)["changed"]) == (1, 1)
        assert "VIP" in run("list").stdout
        assert "b  " in run("members", "vip").stdout
        measured = json.loads(run("estimate", "vip", "--json").stdout)
        assert (measured["estimate"], measured["sample"]) == (2, ["a", "b"])
        set_ = run("overrides", KEY, "vip=2:7", "own=1", "--json")
        assert json.loads(set_.stdout)["priorities"] == {"own": 0, "vip": 7}
        assert run("overrides", KEY, "vip=2", "--json").exit_code == 0
        assert json.loads(run("overrides", KEY, "--json").stdout)["priorities"] == {"vip": 7}
        assert run("overrides", KEY, "vip:2").exit_code == 2
        of = json.loads(run("of", "b", "--json").stdout)
        assert (of["policy_version"], of["decided_by"]["reason"]) == (2, "member")
        assert isinstance(run("delete", "vip", "--yes").exception, SegmentInUse)
        assert run("remove", "vip", "b").exit_code == 0
        assert run("overrides", KEY, "--none").stdout == "no overrides\n"
        assert run("delete", "vip", "--yes").exit_code == 0
        assert run("list").stdout == "no segments\n"
        assert "asked" in run("audit", "vip").stdout

    # The commands run loops of their own.
    await asyncio.to_thread(act)
