"""What keeps a streak through days without a claim: days that are excused, and freezes. Pure.

Both stand in the streak's `model_state`, and only while there are any: see `model.StreakState`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Final, cast

from emberkeep.xp.model import FreezeRule

EXCUSED: Final = "excused"
FREEZES: Final = "freezes"
FREEZE_PROGRESS: Final = "freeze_progress"
KEPT_BY_SEASONS: Final = frozenset({EXCUSED, FREEZES, "milestones"})
"""What a season's end does not take: it was granted, earned, or unlocked once in life."""

ModelState = Mapping[str, object]


def count_excused(model_state: ModelState, *, after: datetime.date, before: datetime.date) -> int:
    """Return how many of the days between `after` and `before` do not count as missed."""
    ranges = _list_ranges(model_state)
    if not ranges:
        return 0
    covered = 0
    reached = after.toordinal()
    for first, last in sorted(ranges):
        start, end = max(first, reached + 1), min(last, before.toordinal() - 1)
        if start <= end:
            covered += end - start + 1
            reached = end
    return covered


def add_excused(
    model_state: ModelState, *, first_day: datetime.date, last_day: datetime.date
) -> ModelState:
    """Return the model state in which the days from `first_day` to `last_day` are excused."""
    ranges = [*_list_ranges(model_state), (first_day.toordinal(), last_day.toordinal())]
    return _with_ranges(model_state, _merge(ranges))


def remove_excused(
    model_state: ModelState, *, first_day: datetime.date, last_day: datetime.date
) -> ModelState:
    """Return the model state in which none of these days is excused any more."""
    first, last = first_day.toordinal(), last_day.toordinal()
    left = [(start, min(end, first - 1)) for start, end in _list_ranges(model_state)]
    right = [(max(start, last + 1), end) for start, end in _list_ranges(model_state)]
    kept = [(start, end) for start, end in [*left, *right] if start <= end]
    return _with_ranges(model_state, _merge(kept))


def forget_excused(model_state: ModelState, *, day: datetime.date) -> ModelState:
    """Return the model state after a claim of `day`: no day up to it can be missed any more."""
    ranges = _list_ranges(model_state)
    if not ranges or all(last > day.toordinal() for _, last in ranges):
        return model_state
    return _with_ranges(model_state, [span for span in ranges if span[1] > day.toordinal()])


def count_freezes(model_state: ModelState) -> int:
    """Return how many freezes are held."""
    return cast("int", model_state.get(FREEZES, 0))


def count_freeze_progress(model_state: ModelState) -> int:
    """Return how many claims were made on the way to the next freeze."""
    return cast("int", model_state.get(FREEZE_PROGRESS, 0))


def with_freezes(model_state: ModelState, held: int) -> ModelState:
    """Return the model state of a player who holds that many freezes."""
    return _with(model_state, FREEZES, held)


def earn_freezes(
    model_state: ModelState, rule: FreezeRule, *, used: int, goes_on: bool
) -> ModelState:
    """Return the model state after a claim: `used` freezes are spent, and one is earned perhaps.

    :param goes_on: whether the streak did; where it starts over, so does the way to a freeze
    """
    held = count_freezes(model_state) - used
    before = count_freeze_progress(model_state) if goes_on else 0
    progress = before + 1 if rule.earned_every_days else 0
    if rule.earned_every_days and progress >= rule.earned_every_days:
        progress = 0
        # Never fewer: a player may hold more than a rule of today would let them earn.
        held = max(held, min(held + 1, rule.max_held))
    return _with(_with(model_state, FREEZES, held), FREEZE_PROGRESS, progress)


def _with(model_state: ModelState, key: str, count: int) -> ModelState:
    if model_state.get(key, 0) == count:
        return model_state
    rest = {k: v for k, v in model_state.items() if k != key}
    return {**rest, key: count} if count else rest


def _list_ranges(model_state: ModelState) -> list[tuple[int, int]]:
    written = cast("Sequence[Sequence[str]]", model_state.get(EXCUSED, ()))
    return [(_to_ordinal(first), _to_ordinal(last)) for first, last in written]


def _to_ordinal(day_id: str) -> int:
    return datetime.date.fromisoformat(day_id).toordinal()


def _merge(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _with_ranges(model_state: ModelState, ranges: Sequence[tuple[int, int]]) -> ModelState:
    rest = {k: v for k, v in model_state.items() if k != EXCUSED}
    if not ranges:
        return rest
    days = datetime.date.fromordinal
    return {
        **rest,
        EXCUSED: [[days(first).isoformat(), days(last).isoformat()] for first, last in ranges],
    }
