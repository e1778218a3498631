"""When a streak may be paused, and when a pause ends. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Final

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    DayRange,
    NotPaused,
    PauseCooldown,
    PauseFigures,
    PauseOff,
    PauseRefused,
    PauseRule,
    PauseRunning,
    PauseWish,
    StreakAction,
    StreakActionKind,
    StreakDeed,
    StreakState,
)
from emberkeep.xp.rules.streak_action import check_reason, list_uncovered, raise_invalid

MAX_DAYS_AHEAD: Final = 366
_ONE_DAY: Final = datetime.timedelta(days=1)


def check_pause(wish: PauseWish, reason: str) -> None:
    """Let pass a pause whose days are in order.

    :raises StreakActionInvalid: with everything that is wrong
    """
    errors = list(check_reason(reason, is_needed=False))
    if wish.first_day is not None and wish.last_day < wish.first_day:
        errors.append(FieldError("last_day", "must not be before first_day"))
    raise_invalid(errors)


def find_last_pause(actions: Iterable[StreakAction]) -> DayRange | None:
    """Return the last pause that ever held, or is to: to where it was resumed, if it was.

    :param actions: in the order in which they were done; there is never more than one pause to come
    """
    ended: DayRange | None = None
    last: DayRange | None = None
    for action in actions:
        if action.kind is StreakActionKind.PAUSED:
            assert action.first_day is not None
            assert action.last_day is not None
            ended, last = last or ended, DayRange(action.first_day, action.last_day)
        elif action.kind is StreakActionKind.RESUMED and last is not None:
            # Without days all of them are excused for another reason, and the pause was to come.
            first = action.first_day or last.first_day
            if first > last.first_day:
                last = DayRange(last.first_day, min(last.last_day, first - _ONE_DAY))
            else:
                last = None
    return last or ended


def decide_pause(
    state: StreakState,
    rule: PauseRule | None,
    wish: PauseWish,
    *,
    last_pause: DayRange | None,
    today: datetime.date,
) -> StreakDeed:
    """Return the pause that `wish` asks for; without a first day, from the next day to claim on.

    :raises PauseOff: where the policy has no pauses
    :raises PauseRunning: where one runs, or is to come
    :raises PauseCooldown: where the last one is too recent
    :raises PauseRefused: where it is too long, or would cover days that are claimed or over
    """
    if rule is None:
        raise PauseOff("the policy in force has no pauses")
    if last_pause is not None and last_pause.last_day >= today:
        raise PauseRunning(
            "the streak is paused already",
            first_day=last_pause.first_day.isoformat(),
            last_day=last_pause.last_day.isoformat(),
        )
    open_day = _find_open_day(state, today)
    first_day = wish.first_day or open_day
    _check_days(rule, DayRange(first_day, wish.last_day), open_day=open_day, today=today)
    _check_cooldown(rule, last_pause, first_day)
    return StreakDeed(kind=StreakActionKind.PAUSED, first_day=first_day, last_day=wish.last_day)


def _find_open_day(state: StreakState, today: datetime.date) -> datetime.date:
    """Return the first day that is neither claimed nor over."""
    last = state.last_reward_day
    return today if last is None or last < today else last + _ONE_DAY


def _check_days(
    rule: PauseRule, days: DayRange, *, open_day: datetime.date, today: datetime.date
) -> None:
    if days.first_day < open_day or days.last_day < days.first_day:
        message = "a pause begins with a day that is neither claimed nor over"
        raise PauseRefused(message, earliest_day=open_day.isoformat())
    if (days.first_day - today).days > MAX_DAYS_AHEAD:
        raise PauseRefused(f"a pause begins within {MAX_DAYS_AHEAD} days")
    if (days.last_day - days.first_day).days + 1 > rule.max_days:
        latest = days.first_day + (rule.max_days - 1) * _ONE_DAY
        message = f"a pause lasts at most {rule.max_days} days"
        raise PauseRefused(message, max_days=rule.max_days, latest_day=latest.isoformat())


def _check_cooldown(rule: PauseRule, last_pause: DayRange | None, first_day: datetime.date) -> None:
    if last_pause is None:
        return
    earliest = last_pause.last_day + (rule.cooldown_days + 1) * _ONE_DAY
    if first_day < earliest:
        message = "the last pause is too recent"
        raise PauseCooldown(message, earliest_day=earliest.isoformat())


def decide_resume(
    last_pause: DayRange | None, *, skipped: Iterable[DayRange], today: datetime.date
) -> tuple[StreakDeed, ...]:
    """Return what ends the pause as of `today`: from then on its days count as missed again.

    :param skipped: days that are excused for another reason, and stay so
    :raises NotPaused: where no pause runs or is to come
    """
    if last_pause is None or last_pause.last_day < today:
        raise NotPaused("the streak is not paused")
    left = DayRange(max(today, last_pause.first_day), last_pause.last_day)
    return tuple(
        StreakDeed(kind=StreakActionKind.RESUMED, first_day=s.first_day, last_day=s.last_day)
        for s in list_uncovered(left, skipped)
    ) or (StreakDeed(kind=StreakActionKind.RESUMED),)


def show_pause(last_pause: DayRange | None, *, today: datetime.date) -> PauseFigures | None:
    """Return the pause that runs at `today` or is to come, if any does."""
    if last_pause is None or last_pause.last_day < today:
        return None
    return PauseFigures(
        first_day=last_pause.first_day,
        last_day=last_pause.last_day,
        is_running=last_pause.first_day <= today,
    )
