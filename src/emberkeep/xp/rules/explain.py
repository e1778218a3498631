"""Why a claim would pay what it would, or why not, step by step in plain words. Pure.

The figures are those of the claim itself: nothing is decided here, it is only told.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final, assert_never

from emberkeep.xp.model import (
    SCALE,
    Explanation,
    LevelCurve,
    Noun,
    PlayerState,
    PolicyVersion,
    Receipt,
    RewardDay,
    Season,
    SegmentChoice,
    SegmentReason,
    StreakChange,
    VerdictStep,
)
from emberkeep.xp.rules.catalogue import find_season
from emberkeep.xp.rules.claim import find_winner
from emberkeep.xp.rules.document import format_instant, format_scaled
from emberkeep.xp.rules.level import FIRST_LEVEL, list_reached
from emberkeep.xp.rules.protection import count_freezes
from emberkeep.xp.rules.question import UNSAVED

_PPT_DIGITS: Final = 12
# Afterwards the streak is the one that it was: what was missed is covered.
_COVERED: Final = frozenset({StreakChange.GRACED, StreakChange.FROZEN, StreakChange.CYCLE_RESET})


class Setting(Noun, frozen=True, kw_only=True):
    """What holds at the instant of a claim, whatever the claim then comes to.

    `is_named` says that the version was asked for, and is not the one in force. `switch_at` is when
    another version takes over: `next_version`, or none.
    """

    player: PlayerState
    at: datetime.datetime
    version: PolicyVersion
    is_named: bool
    choice: SegmentChoice | None
    switch_at: datetime.datetime | None
    next_version: int | None
    zone: str
    today: RewardDay
    seasons: tuple[Season, ...]


def explain_setting(setting: Setting) -> tuple[VerdictStep, ...]:
    """Return which version decides, and for which day."""
    steps = [_tell_policy(setting)]
    if not setting.is_named:
        steps.append(_tell_segment(setting))
        if setting.switch_at is not None:
            steps.append(_tell_switch(setting, setting.switch_at))
    return *steps, _tell_day(setting)


def explain_payment(
    setting: Setting, receipt: Receipt, *, level_curve: LevelCurve | None
) -> tuple[VerdictStep, ...]:
    """Return how a claim comes to what it pays.

    :param receipt: of the claim, as it would be answered
    """
    return (
        _tell_streak(setting, receipt),
        *_list_factors(setting, receipt),
        *_list_milestones(receipt),
        _tell_season(setting, receipt),
        *_list_levels(setting, receipt, level_curve),
        _make("payment", f"The claim pays {receipt.xp_awarded} XP.", xp=receipt.xp_awarded),
    )


def explain_refusal(
    reason: str, says: str, *, come_back_at: datetime.datetime | None, **facts: object
) -> VerdictStep:
    """Return the step at which it ends without a payment."""
    when = "" if come_back_at is None else f" It pays again from {format_instant(come_back_at)} on."
    back = None if come_back_at is None else format_instant(come_back_at)
    return _make("refusal", f"{says}{when}", reason=reason, come_back_at=back, **facts)


def _make(step: str, says: str, **facts: object) -> VerdictStep:
    return VerdictStep(step=step, says=says, facts=facts)


def _tell_policy(setting: Setting) -> VerdictStep:
    version = setting.version
    key, number = version.policy.policy_key, version.policy_version
    facts: dict[str, object] = {
        "policy_key": key,
        "policy_version": number,
        "status": version.status.value,
        "in_force_since": _to_text(version.effective_at),
        "in_force_until": _to_text(version.superseded_at),
    }
    if setting.is_named:
        facts |= {"in_force_since": None, "in_force_until": None}
        what = "The document" if number == UNSAVED else f"Version {number} of {key}"
        return _make("policy", f"{what} decides, as it was asked for.", **facts)
    if find_winner(setting.choice) is not None:
        says = f"Version {number} of {key} decides for the player's segment."
    else:
        since = version.effective_at
        assert since is not None, "what is in force has begun"
        says = f"Version {number} of {key} decides: it is in force since {format_instant(since)}."
    return _make("policy", says, **facts)


def _tell_segment(setting: Setting) -> VerdictStep:
    choice, number = setting.choice, setting.version.policy_version
    own = setting.player.segment_key
    if choice is None:
        says = "No segment has a version of its own for this player."
        return _make("segment", says, segment=None, segment_key=own)
    facts: dict[str, object] = {
        "reason": choice.reason,
        "priority": choice.priority,
        "segment_key": own,
    }
    if choice.reason is SegmentReason.RULE_FAILED:
        says = f"The rule of segment {choice.segment} failed, so no segment decides."
        return _make("segment", says, segment=None, failure=choice.failure, **facts)
    says = f"The player's segment {choice.segment} gets version {number}, whichever is in force."
    return _make("segment", says, segment=choice.segment, **facts)


def _tell_switch(setting: Setting, switch_at: datetime.datetime) -> VerdictStep:
    number = setting.next_version
    what = "no version is in force any more" if number is None else f"version {number} takes over"
    says = f"At {format_instant(switch_at)} {what}."
    return _make("switch", says, switch_at=_to_text(switch_at), policy_version=number)


def _tell_day(setting: Setting) -> VerdictStep:
    today, window = setting.today, setting.version.policy.claim_window
    says = (
        f"It is the reward day {today.day} in {setting.zone}: it can be claimed from"
        f" {format_instant(today.opens_at)} until {format_instant(today.closes_at)}."
    )
    return _make(
        "reward_day",
        says,
        reward_day_id=today.day.isoformat(),
        time_zone=setting.zone,
        anchor_strategy=window.anchor_strategy.value,
        opens_at=_to_text(today.opens_at),
        closes_at=_to_text(today.closes_at),
        next_day_at=_to_text(today.next_at),
        next_time_zone=setting.player.next_reward_tz,
        next_time_zone_at=_to_text(setting.player.next_reward_tz_at),
    )


def _tell_streak(setting: Setting, receipt: Receipt) -> VerdictStep:
    before, explain = setting.player.streak, receipt.explain
    policy = setting.version.policy
    return _make(
        "streak",
        _say_streak(setting, receipt),
        change=explain.streak.value,
        before=before.current_streak,
        after=receipt.streak.current,
        last_reward_day_id=_to_text(before.last_reward_day),
        missed_days=explain.missed_days,
        excused_days=explain.excused_days,
        frozen_days=explain.freezes_used,
        graced_days=_count_graced(explain),
        grace_used=receipt.streak.grace_used,
        grace_allowed=policy.grace.allowed_misses,
        grace_window_days=policy.grace.window_days,
        freezes_held_before=count_freezes(before.model_state),
        freezes_held=explain.freezes_held,
        model=type(policy.streak_model).__name__,
    )


def _say_streak(setting: Setting, receipt: Receipt) -> str:
    before, after = setting.player.streak.current_streak, receipt.streak.current
    explain = receipt.explain
    goes_on = f"the streak goes on from {before} to {after}"
    if after <= before:
        goes_on = f"the streak goes on, and stays at {after}: the model counts no further"
    missed = _count_days(explain.missed_days)
    match explain.streak:
        case StreakChange.STARTED:
            return "It is the first claim: the streak starts at day 1."
        case StreakChange.ADVANCED:
            return f"The day before was claimed: {goes_on}."
        case StreakChange.EXCUSED:
            return f"{_count_days(explain.excused_days)} without a claim are excused: {goes_on}."
        case StreakChange.FROZEN | StreakChange.GRACED:
            return f"{missed} missed, {_say_cover(setting, explain, receipt)}: {goes_on}."
        case StreakChange.CYCLE_RESET:
            done = f"cycle is complete at {before}: it begins again with day {after}."
            if explain.missed_days == 0:
                return f"The {done}"
            return f"{missed} missed, {_say_cover(setting, explain, receipt)}; the {done}"
        case StreakChange.DECAYED:
            return f"{missed} missed, {_say_bare(setting, explain)}: the streak falls to {after}."
        case StreakChange.HELD:
            return f"{missed} missed, {_say_bare(setting, explain)}: the streak holds at {after}."
        case StreakChange.RESTARTED:
            return f"{missed} missed, {_say_bare(setting, explain)}: the streak starts over at day {after}."
        case StreakChange.SEASON_RESET:
            return f"{_say_season_end(setting)}: the streak starts over at day {after}."
        case _:
            assert_never(explain.streak)


def _say_cover(setting: Setting, explain: Explanation, receipt: Receipt) -> str:
    parts: list[str] = []
    if explain.freezes_used:
        parts.append(f"{explain.freezes_used} covered by freezes")
    if graced := _count_graced(explain):
        allowed = setting.version.policy.grace.allowed_misses
        used = receipt.streak.grace_used
        parts.append(f"{graced} covered by grace ({used} of {allowed} used)")
    return " and ".join(parts)


def _say_bare(setting: Setting, explain: Explanation) -> str:
    policy = setting.version.policy
    excused = f"and {explain.excused_days} excused, but " if explain.excused_days else ""
    if policy.freezes is None and policy.grace.allowed_misses == 0:
        return f"{excused or 'and '}nothing covers that"
    if _list_ended(setting):
        return f"{excused}more than freezes cover, and grace never bridges a season's end"
    return f"{excused}more than freezes and grace cover"


def _say_season_end(setting: Setting) -> str:
    ended = _list_ended(setting)
    assert ended, "a season's end is what resets"
    return f"The season {ended[-1].season_id} ended with {ended[-1].end_date}"


def _list_ended(setting: Setting) -> list[Season]:
    """Return the seasons that have ended since the last claim."""
    since = setting.player.streak.last_reward_day
    return [
        season
        for season in setting.seasons
        if since is not None and since <= season.end_date < setting.today.day
    ]


def _count_graced(explain: Explanation) -> int:
    return explain.missed_days - explain.freezes_used if explain.streak in _COVERED else 0


def _list_factors(setting: Setting, receipt: Receipt) -> Iterator[VerdictStep]:
    explain, day = receipt.explain, receipt.streak.current
    model = type(setting.version.policy.streak_model).__name__
    row = explain.curve_day_index
    yield _make(
        "curve",
        f"Day {day} is paid by curve row {row}: times {explain.curve_multiplier}.",
        streak_day=day,
        curve_day_index=row,
        multiplier=explain.curve_multiplier,
    )
    yield _make(
        "model",
        f"{model} multiplies day {day} by {explain.model_multiplier}.",
        model=model,
        multiplier=explain.model_multiplier,
    )
    yield _make(
        "boost",
        "No boost holds at this instant."
        if explain.boost_label is None
        else f"The boost {explain.boost_label} multiplies by {explain.boost_multiplier}.",
        label=explain.boost_label,
        multiplier=explain.boost_multiplier,
    )
    yield _tell_rounding(receipt)
    bonus = explain.additive_bonus_xp
    yield _make(
        "bonus",
        f"Curve row {row} adds {bonus} XP." if bonus else f"Curve row {row} adds nothing.",
        additive_bonus_xp=bonus,
    )


def _tell_rounding(receipt: Receipt) -> VerdictStep:
    explain = receipt.explain
    factors = (explain.curve_multiplier, explain.model_multiplier, explain.boost_multiplier)
    product = explain.base_xp_amount
    for factor in factors:
        product *= _scale(factor)
    exact = format_scaled(product, _PPT_DIGITS)
    rounded = receipt.xp_awarded - explain.additive_bonus_xp
    shown = " * ".join((str(explain.base_xp_amount), *factors))
    return _make(
        "rounding",
        f"{shown} = {exact}, rounded half up to {rounded} XP.",
        base_xp_amount=explain.base_xp_amount,
        exact_xp=exact,
        rounded_xp=rounded,
    )


def _scale(multiplier: str) -> int:
    return int(Decimal(multiplier) * SCALE)


def _list_milestones(receipt: Receipt) -> Iterator[VerdictStep]:
    for milestone in receipt.milestones:
        yield _make(
            "milestone",
            f"Day {milestone.day} is reached for the first time: it unlocks"
            f" {milestone.reward_type} {milestone.reward_value}.",
            day=milestone.day,
            reward_type=milestone.reward_type,
            reward_value=milestone.reward_value,
        )


def _tell_season(setting: Setting, receipt: Receipt) -> VerdictStep:
    season = find_season(setting.seasons, day=receipt.reward_day_id)
    if season is None:
        return _make("season", "The day belongs to no season.", season_id=None)
    balance = setting.player.balance
    is_new = balance.season_id not in (None, season.season_id)
    return _make(
        "season",
        f"The day belongs to the season {season.season_id}, which ends with {season.end_date}."
        + (f" The XP of {balance.season_id} no longer count as seasonal." if is_new else ""),
        season_id=season.season_id,
        end_date=season.end_date.isoformat(),
        seasonal_xp=receipt.balance.seasonal,
    )


def _list_levels(
    setting: Setting, receipt: Receipt, curve: LevelCurve | None
) -> Iterator[VerdictStep]:
    level = receipt.level
    if curve is None or level is None:
        return
    highest = setting.player.highest_levels.get(curve.policy_key, FIRST_LEVEL)
    reached = list_reached(curve, highest=highest, lifetime_xp=receipt.balance.lifetime)
    says = f"{receipt.balance.lifetime} XP in all make level {level.level}"
    if level.xp_to_next_level is None:
        says += ", the last one."
    else:
        says += f"; {level.xp_to_next_level} XP are left to the next."
    if reached:
        says += f" {_name_levels(reached)} for the first time."
    yield _make(
        "level",
        says,
        level=level.level,
        lifetime_xp=receipt.balance.lifetime,
        xp_to_next_level=level.xp_to_next_level,
        progress=level.progress,
        reached=reached,
    )


def _name_levels(reached: Sequence[int]) -> str:
    if len(reached) == 1:
        return f"Level {reached[0]} is reached"
    return f"Levels {reached[0]} to {reached[-1]} are reached"


def _count_days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _to_text(when: datetime.date | None) -> str | None:
    if isinstance(when, datetime.datetime):
        return format_instant(when)
    return None if when is None else when.isoformat()
