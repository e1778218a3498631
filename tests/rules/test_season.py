"""Seasons in time: when one has begun, where it lies, and what its tag changes with."""

from __future__ import annotations

import datetime

import msgspec
import pytest

from emberkeep.base.clock import UTC
from emberkeep.xp.model import Season, SeasonId, SeasonSpan
from emberkeep.xp.rules.season import find_outlook, find_span, has_begun, make_tag


def _make(name: str, first: str, last: str) -> Season:
    day = datetime.date.fromisoformat
    return Season(season_id=SeasonId(name), start_date=day(first), end_date=day(last))


SPRING = _make("spring", "2026-03-01", "2026-05-31")
SUMMER = _make("summer", "2026-06-02", "2026-08-31")
AUTUMN = _make("autumn", "2026-09-01", "2026-11-30")
YEAR = (SPRING, SUMMER, AUTUMN)


@pytest.mark.parametrize(
    ("now", "begun"),
    [
        ("2026-02-28T09:59:59.999999+00:00", False),
        ("2026-02-28T10:00:00+00:00", True),
        ("2026-02-28T23:59:59+14:00", False),
        ("2026-03-01T00:00:00+14:00", True),
        ("2026-02-27T23:00:00-11:00", True),
    ],
)
def test_a_season_begins_with_its_first_day_at_utc_plus_14(now: str, *, begun: bool) -> None:
    assert has_begun(SPRING, now=datetime.datetime.fromisoformat(now)) is begun


@pytest.mark.parametrize(
    ("day", "current", "following"),
    [
        ("2026-02-28", None, SPRING),
        ("2026-03-01", SPRING, SUMMER),
        ("2026-05-31", SPRING, SUMMER),
        ("2026-06-01", None, SUMMER),
        ("2026-08-31", SUMMER, AUTUMN),
        ("2026-11-30", AUTUMN, None),
        ("2026-12-01", None, None),
    ],
)
def test_the_season_of_a_day_and_the_next_one_are_found(
    day: str, current: Season | None, following: Season | None
) -> None:
    outlook = find_outlook(YEAR, day=datetime.date.fromisoformat(day))
    assert (outlook.current, outlook.next) == (current, following)


def test_both_ends_of_a_season_belong_to_it() -> None:
    days = ("2026-02-28", "2026-03-01", "2026-05-31", "2026-06-01")
    spans = [find_span(SPRING, day=datetime.date.fromisoformat(day)) for day in days]
    assert spans == [SeasonSpan.NEXT, SeasonSpan.CURRENT, SeasonSpan.CURRENT, SeasonSpan.PAST]


def test_a_tag_changes_with_everything_that_a_season_says() -> None:
    later = datetime.datetime(2026, 6, 1, tzinfo=UTC).date()
    changed = [
        msgspec.structs.replace(SPRING, start_date=later, end_date=later),
        msgspec.structs.replace(SPRING, end_date=later),
        msgspec.structs.replace(SPRING, display_name="Spring"),
        SUMMER,
    ]
    tags = {make_tag(season) for season in (SPRING, *changed)}
    assert len(tags) == 5
    assert make_tag(SPRING) == make_tag(msgspec.structs.replace(SPRING))
    assert all(len(str(tag)) <= 18 for tag in tags), "what an entity tag may hold"
