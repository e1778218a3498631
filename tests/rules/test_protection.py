"""What keeps a streak through days without a claim: excused days come first, then freezes, then grace."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.xp.model import (
    DecayCurve,
    FreezeRule,
    StreakChange,
    StreakState,
    TieredSeasonalReset,
    WeeklyCycleReset,
)
from emberkeep.xp.rules import protection
from tests.rules.test_streak import FIRST_DAY, PLAIN, effective_days, make_policy, replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emberkeep.xp.model import Policy, StreakModel


def day(offset: int) -> datetime.date:
    return FIRST_DAY + datetime.timedelta(days=offset)


def make_frozen(
    model: StreakModel = PLAIN,
    *,
    max_held: int = 2,
    earned_every_days: int = 0,
    grace: tuple[int, int] = (0, 0),
) -> Policy:
    rule = FreezeRule(max_held=max_held, earned_every_days=earned_every_days)
    return msgspec.structs.replace(make_policy(model, grace=grace), freezes=rule)


def holding(freezes: int) -> StreakState:
    return StreakState(model_state={"freezes": freezes})


# (freezes held, grace, days claimed) and the days counted, freezes held and grace used in the end
SPENT = [
    pytest.param(1, (0, 0), (0, 1, 3), ([1, 2, 3], 0, 0), id="a freeze covers a missed day"),
    pytest.param(1, (0, 0), (0, 1, 4), ([1, 2, 1], 1, 0), id="none is spent where it cannot save"),
    pytest.param(2, (0, 0), (0, 1, 4), ([1, 2, 3], 0, 0), id="several cover several days"),
    pytest.param(1, (1, 1), (0, 2), ([1, 2], 0, 0), id="freezes are spent before grace"),
    pytest.param(1, (1, 1), (0, 3), ([1, 2], 0, 1), id="grace covers what freezes leave"),
    pytest.param(1, (1, 1), (0, 4), ([1, 1], 1, 0), id="together they do not reach"),
    pytest.param(0, (1, 1), (0, 2), ([1, 2], 0, 1), id="grace alone, without freezes"),
    pytest.param(3, (0, 0), (0, 2, 4, 6, 8), ([1, 2, 3, 4, 1], 0, 0), id="until they are gone"),
]


@pytest.mark.parametrize(("held", "grace", "days", "expected"), SPENT)
def test_freezes_are_spent_before_grace_and_only_where_they_save_the_streak(
    held: int, grace: tuple[int, int], days: Sequence[int], expected: tuple[list[int], int, int]
) -> None:
    steps = replay(make_frozen(grace=grace), days, state=holding(held))
    state = steps[-1].state
    found = (effective_days(steps), state.model_state.get("freezes", 0), state.grace_used)
    assert found == expected


def test_a_step_says_how_many_freezes_it_took() -> None:
    step = replay(make_frozen(grace=(1, 1)), (0, 3), state=holding(1))[-1]
    assert (step.change, step.missed_days, step.freezes_used) == (StreakChange.GRACED, 2, 1)
    step = replay(make_frozen(), (0, 2), state=holding(1))[-1]
    assert (step.change, step.freezes_used, step.grace_applied) == (StreakChange.FROZEN, 1, False)


def test_freezes_that_are_switched_off_are_kept_and_not_spent() -> None:
    steps = replay(make_policy(), (0, 2), state=holding(2))
    assert effective_days(steps) == [1, 1]
    assert steps[-1].state.model_state == {"freezes": 2}


# (earned every n claims, at most m held, days claimed) and the freezes held after each claim
EARNED = [
    pytest.param(3, 2, range(7), [0, 0, 1, 1, 1, 2, 2], id="one every three days"),
    pytest.param(1, 2, range(4), [1, 2, 2, 2], id="never more than can be held"),
    pytest.param(0, 2, range(4), [0, 0, 0, 0], id="only granted"),
    pytest.param(3, 2, (0, 1, 3, 4, 5), [0, 0, 0, 0, 1], id="a restart begins the count anew"),
    pytest.param(2, 1, (0, 1, 3, 4), [0, 1, 0, 1], id="a day that was frozen goes on"),
]


@pytest.mark.parametrize(("every", "most", "days", "expected"), EARNED)
def test_freezes_are_earned_by_claims_in_a_row(
    every: int, most: int, days: Sequence[int], expected: list[int]
) -> None:
    steps = replay(make_frozen(earned_every_days=every, max_held=most), days)
    assert [step.state.model_state.get("freezes", 0) for step in steps] == expected


def test_a_player_who_holds_more_than_the_rule_allows_keeps_them() -> None:
    steps = replay(make_frozen(max_held=1, earned_every_days=1), (0, 1), state=holding(5))
    assert steps[-1].state.model_state["freezes"] == 5


def test_a_decayed_streak_keeps_its_freezes() -> None:
    decay = DecayCurve(decay_percent=5_000, grace_day=0)
    steps = replay(make_frozen(decay), (0, 1, 2, 3, 7), state=holding(2))
    assert effective_days(steps) == [1, 2, 3, 4, 1]
    assert steps[-1].state.model_state["freezes"] == 2


def test_a_season_takes_the_streak_and_leaves_freezes_and_excused_days() -> None:
    state = protection.add_excused({"freezes": 1}, first_day=day(9), last_day=day(12))
    steps = replay(
        make_frozen(TieredSeasonalReset(tiers=())),
        (0, 1, 3),
        state=StreakState(model_state=state),
        season_ends=(2,),
    )
    assert effective_days(steps) == [1, 2, 1]
    assert steps[-1].state.model_state == state


def test_a_freeze_bridges_the_end_of_a_season_where_grace_does_not() -> None:
    policy = make_frozen(grace=(1, 1))
    frozen = replay(policy, (0, 1, 3), state=holding(1), season_ends=(2,))
    graced = replay(policy, (0, 1, 3), season_ends=(2,))
    assert (effective_days(frozen), effective_days(graced)) == ([1, 2, 3], [1, 2, 1])


# (excused ranges, days claimed) and the days counted
EXCUSED = [
    pytest.param([(1, 3)], (0, 4), [1, 2], id="every missed day is excused"),
    pytest.param([(1, 3)], (0, 5), [1, 1], id="one day too many"),
    pytest.param([(1, 3)], (0, 2, 4), [1, 2, 3], id="a claim in the middle counts as ever"),
    pytest.param([(1, 1), (3, 3)], (0, 2, 4), [1, 2, 3], id="two ranges"),
    pytest.param([(1, 3), (2, 5)], (0, 6), [1, 2], id="ranges that overlap count once"),
    pytest.param([(-9, -1)], (0, 2), [1, 1], id="a range that is over"),
    pytest.param([(0, 9)], (0, 10), [1, 2], id="the day of the last claim is no missed one"),
]


@pytest.mark.parametrize(("ranges", "days", "expected"), EXCUSED)
def test_excused_days_do_not_count_as_missed(
    ranges: Sequence[tuple[int, int]], days: Sequence[int], expected: list[int]
) -> None:
    state = StreakState()
    for first, last in ranges:
        model_state = protection.add_excused(
            state.model_state, first_day=day(first), last_day=day(last)
        )
        state = msgspec.structs.replace(state, model_state=model_state)
    assert effective_days(replay(make_policy(), days, state=state)) == expected


def test_excused_days_spare_freezes_and_grace_and_the_step_says_so() -> None:
    state = StreakState(
        model_state=protection.add_excused({"freezes": 1}, first_day=day(1), last_day=day(2))
    )
    step = replay(make_frozen(grace=(1, 1)), (0, 3), state=state)[-1]
    assert (step.change, step.excused_days, step.missed_days) == (StreakChange.EXCUSED, 2, 0)
    assert step.state.model_state == {"freezes": 1}
    step = replay(make_frozen(grace=(1, 1)), (0, 4), state=state)[-1]
    assert (step.change, step.excused_days, step.missed_days) == (StreakChange.FROZEN, 2, 1)


def test_excused_days_are_forgotten_once_they_are_past() -> None:
    state = StreakState(model_state=protection.add_excused({}, first_day=day(1), last_day=day(3)))
    assert replay(make_policy(), (0, 2), state=state)[-1].state.model_state == state.model_state
    assert replay(make_policy(), (0, 3), state=state)[-1].state.model_state == {}


def test_a_cycle_goes_on_through_frozen_days() -> None:
    steps = replay(make_frozen(WeeklyCycleReset()), (*range(7), 8), state=holding(1))
    assert (steps[-1].effective_day, steps[-1].change) == (1, StreakChange.CYCLE_RESET)
    assert (steps[-1].freezes_used, steps[-1].state.model_state) == (1, {})


spans = st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda s: (s[0], s[0] + s[1]))


@given(added=st.lists(spans, max_size=6), removed=st.lists(spans, max_size=3), gap=spans)
def test_excused_days_are_a_set_of_days(
    added: list[tuple[int, int]], removed: list[tuple[int, int]], gap: tuple[int, int]
) -> None:
    model_state: protection.ModelState = {"freezes": 3}
    excused: set[int] = set()
    for first, last in added:
        excused |= set(range(first, last + 1))
        model_state = protection.add_excused(model_state, first_day=day(first), last_day=day(last))
    for first, last in removed:
        excused -= set(range(first, last + 1))
        model_state = protection.remove_excused(
            model_state, first_day=day(first), last_day=day(last)
        )
    after, before = gap
    found = protection.count_excused(model_state, after=day(after), before=day(before))
    assert found == len(excused & set(range(after + 1, before)))
    assert model_state["freezes"] == 3
