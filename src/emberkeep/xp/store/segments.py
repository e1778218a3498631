"""Segments, their members, and players picked by chance."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp.model import (
    Override,
    PlayerId,
    PolicyKey,
    Segment,
    SegmentKey,
    SegmentMember,
    SegmentWish,
    UserId,
)
from emberkeep.xp.store.statements import SQL


class MemberStep(msgspec.Struct, frozen=True):
    """What a batch did about one player: nothing where `is_known` or `is_changed` is false."""

    player_id: PlayerId
    is_known: bool
    is_changed: bool


class PlayerSpan(msgspec.Struct, frozen=True):
    """How many players there are, and between which ids, both included."""

    players: int
    first_user_id: int
    last_user_id: int


async def list_segments(
    conn: Connection, *, segment_key: SegmentKey | None = None
) -> list[Segment]:
    """Return one segment, or all, by key."""
    cursor = await conn.execute(SQL["list_segments"], {"segment_key": segment_key})
    return [
        Segment(
            segment_key=key,
            display_name=display_name,
            description=description,
            rule=rule,
            revision=revision,
            created_at=created_at,
            created_by=created_by,
            updated_at=updated_at,
            updated_by=updated_by,
        )
        for (
            key,
            display_name,
            description,
            rule,
            revision,
            created_at,
            created_by,
            updated_at,
            updated_by,
        ) in await cursor.fetchall()
    ]


async def lock_segment(conn: Connection, *, segment_key: SegmentKey) -> int | None:
    """Lock the segment for the rest of the transaction; return its revision, None if there is none."""
    cursor = await conn.execute(SQL["lock_segment"], {"segment_key": segment_key})
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def insert_segment(
    conn: Connection, *, wish: SegmentWish, actor: str, now: datetime.datetime
) -> bool:
    """Create a segment; False where there is one of this key."""
    cursor = await conn.execute(SQL["insert_segment"], _to_parameters(wish, actor, now))
    return await cursor.fetchone() is not None


async def update_segment(
    conn: Connection, *, wish: SegmentWish, actor: str, now: datetime.datetime
) -> None:
    """Write over a segment, which must be locked."""
    await conn.execute(SQL["update_segment"], _to_parameters(wish, actor, now))


def _to_parameters(wish: SegmentWish, actor: str, now: datetime.datetime) -> dict[str, object]:
    return {
        "segment_key": wish.segment_key,
        "display_name": wish.display_name,
        "description": wish.description,
        "rule": wish.rule,
        "actor": actor,
        "now": now,
    }


async def delete_segment(conn: Connection, *, segment_key: SegmentKey) -> None:
    """Take away a segment, which must be locked, and its members."""
    await conn.execute(SQL["delete_segment"], {"segment_key": segment_key})


async def list_segment_policies(conn: Connection, *, segment_key: SegmentKey) -> list[PolicyKey]:
    """Return the policies that have an override for the segment."""
    cursor = await conn.execute(SQL["list_segment_policies"], {"segment_key": segment_key})
    return [PolicyKey(key) for (key,) in await cursor.fetchall()]


async def list_segment_overrides(conn: Connection) -> dict[PolicyKey, list[Override]]:
    """Return which version the players of each segment get, by policy, the first to ask first."""
    cursor = await conn.execute(SQL["list_segment_overrides"])
    found: dict[PolicyKey, list[Override]] = {}
    for policy_key, segment_key, policy_version, priority in await cursor.fetchall():
        override = Override(
            segment_key=segment_key, policy_version=policy_version, priority=priority
        )
        found.setdefault(policy_key, []).append(override)
    return found


async def update_override_priorities(
    conn: Connection, *, policy_key: PolicyKey, priorities: Mapping[SegmentKey, int]
) -> None:
    """Say which overrides of one policy, which must be locked, are asked first."""
    await conn.execute(
        SQL["update_override_priorities"],
        {
            "policy_key": policy_key,
            "segment_keys": list(priorities),
            "priorities": list(priorities.values()),
        },
    )


async def insert_members(
    conn: Connection,
    *,
    segment_key: SegmentKey,
    player_ids: Sequence[PlayerId],
    actor: str,
    now: datetime.datetime,
) -> list[MemberStep]:
    """Put players into a segment, which must be locked."""
    cursor = await conn.execute(
        SQL["insert_members"],
        {
            "segment_key": segment_key,
            "player_ids": list(player_ids),
            "actor": actor,
            "now": now,
        },
    )
    return [MemberStep(*row) for row in await cursor.fetchall()]


async def delete_members(
    conn: Connection, *, segment_key: SegmentKey, player_ids: Sequence[PlayerId]
) -> list[MemberStep]:
    """Take players out of a segment, which must be locked."""
    cursor = await conn.execute(
        SQL["delete_members"], {"segment_key": segment_key, "player_ids": list(player_ids)}
    )
    return [MemberStep(*row) for row in await cursor.fetchall()]


async def list_segment_members(
    conn: Connection, *, segment_key: SegmentKey, after: PlayerId | None, max_rows: int
) -> list[SegmentMember]:
    """Return those who were put into a segment, the longest known first, behind `after`."""
    cursor = await conn.execute(
        SQL["list_segment_members"],
        {"segment_key": segment_key, "after": after, "max_rows": max_rows},
    )
    return [
        SegmentMember(player_id=player_id, added_at=added_at, added_by=added_by)
        for player_id, added_at, added_by in await cursor.fetchall()
    ]


async def count_players(conn: Connection) -> PlayerSpan | None:
    """Return how many players there are, and between which ids; None where there are none."""
    row = await (await conn.execute(SQL["count_players"])).fetchone()
    assert row is not None, "an aggregate has one row"
    return PlayerSpan(*row) if row[0] else None


async def list_first_players(conn: Connection, *, max_rows: int) -> list[PlayerId]:
    """Return players, the longest known first."""
    cursor = await conn.execute(SQL["list_first_players"], {"max_rows": max_rows})
    return [PlayerId(player_id) for (player_id,) in await cursor.fetchall()]


async def list_players_by_user(conn: Connection, *, user_ids: Sequence[UserId]) -> list[PlayerId]:
    """Return those of these players that exist."""
    cursor = await conn.execute(SQL["list_players_by_user"], {"user_ids": list(user_ids)})
    return [PlayerId(player_id) for (player_id,) in await cursor.fetchall()]
