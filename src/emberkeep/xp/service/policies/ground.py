"""What every step in the life of a policy does: lock the policy, and say who took it and why."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from emberkeep.base.db import Connection
from emberkeep.xp import store
from emberkeep.xp.model import LifeStep, Noun, PolicyKey, PolicyStep, PolicyUnknown, VersionLife
from emberkeep.xp.rules import publication, versions

WHOLE_POLICY = 0
"""Stands for the version where a step is about the policy, not about one version of it."""


class Deed(Noun, frozen=True, kw_only=True):
    """Who takes a step, why, and when."""

    actor: str
    reason: str
    now: datetime.datetime


def make_deed(*, actor: str, reason: str, now: datetime.datetime) -> Deed:
    """Return who takes a step, why, and when.

    :raises ReasonInvalid: when the reason cannot be kept
    """
    versions.check_reason(reason)
    return Deed(actor=actor, reason=reason, now=now)


async def lock_policy(conn: Connection, policy_key: PolicyKey) -> list[VersionLife]:
    """Keep others from changing the policy; return the life of every version, oldest first.

    :raises PolicyUnknown: when there is no such policy
    """
    if not await store.lock_policy(conn, policy_key=policy_key):
        raise PolicyUnknown("no policy has this key", policy_key=policy_key)
    return await store.list_lives(conn, policy_key=policy_key)


async def take_steps(
    conn: Connection,
    policy_key: PolicyKey,
    lives: Sequence[VersionLife],
    steps: Sequence[LifeStep],
    deed: Deed,
) -> None:
    """Write the steps that a rule has found for the policy's `lives`, in their order."""
    for step in steps:
        number = step.life.policy_version
        before = publication.find_life(lives, number)
        await store.update_life(conn, policy_key=policy_key, life=step.life)
        # A version that is published again forgets when it was in force before; the audit does not.
        details = {**_describe(step.life), "before": _describe(before)}
        await audit(conn, policy_key, number, step.step, deed, details)


def _describe(life: VersionLife) -> dict[str, object]:
    return {
        "status": life.status,
        "effective_at": life.effective_at,
        "superseded_at": life.superseded_at,
    }


async def audit(
    conn: Connection,
    policy_key: PolicyKey,
    policy_version: int,
    step: PolicyStep,
    deed: Deed,
    details: Mapping[str, object],
) -> None:
    """Keep that a step was taken, and what it changed."""
    await store.insert_audit(
        conn,
        policy_key=policy_key,
        policy_version=policy_version,
        step=step.value,
        actor=deed.actor,
        reason=deed.reason,
        details=details,
        now=deed.now,
    )
