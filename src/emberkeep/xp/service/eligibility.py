"""What a claim would come to, now and on the days to come."""

from __future__ import annotations

import datetime
from typing import Final

from emberkeep.base.db import Connection
from emberkeep.xp.model import (
    ClaimStatus,
    CooldownRunning,
    Eligibility,
    LevelFigures,
    PlayerId,
    PolicyKey,
    PolicyNotInForce,
    ProjectedDay,
    Projection,
    Question,
    Receipt,
    StreakFigures,
    WindowClosed,
)
from emberkeep.xp.rules import question as questions
from emberkeep.xp.rules.catalogue import Catalogue
from emberkeep.xp.rules.level import measure_level
from emberkeep.xp.service.trial import Trial, open_trial, read_opening

MAX_DAYS: Final = questions.MAX_DAYS
_SPARE_DAYS: Final = 7


async def check_eligibility(
    conn: Connection,
    *,
    question: Question,
    policy_key: PolicyKey,
    catalogue: Catalogue,
    server_zone: str,
    now: datetime.datetime,
) -> Eligibility:
    """Return what a claim would come to, now or at the instant that is asked about.

    Until then nothing happens: a day that goes by unclaimed counts as missed. `reason` is
    `already_claimed`, `window_closed` or `cooldown` where it would not be paid.

    :param catalogue: as it stands now
    :raises PlayerUnknown: when there is no such player
    :raises PolicyUnknown, PolicyNotInForce: when there is nothing to decide by
    """
    trial = await open_trial(
        conn,
        question=question,
        policy_key=policy_key,
        catalogue=catalogue,
        server_zone=server_zone,
        now=now,
    )
    at = trial.find_moment(question, now=now)
    try:
        receipt = trial.claim(at)
    except WindowClosed as e:
        return _refuse(trial, "window_closed", read_opening(e), at)
    except CooldownRunning as e:
        return _refuse(trial, "cooldown", read_opening(e), at)
    if receipt.status is ClaimStatus.ALREADY_CLAIMED:
        return _refuse(trial, "already_claimed", receipt.next_boundary_at, at)
    return Eligibility(
        player_id=trial.player.player_id,
        at=at,
        eligible=True,
        reason=None,
        reward_day_id=receipt.reward_day_id,
        projected_xp=receipt.xp_awarded,
        streak_preview=receipt.streak,
        next_boundary_at=receipt.next_boundary_at,
        policy_key=policy_key,
        policy_version=receipt.policy_version,
        level=receipt.level,
        notes=trial.list_notes(receipt),
    )


async def project_days(
    conn: Connection,
    *,
    question: Question,
    policy_key: PolicyKey,
    days: int | None,
    catalogue: Catalogue,
    server_zone: str,
    now: datetime.datetime,
) -> Projection:
    """Return what claiming every day from `now` on would pay, each day as early as it can be.

    :param days: at most MAX_DAYS; None: as many as the policy's preview shows
    :param catalogue: as `choose_policy` returns it
    :raises PlayerUnknown: when there is no such player
    :raises PolicyUnknown, PolicyNotInForce: when there is nothing to decide by
    """
    trial = await open_trial(
        conn,
        question=question,
        policy_key=policy_key,
        catalogue=catalogue,
        server_zone=server_zone,
        now=now,
    )
    if days is None:
        days = trial.find_version(now)[0].policy.preview.sample_window_days
    lines = _project(trial, days, now)
    return Projection(
        player_id=find_player_id(question),
        policy_key=policy_key,
        days=lines,
        total_xp=sum(line.xp_awarded for line in lines),
    )


def find_player_id(question: Question) -> PlayerId | None:
    """Return the id of the player who is asked about; None for one who is made up."""
    return question.player_id if question.player is None else None


def find_level(trial: Trial) -> LevelFigures | None:
    """Return the level at which the player stands before any claim."""
    curve = trial.level_curve
    return None if curve is None else measure_level(curve, trial.player.balance.lifetime)


def find_streak(trial: Trial) -> StreakFigures:
    """Return the streak as it stands before any claim."""
    streak = trial.player.streak
    return StreakFigures(
        current=streak.current_streak,
        longest=streak.longest_streak,
        grace_used=streak.grace_used,
    )


def _refuse(
    trial: Trial, reason: str, next_boundary_at: datetime.datetime, at: datetime.datetime
) -> Eligibility:
    """Return that nothing would be paid: streak and figures stay as they are."""
    version, _ = trial.find_version(at)
    return Eligibility(
        player_id=trial.player.player_id,
        at=at,
        eligible=False,
        reason=reason,
        reward_day_id=trial.find_day(at, version).day,
        projected_xp=0,
        streak_preview=find_streak(trial),
        next_boundary_at=next_boundary_at,
        policy_key=version.policy.policy_key,
        policy_version=version.policy_version,
        level=find_level(trial),
        notes=(),
    )


def _project(trial: Trial, days: int, now: datetime.datetime) -> tuple[ProjectedDay, ...]:
    lines: list[ProjectedDay] = []
    at = now
    # A player may be moved from window to window by segments, and find each of them closed.
    horizon = now + datetime.timedelta(days=2 * days + _SPARE_DAYS)
    while len(lines) < days and at <= horizon:
        try:
            receipt = trial.claim(at)
        except (WindowClosed, CooldownRunning) as e:
            at = read_opening(e)
            continue
        except PolicyNotInForce:
            if at == now:
                raise
            break  # The policy ends here, and so does what can be foreseen.
        if receipt.status is ClaimStatus.NEW:
            lines.append(_describe(trial, receipt, at))
        at = receipt.next_boundary_at
    return tuple(lines)


def _describe(trial: Trial, receipt: Receipt, at: datetime.datetime) -> ProjectedDay:
    return ProjectedDay(
        reward_day_id=receipt.reward_day_id,
        claimable_at=at,
        xp_awarded=receipt.xp_awarded,
        streak=receipt.streak,
        policy_version=receipt.policy_version,
        segment=receipt.segment,
        milestones=receipt.milestones,
        level=receipt.level,
        explain=receipt.explain,
        notes=trial.list_notes(receipt),
    )
