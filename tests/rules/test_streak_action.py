"""What may be done to a streak beside claiming, and which days stay excused when something is undone."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.base.clock import UTC
from emberkeep.xp.model import DayRange, StreakAction, StreakActionKind, StreakDeed, StreakState
from emberkeep.xp.rules import protection
from emberkeep.xp.rules.streak_action import apply_deed, list_excused, list_uncovered
from emberkeep.xp.rules.streak_pause import decide_resume, find_last_pause
from tests.rules.test_streak import FIRST_DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

PAUSED, RESUMED = StreakActionKind.PAUSED, StreakActionKind.RESUMED
SKIPPED, RESTORED = StreakActionKind.DAYS_SKIPPED, StreakActionKind.DAYS_RESTORED


def day(offset: int) -> datetime.date:
    return FIRST_DAY + datetime.timedelta(days=offset)


def span(first: int, last: int) -> DayRange:
    return DayRange(day(first), day(last))


def make_action(kind: StreakActionKind, days: tuple[int, int] | None) -> StreakAction:
    return StreakAction(
        action_id=1,
        kind=kind,
        after_reward_day_id=None,
        first_day=days and day(days[0]),
        last_day=days and day(days[1]),
        reason="",
        actor="",
        correlation_id="",
        created_at=datetime.datetime(2026, 1, 1, tzinfo=UTC),
    )


# What was done, in order, and the last pause then
PAUSES = [
    pytest.param([], None, id="none"),
    pytest.param([(PAUSED, (1, 4))], (1, 4), id="one"),
    pytest.param([(PAUSED, (1, 4)), (RESUMED, (3, 4))], (1, 2), id="resumed"),
    pytest.param([(PAUSED, (1, 4)), (RESUMED, (1, 4))], None, id="cancelled"),
    pytest.param([(PAUSED, (1, 4)), (RESUMED, None)], None, id="cancelled, all excused otherwise"),
    pytest.param(
        [(PAUSED, (1, 6)), (RESUMED, (2, 3)), (RESUMED, (5, 6))], (1, 1), id="resumed in parts"
    ),
    pytest.param(
        [(PAUSED, (1, 2)), (PAUSED, (5, 6)), (RESUMED, (5, 6))], (1, 2), id="the one before"
    ),
]


@pytest.mark.parametrize(("history", "last"), PAUSES)
def test_the_last_pause_ends_where_it_was_resumed(
    history: Sequence[tuple[StreakActionKind, tuple[int, int] | None]],
    last: tuple[int, int] | None,
) -> None:
    found = find_last_pause(make_action(kind, days) for kind, days in history)
    assert found == (last and span(*last))


def test_days_that_a_journey_left_out_stay_excused_when_a_pause_ends() -> None:
    deeds = decide_resume(span(0, 9), skipped=[span(3, 4), span(9, 9)], today=day(2))
    assert [(d.first_day, d.last_day) for d in deeds] == [(day(2), day(2)), (day(5), day(8))]
    (deed,) = decide_resume(span(3, 4), skipped=[span(3, 4)], today=day(2))
    assert deed == StreakDeed(kind=RESUMED)


def test_what_was_taken_back_is_not_excused_any_more() -> None:
    actions = [
        make_action(PAUSED, (0, 9)),
        make_action(SKIPPED, (3, 4)),
        make_action(RESUMED, (2, 2)),
        make_action(RESTORED, (4, 4)),
    ]
    assert list_excused(actions, PAUSED) == (span(0, 1), span(3, 9))
    assert list_excused(actions, SKIPPED) == (span(3, 3),)


days = st.tuples(st.integers(0, 12), st.integers(0, 4)).map(lambda d: (d[0], d[0] + d[1]))


@given(whole=days, covered=st.lists(days, max_size=4))
def test_the_uncovered_parts_are_exactly_the_days_that_nothing_covers(
    whole: tuple[int, int], covered: list[tuple[int, int]]
) -> None:
    def to_days(ranges: Sequence[DayRange]) -> list[datetime.date]:
        return [
            r.first_day + datetime.timedelta(days=n)
            for r in ranges
            for n in range((r.last_day - r.first_day).days + 1)
        ]

    parts = list_uncovered(span(*whole), [span(*c) for c in covered])
    expected = set(to_days([span(*whole)])) - set(to_days([span(*c) for c in covered]))
    assert to_days(parts) == sorted(expected)


@given(held=st.integers(0, 5), freezes=st.integers(-5, 5))
def test_a_deed_changes_what_it_is_about_and_nothing_else(held: int, freezes: int) -> None:
    state = StreakState(
        current_streak=4,
        longest_streak=9,
        grace_used=1,
        last_reward_day=day(0),
        model_state=protection.with_freezes({"milestones": {"k": [3]}}, held),
    )
    given_ = apply_deed(
        state, StreakDeed(kind=StreakActionKind.FREEZES_GRANTED, freezes=freezes or 1)
    )
    assert protection.count_freezes(given_.model_state) == held + (freezes or 1)
    back = apply_deed(
        given_, StreakDeed(kind=StreakActionKind.FREEZES_GRANTED, freezes=-(freezes or 1))
    )
    assert back == state
    repaired = apply_deed(state, StreakDeed(kind=StreakActionKind.REPAIRED, streak_day=12))
    assert (repaired.current_streak, repaired.longest_streak) == (12, 12)
    assert (repaired.grace_used, repaired.model_state) == (1, state.model_state)
    excused = apply_deed(state, StreakDeed(kind=PAUSED, first_day=day(2), last_day=day(3)))
    assert protection.count_excused(excused.model_state, after=day(0), before=day(9)) == 2
    assert apply_deed(excused, StreakDeed(kind=RESUMED, first_day=day(2), last_day=day(3))) == state
