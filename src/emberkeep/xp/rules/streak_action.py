"""What may be done to a streak beside claiming, and what it does. Pure.

Every decision is a `StreakDeed`, and `apply_deed` is the one place where a deed becomes a streak: for
the service, and for whoever folds a history.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, assert_never

import msgspec

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    DayRange,
    FreezeFigures,
    FreezeRule,
    FreezesFull,
    FreezesOff,
    NoFreezesHeld,
    RepairRefused,
    RepairWish,
    StreakAction,
    StreakActionInvalid,
    StreakActionKind,
    StreakDeed,
    StreakModel,
    StreakState,
)
from emberkeep.xp.rules import protection
from emberkeep.xp.rules.reason import MAX_REASON_CHARACTERS
from emberkeep.xp.rules.streak_models import find_conduct

MAX_FREEZES: Final = 100
"""No policy lets a player hold more."""

MAX_STREAK_DAY: Final = 1_000_000
_ONE_DAY: Final = datetime.timedelta(days=1)


def apply_deed(state: StreakState, deed: StreakDeed) -> StreakState:
    """Return the streak after `deed`."""
    match deed.kind:
        case StreakActionKind.FREEZES_GRANTED:
            held = protection.count_freezes(state.model_state) + (deed.freezes or 0)
            return _with_model_state(state, protection.with_freezes(state.model_state, held))
        case StreakActionKind.PAUSED | StreakActionKind.DAYS_SKIPPED:
            return _excuse(state, deed)
        case StreakActionKind.RESUMED | StreakActionKind.DAYS_RESTORED:
            if deed.first_day is None or deed.last_day is None:
                return state
            return _with_model_state(
                state,
                protection.remove_excused(
                    state.model_state, first_day=deed.first_day, last_day=deed.last_day
                ),
            )
        case StreakActionKind.REPAIRED:
            return _excuse(_set_streak(state, deed.streak_day), deed)
        case _:
            assert_never(deed.kind)


def _with_model_state(state: StreakState, model_state: protection.ModelState) -> StreakState:
    return msgspec.structs.replace(state, model_state=model_state)


def _excuse(state: StreakState, deed: StreakDeed) -> StreakState:
    if deed.first_day is None or deed.last_day is None:
        return state
    return _with_model_state(
        state,
        protection.add_excused(state.model_state, first_day=deed.first_day, last_day=deed.last_day),
    )


def _set_streak(state: StreakState, streak_day: int | None) -> StreakState:
    if streak_day is None:
        return state
    return msgspec.structs.replace(
        state,
        current_streak=streak_day,
        longest_streak=max(state.longest_streak, streak_day),
    )


# What is asked for


def check_reason(reason: str, *, is_needed: bool) -> Iterator[FieldError]:
    """Yield what is wrong with the reason for an action."""
    if is_needed and not reason.strip():
        yield FieldError("reason", "is required: the history shows it")
    if len(reason) > MAX_REASON_CHARACTERS or not reason.isprintable():
        message = f"must be at most {MAX_REASON_CHARACTERS} printable characters, on one line"
        yield FieldError("reason", message)


def check_freezes(amount: int, reason: str) -> None:
    """Let pass a number of freezes that can be granted, or taken.

    :raises StreakActionInvalid: with everything that is wrong
    """
    errors = list(check_reason(reason, is_needed=True))
    if not 1 <= abs(amount) <= MAX_FREEZES:
        errors.append(FieldError("amount", f"must be 1 to {MAX_FREEZES}, up or down, not 0"))
    raise_invalid(errors)


def check_repair(wish: RepairWish, reason: str) -> None:
    """Let pass a repair that says what it is to do.

    :raises StreakActionInvalid: with everything that is wrong
    """
    raise_invalid([*check_reason(reason, is_needed=True), *_list_repair_errors(wish)])


def _list_repair_errors(wish: RepairWish) -> Iterator[FieldError]:
    first, last = wish.excuse_from, wish.excuse_to
    if wish.streak_day is None and first is None and last is None:
        yield FieldError("streak_day", "is required, unless days are excused")
    if wish.streak_day is not None and not 0 <= wish.streak_day <= MAX_STREAK_DAY:
        yield FieldError("streak_day", f"must be 0 to {MAX_STREAK_DAY}")
    if (first is None) != (last is None):
        path = "excuse_from" if first is None else "excuse_to"
        yield FieldError(path, "is required: the days have two ends")
    if first is not None and last is not None and last < first:
        yield FieldError("excuse_to", "must not be before excuse_from")


def raise_invalid(errors: Sequence[FieldError]) -> None:
    """Let pass what has no errors.

    :raises StreakActionInvalid: with all of them
    """
    if errors:
        raise StreakActionInvalid("the streak cannot be changed like this", errors)


# What becomes of it


def decide_freezes(state: StreakState, rule: FreezeRule | None, amount: int) -> StreakDeed:
    """Return how many of `amount` freezes the player gets, or loses.

    :raises FreezesOff: where the policy has none
    :raises FreezesFull: where there is no room for one more
    :raises NoFreezesHeld: where there is none to take
    """
    if rule is None:
        raise FreezesOff("the policy in force has no freezes")
    held = protection.count_freezes(state.model_state)
    if amount < 0:
        if held == 0:
            raise NoFreezesHeld("the player holds no freeze", held=held)
        return StreakDeed(kind=StreakActionKind.FREEZES_GRANTED, freezes=-min(held, -amount))
    room = rule.max_held - held
    if room <= 0:
        raise FreezesFull(
            "the player holds as many freezes as the policy allows",
            held=held,
            max_held=rule.max_held,
        )
    return StreakDeed(kind=StreakActionKind.FREEZES_GRANTED, freezes=min(room, amount))


def decide_repair(
    state: StreakState, wish: RepairWish, *, model: StreakModel | None, today: datetime.date
) -> StreakDeed:
    """Return what mends the streak; only days after the last claim and before `today` were missed.

    :param model: of the policy in force, which may not count that far; None where none is
    :raises RepairRefused: where nothing was ever claimed, other days are to be excused, or the
        model never reaches the day
    """
    last = state.last_reward_day
    if last is None:
        raise RepairRefused("the player has not claimed yet: there is no streak to repair")
    most = None if model is None else find_conduct(model).last_day
    if wish.streak_day is not None and most is not None and wish.streak_day > most:
        raise RepairRefused(f"the policy in force counts to {most}", max_streak_day=most)
    first_day, last_day = wish.excuse_from, wish.excuse_to
    if first_day is not None and last_day is not None and not last < first_day <= last_day < today:
        raise RepairRefused(
            "only days that were missed since the last claim can be excused",
            last_reward_day_id=last.isoformat(),
            today=today.isoformat(),
        )
    return StreakDeed(
        kind=StreakActionKind.REPAIRED,
        streak_day=wish.streak_day,
        first_day=first_day,
        last_day=last_day,
    )


def show_freezes(state: StreakState, rule: FreezeRule | None) -> FreezeFigures:
    """Return how many freezes are held, and how far the next is away."""
    held = protection.count_freezes(state.model_state)
    if rule is None:
        return FreezeFigures(held=held, max_held=None, claims_to_next=None)
    is_earning = rule.earned_every_days > 0 and held < rule.max_held
    left = rule.earned_every_days - protection.count_freeze_progress(state.model_state)
    return FreezeFigures(
        held=held, max_held=rule.max_held, claims_to_next=max(1, left) if is_earning else None
    )


# Days that are excused for more than one reason


def list_uncovered(span: DayRange, covered: Iterable[DayRange]) -> tuple[DayRange, ...]:
    """Return the parts of `span` that none of `covered` has: only those may count as missed again."""
    left: list[DayRange] = []
    first = span.first_day
    for other in sorted(covered, key=lambda r: (r.first_day, r.last_day)):
        if other.last_day < first or other.first_day > span.last_day:
            continue
        if first < other.first_day:
            left.append(DayRange(first, other.first_day - _ONE_DAY))
        first = other.last_day + _ONE_DAY
    if first <= span.last_day:
        left.append(DayRange(first, span.last_day))
    return tuple(left)


def list_excused(actions: Iterable[StreakAction], *kinds: StreakActionKind) -> tuple[DayRange, ...]:
    """Return the days that `actions` of these kinds excused, without those taken back since.

    :param actions: in the order in which they were done
    """
    taken_back = {
        StreakActionKind.RESUMED: StreakActionKind.PAUSED,
        StreakActionKind.DAYS_RESTORED: StreakActionKind.DAYS_SKIPPED,
    }
    spans: list[DayRange] = []
    for action in actions:
        if action.first_day is None or action.last_day is None:
            continue
        span = DayRange(action.first_day, action.last_day)
        if action.kind in kinds:
            spans.append(span)
        elif taken_back.get(action.kind) in kinds:
            spans = [part for kept in spans for part in list_uncovered(kept, (span,))]
    return tuple(spans)


def derive_id(correlation_id: uuid.UUID, number: int) -> uuid.UUID:
    """Return the id of the deed of this number, where one cause has several: the first has its own."""
    return correlation_id if number == 0 else uuid.uuid5(correlation_id, str(number))
