"""What a claim comes to: paid, already paid, or refused until an instant. Pure."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence

from emberkeep.xp.model import (
    SCALE,
    Award,
    Balance,
    BalanceFigures,
    ClaimRequest,
    ClaimWindow,
    CooldownRunning,
    Explanation,
    LevelCurve,
    Noun,
    PlayerState,
    Policy,
    PolicyVersion,
    RewardDay,
    Season,
    SeasonId,
    SegmentChoice,
    SegmentKey,
    SegmentReason,
    Step,
    StreakChange,
    StreakFigures,
    StreakState,
    UserId,
    WindowClosed,
)
from emberkeep.xp.rules import catalogue, document, reward_day, streak
from emberkeep.xp.rules.balance import add_credit, check_limit
from emberkeep.xp.rules.level import measure_level
from emberkeep.xp.rules.protection import count_freezes

_ONE_DAY = datetime.timedelta(days=1)
_EPOCH_DAY = datetime.date(2000, 1, 1).toordinal()


class Payment(Noun, frozen=True, kw_only=True):
    """A claim that is to be written: the award, and the player's streak and balance after it."""

    award: Award
    streak: StreakState
    balance: Balance


def find_anchor_zone(
    player: PlayerState, window: ClaimWindow, *, at: datetime.datetime, server_zone: str
) -> str:
    """Return the zone whose days count for `player` at `at`."""
    changes_at = player.next_reward_tz_at
    has_changed = changes_at is not None and changes_at <= at
    zone = player.next_reward_tz if has_changed else player.reward_tz
    return reward_day.resolve_anchor(
        window.anchor_strategy, player_zone=zone or player.reward_tz, server_zone=server_zone
    )


def find_claim_day(
    player: PlayerState, request: ClaimRequest, window: ClaimWindow, *, server_zone: str
) -> RewardDay:
    """Return the reward day that `request` claims."""
    clock = request.local_clock
    if isinstance(clock, int):
        return reward_day.find_reward_day_at_offset(request.at, clock, window)
    zone = clock or find_anchor_zone(player, window, at=request.at, server_zone=server_zone)
    return reward_day.find_reward_day(at=request.at, time_zone=zone, window=window)


def find_next_opening(
    player: PlayerState,
    today: RewardDay,
    window: ClaimWindow,
    *,
    last_day: datetime.date,
    at: datetime.datetime,
    server_zone: str,
) -> datetime.datetime:
    """Return the first instant after `at` at which `player`, last paid for `last_day`, can claim.

    That is the next boundary, except where a change of zone would give a day that was claimed
    already: then the player waits for the next new day.

    :param today: the reward day that holds `at`
    """
    changes_at = player.next_reward_tz_at
    if changes_at is not None and changes_at <= at:
        changes_at = None  # It is behind us: `today` is a day of the new zone.
    if last_day <= today.day and (changes_at is None or today.next_at < changes_at):
        return today.next_at
    next_day = max(last_day, today.day) + _ONE_DAY
    zone = find_anchor_zone(player, window, at=at, server_zone=server_zone)
    opens_at = reward_day.boundary(next_day, zone, window.start_minutes)
    if changes_at is None or opens_at < changes_at:
        return opens_at
    zone = find_anchor_zone(player, window, at=changes_at, server_zone=server_zone)
    opens_at = max(reward_day.boundary(next_day, zone, window.start_minutes), changes_at)
    # The change may come when the new zone's day is well under way, and its window has closed.
    first = reward_day.find_reward_day(at=opens_at, time_zone=zone, window=window)
    return opens_at if opens_at < first.closes_at else first.next_at


def check_window(
    player: PlayerState,
    today: RewardDay,
    window: ClaimWindow,
    *,
    at: datetime.datetime,
    server_zone: str,
) -> None:
    """Raise WindowClosed, with when the next one opens, when `at` is past today's claim window."""
    if at < today.closes_at:
        return
    raise WindowClosed(
        "the claim window of this reward day has closed",
        reward_day_id=today.day.isoformat(),
        closed_at=today.closes_at,
        opens_at=find_next_opening(
            player, today, window, last_day=today.day, at=at, server_zone=server_zone
        ),
    )


def check_cooldown(window: ClaimWindow, last: Award, *, at: datetime.datetime) -> None:
    """Raise CooldownRunning when the last claim is younger than the window's cooldown."""
    if window.min_cooldown_hours is None:
        return
    opens_at = last.claimed_at + datetime.timedelta(hours=window.min_cooldown_hours)
    if at < opens_at:
        raise CooldownRunning("the last claim is too recent", opens_at=opens_at)


def decide_payment(
    version: PolicyVersion,
    *,
    user_id: UserId,
    before: StreakState,
    balance: Balance,
    day: datetime.date,
    at: datetime.datetime,
    seasons: Sequence[Season],
    level_curve: LevelCurve | None,
    choice: SegmentChoice | None,
) -> Payment:
    """Return what claiming `day`, which must be later than the last one claimed, pays.

    :raises BalanceLimit: when the balance cannot take it
    """
    has_ended = bool(seasons) and streak.has_season_ended(seasons, before.last_reward_day, day)
    season = catalogue.find_season(seasons, day=day)
    step = streak.advance(version.policy, before, day=day, at=at, has_season_ended=has_ended)
    after = add_credit(
        balance,
        amount=step.xp_awarded,
        season_id=None if season is None else season.season_id,
    )
    check_limit(after)
    state = step.state
    award = Award(
        receipt_id=make_receipt_id(user_id, day),
        reward_day=day,
        claimed_at=at,
        xp_awarded=step.xp_awarded,
        streak=StreakFigures(
            current=state.current_streak,
            longest=state.longest_streak,
            grace_used=state.grace_used,
        ),
        policy_key=version.policy.policy_key,
        policy_version=version.policy_version,
        segment=find_winner(choice),
        milestones=step.milestones,
        balance=BalanceFigures(
            current=after.current, lifetime=after.lifetime, seasonal=after.seasonal
        ),
        level=None if level_curve is None else measure_level(level_curve, after.lifetime),
        explain=explain(version.policy, step, season, choice),
    )
    return Payment(award=award, streak=state, balance=after)


def find_winner(choice: SegmentChoice | None) -> SegmentKey | None:
    """Return the segment whose override decided, if one did."""
    if choice is None or choice.reason is SegmentReason.RULE_FAILED:
        return None
    return choice.segment


def explain(
    policy: Policy, step: Step, season: Season | None, choice: SegmentChoice | None = None
) -> Explanation:
    """Return every factor of what `step` pays."""
    return _explain(
        step.change,
        step.missed_days,
        policy.base_xp_amount,
        step.curve_day_index,
        step.curve_multiplier,
        step.model_multiplier,
        None if step.boost is None else step.boost.label,
        SCALE if step.boost is None else step.boost.multiplier,
        step.additive_bonus_xp,
        None if season is None else season.season_id,
        step.excused_days,
        step.freezes_used,
        count_freezes(step.state.model_state) if step.state.model_state else 0,
        choice,
    )


# Players of one policy mostly stand at a handful of places: the same words serve them all.
@functools.lru_cache(maxsize=4096)
def _explain(
    change: StreakChange,
    missed_days: int,
    base_xp_amount: int,
    curve_day_index: int,
    curve_multiplier: int,
    model_multiplier: int,
    boost_label: str | None,
    boost_multiplier: int,
    additive_bonus_xp: int,
    season_id: SeasonId | None,
    excused_days: int,
    freezes_used: int,
    freezes_held: int,
    choice: SegmentChoice | None,
) -> Explanation:
    return Explanation(
        streak=change,
        missed_days=missed_days,
        base_xp_amount=base_xp_amount,
        curve_day_index=curve_day_index,
        curve_multiplier=_format_multiplier(curve_multiplier),
        model_multiplier=_format_multiplier(model_multiplier),
        boost_label=boost_label,
        boost_multiplier=_format_multiplier(boost_multiplier),
        additive_bonus_xp=additive_bonus_xp,
        season_id=season_id,
        excused_days=excused_days,
        freezes_used=freezes_used,
        freezes_held=freezes_held,
        chosen_by=choice,
    )


def _format_multiplier(scaled: int) -> str:
    return document.format_scaled(scaled, digits=4)


def make_receipt_id(user_id: UserId, day: datetime.date) -> str:
    """Return the name of the claim of `day`: the same for every retry, on every server.

    A version 8 UUID (RFC 9562) that begins with the day, so that the receipts of a day lie beside
    each other in the index on them: 48 bits of day, 12 empty, 62 of user.
    """
    days = day.toordinal() - _EPOCH_DAY + (1 << 32)
    value = (days << 80) | (8 << 76) | (2 << 62) | user_id
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
