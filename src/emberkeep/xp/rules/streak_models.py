"""The ways to count a streak: one registered function per parameter type of `model.StreakModel`.

A function turns its parameters into a `Conduct`, which says all that sets a model apart from a
plain count of days. The engine in `streak.py`, the pay table in `pay.py` and the validation in
`policy.py` know conducts only, so that a new model needs no change anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    SCALE,
    DecayCurve,
    Milestone,
    MilestoneMetaReward,
    PlateauCap,
    StreakModel,
    TieredSeasonalReset,
    WeeklyCycleReset,
)
from emberkeep.xp.rules import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

P = TypeVar("P", bound=StreakModel)

_DAYS_OF_A_WEEK: Final = 7
_NO_MILESTONES: Final[Mapping[int, Milestone]] = MappingProxyType({})


class Conduct(msgspec.Struct, frozen=True, kw_only=True):
    """What sets a streak model apart; the defaults are a plain count of days.

    `multipliers` are (first day, scaled multiplier) in ascending order from day 1; each holds until
    the next. `count_after_miss` takes (streak, missed days, at least 1) when grace does not cover
    them and answers the day of this claim; without it the streak restarts.
    """

    last_day: int | None = None
    begins_again_after_last_day: bool = False
    multipliers: tuple[tuple[int, int], ...] = ((1, SCALE),)
    count_after_miss: Callable[[int, int], int] | None = None
    restarts_with_season: bool = False
    milestones: Mapping[int, Milestone] = _NO_MILESTONES


Check = Callable[[Any, str], Iterable[FieldError]]
"""What must hold between the fields of parameters, for `document.Reader`: (parameters, path)."""

_conducts: dict[type[StreakModel], Callable[[Any], Conduct]] = {}
_checks: dict[type[StreakModel], Check] = {}


def registers(
    parameters: type[P], *, check: Check | None = None
) -> Callable[[Callable[[P], Conduct]], Callable[[P], Conduct]]:
    """Register the decorated function for the model whose parameters have this type."""

    def register(find: Callable[[P], Conduct]) -> Callable[[P], Conduct]:
        _conducts[parameters] = find
        if check is not None:
            _checks[parameters] = check
        return find

    return register


def parameter_types() -> Mapping[str, type[StreakModel]]:
    """Return the parameter type of every registered model, by the name in policy documents."""
    return {parameters.__name__: parameters for parameters in _conducts}


def parameter_checks() -> Mapping[type[StreakModel], Check]:
    """Return what must hold between the fields of the parameters, by their type."""
    return _checks


def find_conduct(parameters: StreakModel) -> Conduct:
    """Return how the model with these parameters counts."""
    return _conducts[type(parameters)](parameters)


@registers(PlateauCap)
def _plateau_cap(parameters: PlateauCap) -> Conduct:
    plateau = (parameters.plateau_day, parameters.plateau_multiplier)
    is_from_the_start = parameters.plateau_day == 1
    return Conduct(
        last_day=parameters.plateau_day,
        multipliers=(plateau,) if is_from_the_start else ((1, SCALE), plateau),
    )


@registers(WeeklyCycleReset)
def _weekly_cycle_reset(_: WeeklyCycleReset) -> Conduct:
    return Conduct(last_day=_DAYS_OF_A_WEEK, begins_again_after_last_day=True)


@registers(DecayCurve)
def _decay_curve(parameters: DecayCurve) -> Conduct:
    def count_after_miss(streak: int, missed_days: int) -> int:
        return _decay(streak, missed_days, parameters)

    return Conduct(count_after_miss=count_after_miss)


def _decay(streak: int, missed_days: int, parameters: DecayCurve) -> int:
    """Return what is left of `streak`; each missed day costs its share while it is long enough."""
    kept = SCALE - parameters.decay_percent
    for _ in range(missed_days):
        decayed = max(1, streak * kept // SCALE)
        if streak <= parameters.grace_day or decayed == streak:
            # Nothing left to lose: a gap of millennia must not take a step a day.
            break
        streak = decayed
    return max(1, streak)


def _check_tiers(parameters: Any, path: str) -> Iterator[FieldError]:
    spans: list[tuple[int, int, int]] = []
    for index, tier in enumerate(parameters.tiers or ()):
        if tier.start_day is None or tier.end_day is None:
            continue
        if tier.start_day > tier.end_day:
            yield FieldError(f"{path}.tiers[{index}].end_day", "must not be before start_day")
        spans.append((tier.start_day, tier.end_day + 1, index))
    for index, other in document.find_overlaps(spans):
        yield FieldError(f"{path}.tiers[{index}]", f"overlaps tiers[{other}]")


@registers(TieredSeasonalReset, check=_check_tiers)
def _tiered_seasonal_reset(parameters: TieredSeasonalReset) -> Conduct:
    # A day between two tiers multiplies by 1; the next tier's own entry replaces it where they touch.
    multipliers = {1: SCALE}
    for tier in sorted(parameters.tiers, key=lambda tier: tier.start_day):
        multipliers[tier.start_day] = tier.bonus_multiplier
        multipliers[tier.end_day + 1] = SCALE
    return Conduct(multipliers=tuple(sorted(multipliers.items())), restarts_with_season=True)


def _check_milestones(parameters: Any, path: str) -> Iterator[FieldError]:
    seen: set[int] = set()
    for index, milestone in enumerate(parameters.milestones or ()):
        if milestone.day is not None and milestone.day in seen:
            yield FieldError(f"{path}.milestones[{index}].day", "has a milestone already")
        seen.add(milestone.day)


@registers(MilestoneMetaReward, check=_check_milestones)
def _milestone_meta_reward(parameters: MilestoneMetaReward) -> Conduct:
    return Conduct(milestones={milestone.day: milestone for milestone in parameters.milestones})
