"""Players as XP knows them, and the changes of their time zone."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp.model import PlayerId, PlayerWish, SegmentKey, UserId, ZoneRequest
from emberkeep.xp.store.statements import SQL, decode_object


class PlayerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A player as it lies in the table: the next zone may have become the zone since."""

    user_id: UserId
    player_id: PlayerId
    reward_tz: str
    next_reward_tz: str | None
    next_reward_tz_at: datetime.datetime | None
    segment_key: SegmentKey | None
    attributes: Mapping[str, object]
    created_at: datetime.datetime
    updated_at: datetime.datetime


async def insert_player(
    conn: Connection, *, wish: PlayerWish, now: datetime.datetime
) -> UserId | None:
    """Create the player; None when there is one of this id already."""
    cursor = await conn.execute(
        SQL["insert_player"],
        {
            "player_id": wish.player_id,
            "time_zone": wish.time_zone,
            "segment_key": wish.segment_key or None,
            "attributes": msgspec.json.encode(wish.attributes or {}).decode(),
            "now": now,
        },
    )
    row = await cursor.fetchone()
    return None if row is None else UserId(row[0])


async def read_player(conn: Connection, *, player_id: PlayerId) -> PlayerRow | None:
    """Return the player; None when it is unknown."""
    cursor = await conn.execute(SQL["read_player"], {"player_id": player_id})
    row = await cursor.fetchone()
    return None if row is None else _to_player_row(row)


async def lock_player(conn: Connection, *, player_id: PlayerId) -> PlayerRow | None:
    """Return the player, whom nobody else changes before this transaction ends."""
    cursor = await conn.execute(SQL["lock_player"], {"player_id": player_id})
    row = await cursor.fetchone()
    return None if row is None else _to_player_row(row)


def _to_player_row(row: tuple[Any, ...]) -> PlayerRow:
    (
        user_id,
        player_id,
        reward_tz,
        next_reward_tz,
        next_reward_tz_at,
        segment_key,
        attributes,
        created_at,
        updated_at,
    ) = row
    return PlayerRow(
        user_id=user_id,
        player_id=player_id,
        reward_tz=reward_tz,
        next_reward_tz=next_reward_tz,
        next_reward_tz_at=next_reward_tz_at,
        segment_key=segment_key,
        attributes=decode_object(attributes),
        created_at=created_at,
        updated_at=updated_at,
    )


async def update_player(conn: Connection, *, player: PlayerRow) -> None:
    """Write `player` over what `lock_player` read."""
    await conn.execute(
        SQL["update_player"],
        {
            "user_id": player.user_id,
            "time_zone": player.reward_tz,
            "next_time_zone": player.next_reward_tz,
            "next_time_zone_at": player.next_reward_tz_at,
            "segment_key": player.segment_key,
            "attributes": msgspec.json.encode(player.attributes).decode(),
            "now": player.updated_at,
        },
    )


async def read_last_zone_change(conn: Connection, *, user_id: UserId) -> datetime.datetime | None:
    """Return when the last change that was granted had been asked for."""
    cursor = await conn.execute(SQL["read_last_zone_change"], {"user_id": user_id})
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def count_zone_changes(conn: Connection, *, user_id: UserId, since: datetime.datetime) -> int:
    """Return how many changes were granted that had been asked for since then."""
    cursor = await conn.execute(SQL["count_zone_changes"], {"user_id": user_id, "since": since})
    row = await cursor.fetchone()
    assert row is not None
    return row[0]


async def list_zone_changes(
    conn: Connection,
    *,
    user_id: UserId,
    before_at: datetime.datetime,
    before_id: int,
    max_rows: int,
) -> list[ZoneRequest]:
    """Return the requests before that position, newest first."""
    cursor = await conn.execute(
        SQL["list_zone_changes"],
        {"user_id": user_id, "before_at": before_at, "before_id": before_id, "max_rows": max_rows},
    )
    return [
        ZoneRequest(
            change_id=change_id,
            old_time_zone=old,
            new_time_zone=new,
            granted=is_granted,
            requested_at=requested_at,
            effective_at=effective_at,
            actor=actor,
        )
        for change_id, old, new, is_granted, requested_at, effective_at, actor in (
            await cursor.fetchall()
        )
    ]


async def insert_zone_change(
    conn: Connection,
    *,
    user_id: UserId,
    old_time_zone: str,
    new_time_zone: str,
    effective_at: datetime.datetime | None,
    actor: str,
    now: datetime.datetime,
) -> None:
    """Keep a request for another zone: granted from `effective_at` on, or refused with None."""
    await conn.execute(
        SQL["insert_zone_change"],
        {
            "user_id": user_id,
            "old_time_zone": old_time_zone,
            "new_time_zone": new_time_zone,
            "effective_at": effective_at,
            "actor": actor,
            "now": now,
        },
    )
