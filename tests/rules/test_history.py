"""The engine over a written history: what `emberkeep xp evaluate` prints."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from emberkeep.xp.model import HistoryInvalid
from emberkeep.xp.rules.history import Visit, evaluate, parse_seasons, parse_visits
from emberkeep.xp.rules.policy import parse_policy

UTC = datetime.UTC
DAYS = (datetime.date(2026, 1, 1), datetime.date(2026, 1, 2))


def make_policy(**changes: object) -> Any:
    document: dict[str, object] = {
        "policy_key": "daily-login",
        "display_name": "Daily login",
        "base_xp_amount": 100,
        "currency": "XPP",
        "claim_window": {
            "start_minutes": 300,
            "duration_hours": 24,
            "anchor_strategy": "AnchorTimezone",
        },
        "grace": {"allowed_misses": 1, "window_days": 1},
        "streak_model": {"type": "WeeklyCycleReset", "parameters": {}},
        "streak_curve": [{"day_index": 0, "multiplier": "1.5", "additive_bonus_xp": 3}],
    }
    return parse_policy(document | changes)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2026-01-01\n2026-01-02\n", id="a day a line"),
        pytest.param("\n  2026-01-01  \r\n\r\n2026-01-02", id="blank lines, spaces, no last end"),
        pytest.param('["2026-01-01", "2026-01-02"]', id="a list"),
        pytest.param(' \n[{"day": "2026-01-01"}, "2026-01-02"]', id="a list with an object"),
        pytest.param('{"day": "2026-01-01"}\n"2026-01-02"\n', id="a JSON value a line"),
        pytest.param(b"\xef\xbb\xbf2026-01-01\n2026-01-02", id="bytes with a mark in front"),
    ],
)
def test_days_are_read_from_lines_or_a_list(text: str | bytes) -> None:
    assert tuple(visit.day for visit in parse_visits(text)) == DAYS


def test_a_visit_may_have_an_instant() -> None:
    (visit,) = parse_visits('[{"day": "2026-01-01", "at": "2026-01-02T01:00:00+03:00"}]')
    assert visit == Visit(day=DAYS[0], at=datetime.datetime(2026, 1, 1, 22, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        pytest.param("2026-01-01\n\n2026-13-01", "line 3.day", "2026-01-31", id="no such month"),
        pytest.param("2026-01-01\n2025-01-01", "line 2", "earlier", id="an earlier day"),
        pytest.param('["2026-01-02", "2026-01-01"]', "[1]", "earlier", id="earlier in a list"),
        pytest.param('["2026-02-29"]', "[0].day", "must be a day", id="no leap year"),
        pytest.param("[3]", "[0]", "must be an object", id="a number"),
        pytest.param('[{"at": "2026-01-01T00:00:00Z"}]', "[0].day", "missing", id="no day"),
        pytest.param('[{"day": "2026-01-01", "x": 1}]', "[0].x", "not a field", id="a stranger"),
        pytest.param('[{"day": "2026-01-01", "at": 1}]', "[0].at", "RFC 3339", id="no instant"),
        pytest.param('["2026-01-01"', "$", "line 1 column", id="half a list"),
        pytest.param('2026-01-01\n{"day":', "line 2", "not JSON", id="half an object"),
        pytest.param(b"\xff", "byte 0", "UTF-8", id="no text"),
        pytest.param("[" * 10_000, "$", "nested", id="ten thousand levels"),
    ],
)
def test_days_that_cannot_be_used_are_named_by_their_place(
    text: str | bytes, path: str, says: str
) -> None:
    with pytest.raises(HistoryInvalid) as refusal:
        parse_visits(text)
    assert [(error.path, says in error.message) for error in refusal.value.errors] == [(path, True)]


def test_seasons_are_read_and_checked() -> None:
    (season,) = parse_seasons(
        '[{"season_id": "s1", "start_date": "2026-01-01", "end_date": "2026-01-01"}]'
    )
    assert season.start_date == season.end_date == DAYS[0]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{}", "$"),
        ("[1]", "[0]"),
        ('[{"season_id": "", "start_date": "2026-01-01", "end_date": "2026-01-02"}]', "[0].season_id"),
        ('[{"season_id": "s", "start_date": "2026-01-02", "end_date": "2026-01-01"}]', "[0].end_date"),
        ('[{"season_id": "s", "end_date": "2026-01-01"}]', "[0].start_date"),
    ],
)  # fmt: skip
def test_seasons_that_cannot_be_used_are_named_by_their_place(text: str, path: str) -> None:
    with pytest.raises(HistoryInvalid) as refusal:
        parse_seasons(text)
    assert [error.path for error in refusal.value.errors] == [path]


def test_a_line_says_all_that_a_day_came_to() -> None:
    policy = make_policy(
        streak_model={
            "type": "MilestoneMetaReward",
            "parameters": {
                "milestones": [{"day": 2, "reward_type": "badge", "reward_value": "regular"}]
            },
        }
    )
    lines = list(evaluate(policy, parse_visits("2026-01-01\n2026-01-03")))
    assert json.loads(json.dumps(lines[1])) == {
        "reward_day_id": "2026-01-03",
        "effective_day": 2,
        "xp_awarded": 153,
        "multiplier": "1.5000",
        "additive_bonus_xp": 3,
        "grace_applied": True,
        "milestones": [{"day": 2, "reward_type": "badge", "reward_value": "regular"}],
        "state": {"current_streak": 2, "longest_streak": 2, "grace_used": 1},
    }


def test_a_day_that_is_visited_again_answers_the_same_again() -> None:
    first, again, following = evaluate(
        make_policy(), parse_visits("2026-01-01\n2026-01-01\n2026-01-02")
    )
    assert first == again
    assert following["effective_day"] == 2


def test_a_season_that_ends_restarts_the_tiered_model() -> None:
    policy = make_policy(streak_model={"type": "TieredSeasonalReset", "parameters": {"tiers": []}})
    visits = parse_visits("2026-01-01\n2026-01-02\n2026-01-03")
    seasons = parse_seasons(
        '[{"season_id": "s1", "start_date": "2025-12-01", "end_date": "2026-01-02"}]'
    )
    assert [line["effective_day"] for line in evaluate(policy, visits, seasons)] == [1, 2, 1]


@pytest.mark.parametrize(
    ("visit", "multiplier"),
    [
        pytest.param('"2026-01-01"', "3.0000", id="no instant: as the day begins in UTC"),
        pytest.param('{"day":"2026-01-01","at":"2026-01-01T05:00:59Z"}', "3.0000", id="in time"),
        pytest.param('{"day":"2026-01-01","at":"2026-01-01T05:01:00Z"}', "1.5000", id="too late"),
    ],
)
def test_the_instant_of_a_visit_decides_its_boost(visit: str, multiplier: str) -> None:
    boost = {
        "label": "New year",
        "multiplier": "2",
        "start_utc": "2026-01-01T05:00:00Z",
        "end_utc": "2026-01-01T05:01:00Z",
    }
    (line,) = evaluate(make_policy(seasonal_boosts=[boost]), parse_visits(visit))
    assert line["multiplier"] == multiplier


def test_no_days_are_no_lines() -> None:
    assert list(evaluate(make_policy(), parse_visits(""))) == []
