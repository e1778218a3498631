"""The commands that need no database: what they print, and how they refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from emberkeep.xp.commands import app
from emberkeep.xp.model import HistoryInvalid, PolicyInvalid, TimeZoneUnknown

if TYPE_CHECKING:
    from pathlib import Path

POLICY = {
    "policy_key": "daily-login",
    "display_name": "Daily login",
    "base_xp_amount": 100,
    "currency": "XPP",
    "claim_window": {"start_minutes": 0, "duration_hours": 24, "anchor_strategy": "FixedUtc"},
    "grace": {"allowed_misses": 0, "window_days": 0},
    "streak_model": {"type": "TieredSeasonalReset", "parameters": {"tiers": []}},
    "streak_curve": [{"day_index": 0, "multiplier": "1", "additive_bonus_xp": 0}],
}

REWARD_DAY = ["reward-day", "--at", "2026-01-01T00:00Z", "--time-zone", "UTC"]

runner = CliRunner()


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(POLICY))
    return str(path)


def test_evaluate_prints_a_json_line_a_day(policy: str) -> None:
    result = runner.invoke(
        app, ["evaluate", "--policy", policy, "--days", "-"], input="2026-01-01\n2026-01-02\n"
    )
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["effective_day"] for line in lines] == [1, 2]


def test_evaluate_takes_seasons_from_a_file(policy: str, tmp_path: Path) -> None:
    days, seasons = tmp_path / "days.txt", tmp_path / "seasons.json"
    days.write_text("2026-01-01\n2026-01-02\n")
    season = {"season_id": "s", "start_date": "2025-01-01", "end_date": "2026-01-01"}
    seasons.write_text(json.dumps([season]))
    arguments = ["--policy", policy, "--days", str(days), "--seasons", str(seasons), "--json"]
    result = runner.invoke(app, ["evaluate", *arguments])
    assert [json.loads(line)["effective_day"] for line in result.stdout.splitlines()] == [1, 1]


def test_evaluate_keeps_to_the_cap_that_is_set(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBERKEEP_MAX_AWARD_XP", "99")
    result = runner.invoke(app, ["evaluate", "--policy", policy, "--days", "-"], input="")
    assert isinstance(result.exception, PolicyInvalid)


def test_evaluate_prints_nothing_when_a_day_is_out_of_order(policy: str) -> None:
    result = runner.invoke(
        app, ["evaluate", "--policy", policy, "--days", "-"], input="2026-01-02\n2026-01-01\n"
    )
    assert isinstance(result.exception, HistoryInvalid)
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["evaluate"], id="no files"),
        pytest.param(["evaluate", "--policy", "-", "--days", "-"], id="standard input twice"),
        pytest.param(["evaluate", "--policy", "/nowhere", "--days", "-"], id="no such file"),
        pytest.param(["evaluate", "--policy", "/", "--days", "-"], id="a directory"),
        pytest.param(["reward-day", "--at", "today", "--time-zone", "UTC"], id="no instant"),
        pytest.param(["reward-day", "--at", "2026-01-01", "--time-zone", "UTC"], id="no offset"),
        pytest.param(
            [*REWARD_DAY, "--start-minutes", "1440"],
            id="no such minute",
        ),
    ],
)
def test_misuse_exits_with_2(arguments: list[str]) -> None:
    assert runner.invoke(app, arguments).exit_code == 2


def test_reward_day_prints_the_day_and_its_window() -> None:
    arguments = ["--at", "2026-03-08T08:00:00Z", "--time-zone", "America/New_York"]
    window = ["--start-minutes", "150", "--duration-hours", "1"]
    result = runner.invoke(app, ["reward-day", *arguments, *window, "--json"])
    assert json.loads(result.stdout) == {
        "reward_day_id": "2026-03-08",
        "opens_at": "2026-03-08T07:00:00Z",
        "closes_at": "2026-03-08T08:00:00Z",
        "open": False,
        "next_opens_at": "2026-03-09T06:30:00Z",
    }
    plain = runner.invoke(app, ["reward-day", *arguments])
    assert plain.stdout.splitlines()[3].split() == ["open", "yes"]


def test_reward_day_refuses_what_is_no_place() -> None:
    arguments = ["--at", "2026-01-01T00:00:00Z", "--time-zone", "CET"]
    result = runner.invoke(app, ["reward-day", *arguments])
    assert isinstance(result.exception, TimeZoneUnknown)
