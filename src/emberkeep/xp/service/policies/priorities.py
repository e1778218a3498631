"""Which of a policy's overrides are asked first."""

from __future__ import annotations

from collections.abc import Mapping

from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.xp import store
from emberkeep.xp.model import PolicyKey, SegmentKey, SegmentOverrideInvalid

Priorities = Mapping[SegmentKey, int]
"""Which segments are asked first: those with the highest numbers."""


def check_priorities(overrides: Mapping[SegmentKey, int] | None, wish: Priorities | None) -> None:
    """Let pass priorities that come with the overrides they are of.

    :raises SegmentOverrideInvalid: when one is wished for a segment that has no override
    """
    errors = [
        FieldError(f"priorities.{segment}", "has no override")
        for segment in wish or {}
        if segment not in (overrides or {})
    ]
    if errors:
        raise SegmentOverrideInvalid("the segment overrides cannot be used", errors)


async def read_priorities(conn: Connection, *, policy_key: PolicyKey) -> dict[SegmentKey, int]:
    """Return the priority of each override of the policy."""
    overrides = (await store.list_segment_overrides(conn)).get(policy_key, ())
    return {override.segment_key: override.priority for override in overrides}


def choose_priorities(
    overrides: Mapping[SegmentKey, int],
    wish: Priorities | None,
    *,
    before: Mapping[SegmentKey, int],
) -> dict[SegmentKey, int]:
    """Return the priority of each of `overrides`: as wished, or as before, or 0."""
    wish = wish or {}
    return {segment: wish.get(segment, before.get(segment, 0)) for segment in overrides}
