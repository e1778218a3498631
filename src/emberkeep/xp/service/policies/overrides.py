"""Which version of a policy each segment gets instead of the one in force."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.xp import store
from emberkeep.xp.model import (
    PolicyKey,
    PolicyStatus,
    PolicyStep,
    PolicyUnknown,
    SegmentKey,
    SegmentOverrideInvalid,
    VersionLife,
)
from emberkeep.xp.rules import player as player_rules
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.policies.ground import WHOLE_POLICY, Deed, audit, lock_policy, make_deed
from emberkeep.xp.service.policies.priorities import (
    Priorities,
    check_priorities,
    choose_priorities,
    read_priorities,
)

Overrides = Mapping[SegmentKey, int]
"""Which version each segment gets."""


async def read_overrides(conn: Connection, *, policy_key: PolicyKey) -> dict[SegmentKey, int]:
    """Return which version of the policy each segment gets.

    :raises PolicyUnknown: when there is no such policy
    """
    if not await store.list_lives(conn, policy_key=policy_key):
        raise PolicyUnknown("no policy has this key", policy_key=policy_key)
    return await _list_overrides(conn, policy_key)


async def put_overrides(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    overrides: Overrides,
    actor: str,
    now: datetime.datetime,
    priorities: Priorities | None = None,
    reason: str = "",
) -> dict[SegmentKey, int]:
    """Let `overrides` take the place of the policy's, at once; return them.

    :param priorities: of these segments; those it does not name keep theirs, and new ones have 0
    :raises PolicyUnknown: when there is no such policy
    :raises SegmentOverrideInvalid: when an override cannot be used
    :raises ReasonInvalid: when the reason cannot be kept
    """
    deed = make_deed(actor=actor, reason=reason, now=now)

    async def write() -> None:
        lives = await lock_policy(conn, policy_key)
        await replace_overrides(conn, policy_key, lives, overrides, priorities, deed)

    await write_atomically(conn, write)
    return await read_overrides(conn, policy_key=policy_key)


async def replace_overrides(
    conn: Connection,
    policy_key: PolicyKey,
    lives: Sequence[VersionLife],
    overrides: Overrides,
    priorities: Priorities | None,
    deed: Deed,
) -> None:
    """Write `overrides` in place of those of a policy that is locked.

    :raises SegmentOverrideInvalid: when an override cannot be used
    """
    _check_overrides(lives, overrides)
    check_priorities(overrides, priorities)
    before = await _list_overrides(conn, policy_key)
    ranked = await read_priorities(conn, policy_key=policy_key)
    chosen = choose_priorities(overrides, priorities, before=ranked)
    await store.delete_overrides(conn, policy_key=policy_key)
    await store.insert_overrides(
        conn, policy_key=policy_key, overrides=overrides, actor=deed.actor, now=deed.now
    )
    await store.update_override_priorities(conn, policy_key=policy_key, priorities=chosen)
    details: dict[str, object] = {"segment_overrides": overrides, "before": before}
    if any(chosen.values()) or any(ranked.values()):
        details |= {"priorities": chosen, "priorities_before": ranked}
    await audit(conn, policy_key, WHOLE_POLICY, PolicyStep.OVERRIDDEN, deed, details)


async def _list_overrides(conn: Connection, policy_key: PolicyKey) -> dict[SegmentKey, int]:
    overrides = await store.list_overrides(conn)
    return {segment: version for (key, segment), version in overrides.items() if key == policy_key}


def _check_overrides(lives: Sequence[VersionLife], overrides: Overrides) -> None:
    usable = {life.policy_version for life in lives if life.status is not PolicyStatus.DRAFT}
    errors = [
        FieldError(f"segment_overrides.{segment}", "is not a lower-case slug")
        for segment in overrides
        if not player_rules.is_slug(segment)
    ]
    errors += [
        FieldError(f"segment_overrides.{segment}", f"version {version} was never published")
        for segment, version in overrides.items()
        if version not in usable
    ]
    if errors:
        raise SegmentOverrideInvalid("the segment overrides cannot be used", errors)
