"""Which steps in the lives of a policy's versions an operator's wish comes to. Pure.

A version is in force in [effective_at, superseded_at). The intervals of a key never overlap, which
is why a step nearly always moves two versions: where one begins, the other ends.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

import msgspec

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    EffectiveAtInvalid,
    LifeStep,
    PolicyAlreadyPublished,
    PolicyNotPublished,
    PolicyNotScheduled,
    PolicyStatus,
    PolicyStep,
    PolicyUnknown,
    RollbackImpossible,
    VersionLife,
)

_LONGEST_WAIT: Final = datetime.timedelta(days=3650)


def check_effective_at(effective_at: datetime.datetime, *, now: datetime.datetime) -> None:
    """Let an instant pass at which a publication may take effect.

    :raises EffectiveAtInvalid: if it lies in the past, or further ahead than anybody plans
    """
    if now <= effective_at <= now + _LONGEST_WAIT:
        return
    message = "lies in the past" if effective_at < now else "is more than ten years ahead"
    raise EffectiveAtInvalid(
        f"the publication {message}", (FieldError("effective_at", message),), now=now
    )


def find_life(lives: Sequence[VersionLife], policy_version: int) -> VersionLife:
    """Return the life of that version.

    :raises PolicyUnknown: if there is none
    """
    for life in lives:
        if life.policy_version == policy_version:
            return life
    raise PolicyUnknown("this policy has no such version", policy_version=policy_version)


def publish(
    lives: Sequence[VersionLife],
    *,
    policy_version: int,
    effective_at: datetime.datetime,
    now: datetime.datetime,
) -> tuple[LifeStep, ...]:
    """Return the steps to take, in the order in which they must be written.

    A publication that still waits for its instant is replaced: it was never in force.

    :raises PolicyUnknown: if there is no such version
    :raises PolicyAlreadyPublished: if it is the published one, or the one that holds until then
    """
    target = find_life(lives, policy_version)
    if target.status is PolicyStatus.PUBLISHED:
        raise PolicyAlreadyPublished("this version is published", effective_at=target.effective_at)
    waiting, current = find_waiting(lives, now), find_in_force(lives, now)
    cancelled = () if waiting is None else (_cancel(waiting),)
    if current is target:
        if effective_at > now:
            raise PolicyAlreadyPublished(
                "this version is in force until the one that waits takes over: it can follow that"
                " one once it is in force, or go on now",
                effective_at=target.effective_at,
                superseded_at=target.superseded_at,
            )
        # Only a publication that waits had set an end to it; without that, it simply goes on.
        return *cancelled, _resume(target)
    ended = () if current is None else (_end(current, PolicyStep.SUPERSEDED, at=effective_at),)
    published = msgspec.structs.replace(
        target,
        status=PolicyStatus.PUBLISHED,
        effective_at=effective_at,
        superseded_at=None,
        published_at=now,
    )
    return *cancelled, *ended, LifeStep(PolicyStep.PUBLISHED, published)


def roll_back(
    lives: Sequence[VersionLife],
    *,
    to_version: int | None,
    effective_at: datetime.datetime,
    now: datetime.datetime,
) -> tuple[LifeStep, ...]:
    """Return the steps that publish an archived version again.

    :param to_version: None for the last one that was in force before the present one
    :raises PolicyUnknown: if there is no such version
    :raises PolicyAlreadyPublished: if it is the published one
    :raises RollbackImpossible: if it is a draft, or nothing was in force before
    """
    target = _find_previous(lives, now) if to_version is None else find_life(lives, to_version)
    if target.status is PolicyStatus.DRAFT:
        raise RollbackImpossible(
            "a draft was never in force: publish it instead", policy_version=target.policy_version
        )
    steps = publish(lives, policy_version=target.policy_version, effective_at=effective_at, now=now)
    return tuple(
        LifeStep(PolicyStep.ROLLED_BACK, step.life) if step.step is PolicyStep.PUBLISHED else step
        for step in steps
    )


def retire(
    lives: Sequence[VersionLife], *, policy_version: int, now: datetime.datetime
) -> tuple[LifeStep, ...]:
    """Return the steps to take, in the order in which they must be written.

    Afterwards no version is in force; except that retiring one that still waits for its instant
    takes the publication back, and whatever is in force goes on.

    :raises PolicyUnknown: if there is no such version
    :raises PolicyNotPublished: if it is not the published one
    """
    target = find_life(lives, policy_version)
    if target.status is not PolicyStatus.PUBLISHED:
        raise PolicyNotPublished("this version is not published", status=target.status)
    if target is not find_waiting(lives, now):
        return (_end(target, PolicyStep.RETIRED, at=now),)
    current = find_in_force(lives, now)
    cancelled = _cancel(target)
    return (cancelled,) if current is None else (cancelled, _resume(current))


def cancel(
    lives: Sequence[VersionLife], *, policy_version: int, now: datetime.datetime
) -> tuple[LifeStep, ...]:
    """Return the steps that take back a publication before its instant.

    :raises PolicyUnknown: if there is no such version
    :raises PolicyNotScheduled: if it does not wait for an instant
    """
    target = find_life(lives, policy_version)
    if target is not find_waiting(lives, now):
        raise PolicyNotScheduled(
            "this version does not wait for an instant",
            status=target.status,
            effective_at=target.effective_at,
        )
    return retire(lives, policy_version=policy_version, now=now)


def find_waiting(lives: Sequence[VersionLife], now: datetime.datetime) -> VersionLife | None:
    """Return the life of the version that is published for an instant to come, if one is."""
    for life in lives:
        begins = life.effective_at
        if life.status is PolicyStatus.PUBLISHED and begins is not None and begins > now:
            return life
    return None


def find_in_force(lives: Sequence[VersionLife], now: datetime.datetime) -> VersionLife | None:
    """Return the life of the version that is in force, if one is."""
    for life in lives:
        begins, ends = life.effective_at, life.superseded_at
        if begins is not None and begins <= now and (ends is None or now < ends):
            return life
    return None


def find_draft(lives: Sequence[VersionLife]) -> VersionLife | None:
    """Return the life of the draft, if there is one."""
    return next((life for life in lives if life.status is PolicyStatus.DRAFT), None)


def _find_previous(lives: Sequence[VersionLife], now: datetime.datetime) -> VersionLife:
    """Return the last version that was in force and is no longer.

    :raises RollbackImpossible: if none ever was
    """
    # A publication that was taken back ends where it begins: it was never in force.
    over = [
        (life.superseded_at, life)
        for life in lives
        if life.effective_at is not None
        and life.superseded_at is not None
        and life.effective_at < life.superseded_at <= now
    ]
    if not over:
        raise RollbackImpossible("no version was in force before the present one")
    return max(over, key=lambda pair: pair[0])[1]


def _end(life: VersionLife, step: PolicyStep, *, at: datetime.datetime | None) -> LifeStep:
    ended = msgspec.structs.replace(life, status=PolicyStatus.ARCHIVED, superseded_at=at)
    return LifeStep(step, ended)


def _cancel(waiting: VersionLife) -> LifeStep:
    return _end(waiting, PolicyStep.CANCELLED, at=waiting.effective_at)


def _resume(life: VersionLife) -> LifeStep:
    resumed = msgspec.structs.replace(life, status=PolicyStatus.PUBLISHED, superseded_at=None)
    return LifeStep(PolicyStep.RESUMED, resumed)
