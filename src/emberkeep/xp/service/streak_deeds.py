"""Deeds on streaks: locked, written, counted and told of, as one part of the caller's transaction.

A deed locks the streak, as a claim does, and adds to its number of actions: a claim that was decided
before it is refused as stale, and decided again.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from emberkeep.base.db import Connection
from emberkeep.events import service as events
from emberkeep.events.model import Append
from emberkeep.xp import store
from emberkeep.xp.model import (
    PlayerId,
    PlayerState,
    PlayerUnknown,
    StreakAction,
    StreakActionKind,
    StreakDeed,
    StreakFigures,
    StreakState,
)
from emberkeep.xp.rules.streak_action import apply_deed, derive_id
from emberkeep.xp.service.claims import stream_of

EVENT_TYPES: Final[Mapping[StreakActionKind, str]] = {
    StreakActionKind.FREEZES_GRANTED: "StreakFreezesGranted",
    StreakActionKind.PAUSED: "StreakPaused",
    StreakActionKind.RESUMED: "StreakResumed",
    StreakActionKind.REPAIRED: "StreakRepaired",
    StreakActionKind.DAYS_SKIPPED: "StreakDaysSkipped",
    StreakActionKind.DAYS_RESTORED: "StreakDaysRestored",
}
"""The type of the event that tells of each kind of deed."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is done, by whom and when; `correlation_id` is the same for every retry."""

    correlation_id: uuid.UUID
    actor: str
    now: datetime.datetime
    reason: str = ""


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What an event says of a deed: the action, and the streak behind it."""

    player_id: PlayerId
    action: StreakAction
    streak: StreakFigures


async def lock_streak(conn: Connection, player_id: PlayerId) -> PlayerState:
    """Return the player, whose streak nobody else changes before this transaction ends.

    :raises PlayerUnknown: when there is none of this id
    """
    if await store.lock_streak(conn, player_id=player_id) is not None:
        players, _ = await store.read_player_states(conn, player_ids=[player_id])
        if players:
            return players[0]
    raise PlayerUnknown("no player has this id")


async def write_deeds(
    conn: Connection, player: PlayerState, deeds: Sequence[StreakDeed], *, cause: Cause
) -> list[StreakAction]:
    """Do `deeds` to the streak of `player`, one after the other; return them as they are kept.

    :param conn: in a transaction
    :param player: as `lock_streak` returned it
    :raises StreamDeleted: when the player's stream was deleted
    """
    state = player.streak
    done: list[StreakAction] = []
    told: list[_Told] = []
    for deed in deeds:
        action = await store.insert_streak_action(
            conn,
            user_id=player.user_id,
            deed=deed,
            after_reward_day=state.last_reward_day,
            reason=cause.reason,
            actor=cause.actor,
            correlation_id=derive_id(cause.correlation_id, len(done)),
            now=cause.now,
        )
        state = apply_deed(state, deed)
        done.append(action)
        told.append(_Told(player_id=player.player_id, action=action, streak=_show_streak(state)))
    await store.update_streak(
        conn, user_id=player.user_id, state=state, actions=len(done), now=cause.now
    )
    await events.append_to_streams(
        conn, appends=[_make_append(player.player_id, told, cause)], now=cause.now
    )
    return done


def _make_append(player_id: PlayerId, told: Sequence[_Told], cause: Cause) -> Append:
    metadata = {"correlation_id": str(cause.correlation_id), "actor": cause.actor}
    return Append(
        stream_id=stream_of(player_id),
        events=tuple(
            events.make_event(EVENT_TYPES[one.action.kind], one, metadata=metadata) for one in told
        ),
    )


def _show_streak(state: StreakState) -> StreakFigures:
    return StreakFigures(
        current=state.current_streak, longest=state.longest_streak, grace_used=state.grace_used
    )
