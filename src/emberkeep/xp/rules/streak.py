"""When a streak grows, holds or starts over, and what the day pays. Pure: same input, same answer.

`advance` is one step of a fold over reward days: replaying a history in pieces gives what replaying
it at once gives. The models differ by their `Conduct` only, see `streak_models.py`.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, cast

import msgspec

from emberkeep.xp.model import SCALE, Step, StreakChange, StreakState
from emberkeep.xp.rules import protection
from emberkeep.xp.rules.pay import PayTable, list_pays
from emberkeep.xp.rules.streak_models import Conduct, find_conduct

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Mapping

    from emberkeep.xp.model import Milestone, Policy, Season, SeasonalBoost

_MILESTONES: Final = "milestones"
# Afterwards the streak is the one that it was, or a new one.
_GOES_ON: Final = frozenset(
    {
        StreakChange.ADVANCED,
        StreakChange.EXCUSED,
        StreakChange.FROZEN,
        StreakChange.GRACED,
        StreakChange.HELD,
        StreakChange.STARTED,
    }
)


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What of a policy can be worked out before any claim; boosts are in order of time."""

    conduct: Conduct
    boosts: tuple[SeasonalBoost, ...]
    boost_starts: tuple[datetime.datetime, ...]
    pays: PayTable


class _Move(msgspec.Struct, frozen=True):
    """Where a claim takes the streak, before the model has a say in where it ends."""

    day: int
    change: StreakChange
    grace_used: int
    freezes_used: int = 0


class _Gap(msgspec.Struct, frozen=True):
    """The days between two claims: all, and those that were missed; and the freezes to spend."""

    days: int
    missed_days: int
    freezes_held: int


def has_season_ended(
    seasons: Iterable[Season], since: datetime.date | None, day: datetime.date
) -> bool:
    """Say whether a season's last day lies in [`since`, `day`)."""
    return since is not None and any(since <= season.end_date < day for season in seasons)


def advance(
    policy: Policy,
    state: StreakState,
    *,
    day: datetime.date,
    at: datetime.datetime,
    has_season_ended: bool,
) -> Step:
    """Return what a claim for the reward day `day` does to `state`, and what it pays.

    :param day: later than `state.last_reward_day`
    :param at: the claim's instant, aware; it decides the seasonal boost
    :param has_season_ended: since `state.last_reward_day`, see the function of this name
    """
    plan = _plan(policy)
    conduct = plan.conduct
    gap = _measure_gap(policy, state, day)
    move = _move(policy, conduct, state, gap, has_season_ended=has_season_ended)
    effective_day, change = move.day, move.change
    if conduct.last_day is not None and effective_day > conduct.last_day:
        if conduct.begins_again_after_last_day:
            effective_day, change = 1, StreakChange.CYCLE_RESET
        else:
            effective_day = conduct.last_day

    boost = _find_boost(plan, at) if plan.boosts else None
    pays = plan.pays if boost is None else _list_boosted_pays(policy, boost.multiplier)
    pay = pays.find(effective_day)
    model_state = state.model_state
    if model_state or policy.freezes is not None:
        model_state = _keep(policy, model_state, move, day)
    milestones, model_state = _unlock(policy, conduct, model_state, effective_day)
    return Step(
        state=StreakState(
            current_streak=effective_day,
            longest_streak=max(state.longest_streak, effective_day),
            grace_used=move.grace_used,
            last_reward_day=day,
            model_state=model_state,
        ),
        change=change,
        effective_day=effective_day,
        missed_days=gap.missed_days,
        excused_days=gap.days - gap.missed_days,
        freezes_used=move.freezes_used,
        # Grace may also be what carried the streak over the end of a cycle.
        grace_applied=move.change is StreakChange.GRACED,
        curve_day_index=pay.curve.day_index,
        curve_multiplier=pay.curve.multiplier,
        model_multiplier=pay.model_multiplier,
        boost=boost,
        multiplier_ppt=pay.multiplier_ppt,
        additive_bonus_xp=pay.curve.additive_bonus_xp,
        xp_awarded=pay.xp,
        milestones=milestones,
    )


def _measure_gap(policy: Policy, state: StreakState, day: datetime.date) -> _Gap:
    last = state.last_reward_day
    days = 0 if last is None else day.toordinal() - last.toordinal() - 1
    assert days >= 0, "a streak is never told of a day again, or of an earlier one"
    if last is None or days == 0 or not state.model_state:
        return _Gap(days, days, 0)
    return _Gap(
        days,
        days - protection.count_excused(state.model_state, after=last, before=day),
        protection.count_freezes(state.model_state) if policy.freezes is not None else 0,
    )


def _move(
    policy: Policy,
    conduct: Conduct,
    state: StreakState,
    gap: _Gap,
    *,
    has_season_ended: bool,
) -> _Move:
    streak, grace_used = state.current_streak, state.grace_used
    if state.last_reward_day is None:
        return _Move(1, StreakChange.STARTED, 0)
    if has_season_ended and conduct.restarts_with_season:
        return _Move(1, StreakChange.SEASON_RESET, 0)
    missed_days = gap.missed_days
    if missed_days == 0:
        change = StreakChange.EXCUSED if gap.days else StreakChange.ADVANCED
        return _Move(streak + 1, change, grace_used)
    # Freezes come before grace, but none is spent on a streak that they cannot save.
    frozen_days = min(gap.freezes_held, missed_days)
    unfrozen_days = missed_days - frozen_days
    if unfrozen_days == 0:
        return _Move(streak + 1, StreakChange.FROZEN, grace_used, frozen_days)
    grace = policy.grace
    is_covered = (
        not has_season_ended
        and unfrozen_days <= grace.window_days
        and grace_used + unfrozen_days <= grace.allowed_misses
    )
    if is_covered:
        return _Move(streak + 1, StreakChange.GRACED, grace_used + unfrozen_days, frozen_days)
    if conduct.count_after_miss is None:
        return _Move(1, StreakChange.RESTARTED, 0)
    day = conduct.count_after_miss(streak, missed_days)
    return _Move(day, StreakChange.HELD if day == streak else StreakChange.DECAYED, grace_used)


def _keep(
    policy: Policy, model_state: Mapping[str, object], move: _Move, day: datetime.date
) -> Mapping[str, object]:
    """Return what is left of the model state after `move`, before anything is unlocked."""
    if move.change is StreakChange.SEASON_RESET:
        kept = protection.KEPT_BY_SEASONS
        model_state = {k: v for k, v in model_state.items() if k in kept}
    model_state = protection.forget_excused(model_state, day=day)
    if policy.freezes is None:
        return model_state
    return protection.earn_freezes(
        model_state, policy.freezes, used=move.freezes_used, goes_on=move.change in _GOES_ON
    )


def _unlock(
    policy: Policy, conduct: Conduct, model_state: Mapping[str, object], day: int
) -> tuple[tuple[Milestone, ...], Mapping[str, object]]:
    """Return the milestones that reaching `day` unlocks, and the model state afterwards."""
    milestone = conduct.milestones.get(day)
    if milestone is None:
        return (), model_state
    unlocked = cast("Mapping[str, list[int]]", model_state.get(_MILESTONES, {}))
    days = unlocked.get(policy.policy_key, [])
    if day in days:
        return (), model_state
    unlocked = {**unlocked, policy.policy_key: sorted([*days, day])}
    return (milestone,), {**model_state, _MILESTONES: unlocked}


def _find_boost(plan: _Plan, at: datetime.datetime) -> SeasonalBoost | None:
    index = bisect_right(plan.boost_starts, at) - 1
    if index < 0 or at >= plan.boosts[index].end_at:
        return None
    return plan.boosts[index]


# Both are kept per policy, whose hash is computed once: finding one costs a tenth of a microsecond.
@functools.lru_cache(maxsize=1024)
def _plan(policy: Policy) -> _Plan:
    boosts = tuple(sorted(policy.seasonal_boosts, key=lambda boost: boost.start_at))
    return _Plan(
        conduct=find_conduct(policy.streak_model),
        boosts=boosts,
        boost_starts=tuple(boost.start_at for boost in boosts),
        pays=_list_boosted_pays(policy, SCALE),
    )


@functools.lru_cache(maxsize=1024)
def _list_boosted_pays(policy: Policy, boost_multiplier: int) -> PayTable:
    return list_pays(
        base_xp=policy.base_xp_amount,
        curve=policy.streak_curve,
        conduct=find_conduct(policy.streak_model),
        boost_multiplier=boost_multiplier,
    )
