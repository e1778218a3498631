"""Which steps in the lives of a policy's versions a publication or a retirement takes. Pure.

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
    PolicyAlreadyPublished,
    PolicyNotPublished,
    PolicyStatus,
    PolicyUnknown,
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
) -> tuple[VersionLife, ...]:
    """Return the lives that change, in the order in which they must be written.

    Publishing an archived version again is a rollback. A publication that still waits for its
    instant is replaced: it was never in force.

    :raises PolicyUnknown: if there is no such version
    :raises PolicyAlreadyPublished: if it is the published one
    """
    target = find_life(lives, policy_version)
    if target.status is PolicyStatus.PUBLISHED:
        raise PolicyAlreadyPublished("this version is published", effective_at=target.effective_at)
    waiting = _find_waiting(lives, now)
    cancelled = () if waiting is None else (_archive(waiting, at=waiting.effective_at),)
    current = _find_in_force(lives, now)
    if current is target:
        # Only a publication that waits had set an end to it; without that, it simply goes on.
        return *cancelled, _prolong(target)
    ended = () if current is None else (_archive(current, at=effective_at),)
    published = msgspec.structs.replace(
        target,
        status=PolicyStatus.PUBLISHED,
        effective_at=effective_at,
        superseded_at=None,
        published_at=now,
    )
    return *cancelled, *ended, published


def retire(
    lives: Sequence[VersionLife], *, policy_version: int, now: datetime.datetime
) -> tuple[VersionLife, ...]:
    """Return the lives that change, in the order in which they must be written.

    Afterwards no version is in force; except that retiring one that still waits for its instant
    takes the publication back, and whatever is in force goes on.

    :raises PolicyUnknown: if there is no such version
    :raises PolicyNotPublished: if it is not the published one
    """
    target = find_life(lives, policy_version)
    if target.status is not PolicyStatus.PUBLISHED:
        raise PolicyNotPublished("this version is not published", status=target.status)
    if target is not _find_waiting(lives, now):
        return (_archive(target, at=now),)
    current = _find_in_force(lives, now)
    cancelled = _archive(target, at=target.effective_at)
    return (cancelled,) if current is None else (cancelled, _prolong(current))


def _find_waiting(lives: Sequence[VersionLife], now: datetime.datetime) -> VersionLife | None:
    for life in lives:
        begins = life.effective_at
        if life.status is PolicyStatus.PUBLISHED and begins is not None and begins > now:
            return life
    return None


def _find_in_force(lives: Sequence[VersionLife], now: datetime.datetime) -> VersionLife | None:
    for life in lives:
        begins, ends = life.effective_at, life.superseded_at
        if begins is not None and begins <= now and (ends is None or now < ends):
            return life
    return None


def _archive(life: VersionLife, *, at: datetime.datetime | None) -> VersionLife:
    return msgspec.structs.replace(life, status=PolicyStatus.ARCHIVED, superseded_at=at)


def _prolong(life: VersionLife) -> VersionLife:
    return msgspec.structs.replace(life, status=PolicyStatus.PUBLISHED, superseded_at=None)
