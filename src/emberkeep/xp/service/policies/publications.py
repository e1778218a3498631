"""What is in force: published now or for an instant, cancelled before it, rolled back, retired."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

from emberkeep.base.db import Connection
from emberkeep.xp import store
from emberkeep.xp.model import LifeStep, PolicyKey, PolicyVersion, VersionLife
from emberkeep.xp.rules import policy as documents
from emberkeep.xp.rules import publication
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.policies.drafts import create_version
from emberkeep.xp.service.policies.ground import Deed, lock_policy, make_deed, take_steps
from emberkeep.xp.service.policies.overrides import Overrides, replace_overrides
from emberkeep.xp.service.policies.priorities import Priorities, check_priorities
from emberkeep.xp.service.policies.reads import read_version

FindSteps = Callable[[Sequence[VersionLife]], tuple[LifeStep, ...]]
"""A rule: the steps to take, given the life of every version."""


async def publish_version(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    policy_version: int,
    effective_at: datetime.datetime | None,
    overrides: Overrides | None,
    actor: str,
    now: datetime.datetime,
    priorities: Priorities | None = None,
    reason: str = "",
) -> PolicyVersion:
    """Publish a draft, or an archived version again, from `effective_at` (or now) on.

    Until then its predecessor stays in force. A publication that still waits is replaced.
    `overrides` take the place of the policy's, at once; None leaves those there are.

    :param priorities: of the segments in `overrides`; those it does not name keep theirs
    :raises PolicyUnknown: when there is no such version
    :raises PolicyAlreadyPublished: when it is the published one
    :raises EffectiveAtInvalid: when the instant lies in the past
    :raises SegmentOverrideInvalid: when an override cannot be used
    :raises ReasonInvalid: when the reason cannot be kept
    """
    begins_at = effective_at or now
    publication.check_effective_at(begins_at, now=now)
    check_priorities(overrides, priorities)
    deed = make_deed(actor=actor, reason=reason, now=now)

    async def write() -> None:
        lives = await lock_policy(conn, policy_key)
        steps = publication.publish(
            lives, policy_version=policy_version, effective_at=begins_at, now=now
        )
        await take_steps(conn, policy_key, lives, steps, deed)
        if overrides is not None:
            # By now the version is published, and may be somebody's override itself.
            lives = await store.list_lives(conn, policy_key=policy_key)
            await replace_overrides(conn, policy_key, lives, overrides, priorities, deed)

    await write_atomically(conn, write)
    return await read_version(conn, policy_key=policy_key, policy_version=policy_version)


async def publish_if_unknown(
    conn: Connection, *, document: bytes, max_award_xp: int, actor: str, now: datetime.datetime
) -> PolicyKey:
    """Return the key of `document`, which is published when nothing has this key yet.

    :raises PolicyInvalid: with everything that is wrong with the document
    """
    policy_key = documents.parse_policy(document, max_award_xp=max_award_xp).policy_key
    if await store.list_policy_versions(conn, policy_key=policy_key):
        return policy_key
    version = await create_version(
        conn,
        policy_key=policy_key,
        document=document,
        max_award_xp=max_award_xp,
        actor=actor,
        now=now,
    )
    await publish_version(
        conn,
        policy_key=policy_key,
        policy_version=version.policy_version,
        effective_at=None,
        overrides=None,
        actor=actor,
        now=now,
    )
    return policy_key


async def roll_back_policy(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    to_version: int | None,
    effective_at: datetime.datetime | None,
    actor: str,
    now: datetime.datetime,
    reason: str = "",
) -> PolicyVersion:
    """Publish an archived version again, from `effective_at` (or now) on; return it.

    :param to_version: None for the last one that was in force before the present one
    :raises PolicyUnknown: when there is no such version
    :raises PolicyAlreadyPublished: when it is the published one
    :raises RollbackImpossible: when it is a draft, or nothing was in force before
    :raises EffectiveAtInvalid: when the instant lies in the past
    :raises ReasonInvalid: when the reason cannot be kept
    """
    begins_at = effective_at or now
    publication.check_effective_at(begins_at, now=now)
    deed = make_deed(actor=actor, reason=reason, now=now)
    steps = await _change_lives(
        conn,
        policy_key,
        lambda lives: publication.roll_back(
            lives, to_version=to_version, effective_at=begins_at, now=now
        ),
        deed,
    )
    # The last step is always the one that the others make room for.
    number = steps[-1].life.policy_version
    return await read_version(conn, policy_key=policy_key, policy_version=number)


async def retire_version(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    policy_version: int,
    actor: str,
    now: datetime.datetime,
    reason: str = "",
) -> PolicyVersion:
    """Take the published version out of force, without a successor.

    One that still waits for its instant is taken back, and its predecessor goes on.

    :raises PolicyUnknown: when there is no such version
    :raises PolicyNotPublished: when it is not the published one
    :raises ReasonInvalid: when the reason cannot be kept
    """
    deed = make_deed(actor=actor, reason=reason, now=now)
    await _change_lives(
        conn,
        policy_key,
        lambda lives: publication.retire(lives, policy_version=policy_version, now=now),
        deed,
    )
    return await read_version(conn, policy_key=policy_key, policy_version=policy_version)


async def cancel_version(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    policy_version: int,
    actor: str,
    now: datetime.datetime,
    reason: str = "",
) -> PolicyVersion:
    """Take back a publication before its instant; what is in force goes on.

    :raises PolicyUnknown: when there is no such version
    :raises PolicyNotScheduled: when it does not wait for an instant
    :raises ReasonInvalid: when the reason cannot be kept
    """
    deed = make_deed(actor=actor, reason=reason, now=now)
    await _change_lives(
        conn,
        policy_key,
        lambda lives: publication.cancel(lives, policy_version=policy_version, now=now),
        deed,
    )
    return await read_version(conn, policy_key=policy_key, policy_version=policy_version)


async def _change_lives(
    conn: Connection, policy_key: PolicyKey, find_steps: FindSteps, deed: Deed
) -> tuple[LifeStep, ...]:
    async def write() -> tuple[LifeStep, ...]:
        lives = await lock_policy(conn, policy_key)
        steps = find_steps(lives)
        await take_steps(conn, policy_key, lives, steps, deed)
        return steps

    return await write_atomically(conn, write)
