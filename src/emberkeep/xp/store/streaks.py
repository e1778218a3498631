"""What is done to streaks beside claims."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp.model import (
    PlayerId,
    StreakAction,
    StreakActionKind,
    StreakDeed,
    StreakState,
    UserId,
)
from emberkeep.xp.store.statements import SQL


async def lock_streak(conn: Connection, *, player_id: PlayerId) -> UserId | None:
    """Return the player's id, whose streak nobody else changes before this transaction ends."""
    cursor = await conn.execute(SQL["lock_streak"], {"player_id": player_id})
    row = await cursor.fetchone()
    return None if row is None else UserId(row[0])


async def read_streak_action(
    conn: Connection, *, correlation_id: uuid.UUID
) -> tuple[UserId, StreakAction] | None:
    """Return the action of this cause, and whose it is."""
    cursor = await conn.execute(SQL["read_streak_action"], {"correlation_id": correlation_id})
    row = await cursor.fetchone()
    return None if row is None else (UserId(row[-1]), _to_action(row[:-1]))


async def insert_streak_action(
    conn: Connection,
    *,
    user_id: UserId,
    deed: StreakDeed,
    after_reward_day: datetime.date | None,
    reason: str,
    actor: str,
    correlation_id: uuid.UUID,
    now: datetime.datetime,
) -> StreakAction:
    """Keep what was done behind the claim of `after_reward_day`; return it."""
    cursor = await conn.execute(
        SQL["insert_streak_action"],
        {
            "user_id": user_id,
            "kind": deed.kind.value,
            "after_reward_day_id": after_reward_day and after_reward_day.isoformat(),
            "freezes": deed.freezes,
            "streak_day": deed.streak_day,
            "first_day": deed.first_day,
            "last_day": deed.last_day,
            "reason": reason,
            "actor": actor,
            "correlation_id": correlation_id,
            "now": now,
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    return StreakAction(
        action_id=row[0],
        kind=deed.kind,
        after_reward_day_id=after_reward_day,
        freezes=deed.freezes,
        streak_day=deed.streak_day,
        first_day=deed.first_day,
        last_day=deed.last_day,
        reason=reason,
        actor=actor,
        correlation_id=str(correlation_id),
        created_at=now,
    )


async def update_streak(
    conn: Connection,
    *,
    user_id: UserId,
    state: StreakState,
    actions: int,
    now: datetime.datetime,
) -> None:
    """Write what so many actions made of a streak; the last reward day is for claims to change."""
    await conn.execute(
        SQL["update_streak"],
        {
            "user_id": user_id,
            "current_streak": state.current_streak,
            "longest_streak": state.longest_streak,
            "grace_used": state.grace_used,
            "model_state": msgspec.json.encode(state.model_state).decode(),
            "actions": actions,
            "now": now,
        },
    )


async def list_streak_actions(
    conn: Connection, *, user_id: UserId, before_id: int, max_rows: int
) -> list[StreakAction]:
    """Return the actions before that position, newest first."""
    cursor = await conn.execute(
        SQL["list_streak_actions"],
        {"user_id": user_id, "before_id": before_id, "max_rows": max_rows},
    )
    return [_to_action(row) for row in await cursor.fetchall()]


async def list_excusing_actions(
    conn: Connection, *, user_id: UserId, since_day: datetime.date
) -> list[StreakAction]:
    """Return what excuses days from `since_day` on, or takes that back, in order."""
    cursor = await conn.execute(
        SQL["list_excusing_actions"], {"user_id": user_id, "since_day": since_day}
    )
    return [_to_action(row) for row in await cursor.fetchall()]


def _to_action(row: Sequence[Any]) -> StreakAction:
    (
        action_id,
        kind,
        after_reward_day_id,
        freezes,
        streak_day,
        first_day,
        last_day,
        reason,
        actor,
        correlation_id,
        created_at,
    ) = row
    return StreakAction(
        action_id=action_id,
        kind=StreakActionKind(kind),
        after_reward_day_id=(
            None
            if after_reward_day_id is None
            else datetime.date.fromisoformat(after_reward_day_id)
        ),
        freezes=freezes,
        streak_day=streak_day,
        first_day=first_day,
        last_day=last_day,
        reason=reason,
        actor=actor,
        correlation_id=correlation_id,
        created_at=created_at,
    )
