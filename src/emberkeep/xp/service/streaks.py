"""Streaks beside claims: freezes, pauses and repairs, and how a streak stands.

Each is one transaction: the streak is locked, the deed decided by it, and kept with its event. Asked
again with the same correlation id it answers the same, and does nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import msgspec

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.page import Page
from emberkeep.xp import store
from emberkeep.xp.model import (
    CorrelationReused,
    DayRange,
    PauseWish,
    PlayerId,
    PlayerState,
    PlayerUnknown,
    Policy,
    PolicyKey,
    PolicyNotInForce,
    PolicyUnknown,
    RepairWish,
    StreakAction,
    StreakActionKind,
    StreakDeed,
    StreakStanding,
)
from emberkeep.xp.rules import streak_action as rules
from emberkeep.xp.rules import streak_pause as pauses
from emberkeep.xp.rules.catalogue import Catalogue, find_version
from emberkeep.xp.rules.claim import find_anchor_zone
from emberkeep.xp.rules.reward_day import CALENDAR_DAY, find_reward_day
from emberkeep.xp.rules.segment import Facts
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.streak_deeds import Cause, lock_streak, write_deeds

# A pause lasts at most a year, and so does the time until the next.
_PAUSES_MATTER: Final = datetime.timedelta(days=2 * 366)

_Id = Annotated[int, msgspec.Meta(ge=0, le=store.LAST_ID)]


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What decides beside the streak: policies as they stand now, and which of them is meant."""

    catalogue: Catalogue
    policy_key: PolicyKey
    server_zone: str


class _ActionCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    action_id: _Id


async def grant_freezes(
    conn: Connection, *, player_id: PlayerId, amount: int, ground: Ground, cause: Cause
) -> StreakAction:
    """Give the player freezes, as many as there is room for; or take them, as many as are held.

    :raises StreakActionInvalid: when the amount or the reason cannot be accepted
    :raises PlayerUnknown: when there is no such player
    :raises PolicyUnknown, PolicyNotInForce: when there is nothing to decide by
    :raises FreezesOff, FreezesFull, NoFreezesHeld: when nothing can be given, or taken
    """
    rules.check_freezes(amount, cause.reason)

    async def decide(player: PlayerState) -> tuple[StreakDeed, ...]:
        policy = _require_policy(ground, player, at=cause.now)
        return (rules.decide_freezes(player.streak, policy.freezes, amount),)

    return await _do(conn, player_id, StreakActionKind.FREEZES_GRANTED, decide, cause)


async def pause_streak(
    conn: Connection, *, player_id: PlayerId, wish: PauseWish, ground: Ground, cause: Cause
) -> StreakAction:
    """Pause the streak: days of the pause do not count as missed. Claims count as ever.

    :raises StreakActionInvalid: when the days or the reason cannot be accepted
    :raises PlayerUnknown: when there is no such player
    :raises PolicyUnknown, PolicyNotInForce: when there is nothing to decide by
    :raises PauseOff, PauseRunning, PauseCooldown, PauseRefused: when the pause cannot be had
    """
    pauses.check_pause(wish, cause.reason)

    async def decide(player: PlayerState) -> tuple[StreakDeed, ...]:
        policy = _require_policy(ground, player, at=cause.now)
        today = _find_today(ground, player, at=cause.now)
        last_pause, _ = await _read_excused(conn, player, today)
        return (
            pauses.decide_pause(
                player.streak, policy.pause, wish, last_pause=last_pause, today=today
            ),
        )

    return await _do(conn, player_id, StreakActionKind.PAUSED, decide, cause)


async def resume_streak(
    conn: Connection, *, player_id: PlayerId, ground: Ground, cause: Cause
) -> StreakAction:
    """End the pause that runs, or is to come: from today on its days count as missed again.

    :raises StreakActionInvalid: when the reason cannot be accepted
    :raises PlayerUnknown: when there is no such player
    :raises NotPaused: when there is no pause
    """
    rules.raise_invalid(tuple(rules.check_reason(cause.reason, is_needed=False)))

    async def decide(player: PlayerState) -> tuple[StreakDeed, ...]:
        today = _find_today(ground, player, at=cause.now)
        last_pause, skipped = await _read_excused(conn, player, today)
        return pauses.decide_resume(last_pause, skipped=skipped, today=today)

    return await _do(conn, player_id, StreakActionKind.RESUMED, decide, cause)


async def repair_streak(
    conn: Connection, *, player_id: PlayerId, wish: RepairWish, ground: Ground, cause: Cause
) -> StreakAction:
    """Set the streak to what it should be, or let missed days not count, or both.

    :raises StreakActionInvalid: when the wish or the reason cannot be accepted
    :raises PlayerUnknown: when there is no such player
    :raises RepairRefused: when there is no streak, or the days are not those that were missed
    """
    rules.check_repair(wish, cause.reason)

    async def decide(player: PlayerState) -> tuple[StreakDeed, ...]:
        policy = _find_policy(ground, player, at=cause.now)
        today = _find_today(ground, player, at=cause.now)
        model = None if policy is None else policy.streak_model
        return (rules.decide_repair(player.streak, wish, model=model, today=today),)

    return await _do(conn, player_id, StreakActionKind.REPAIRED, decide, cause)


async def read_streak(
    conn: Connection, *, player_id: PlayerId, ground: Ground, now: datetime.datetime
) -> StreakStanding:
    """Return how a player's streak stands.

    :raises PlayerUnknown: when there is no such player
    """
    players, _ = await store.read_player_states(conn, player_ids=[player_id])
    if not players:
        raise PlayerUnknown("no player has this id")
    player = players[0]
    state, policy = player.streak, _find_policy(ground, player, at=now)
    today = _find_today(ground, player, at=now)
    last_pause, _ = await _read_excused(conn, player, today)
    return StreakStanding(
        player_id=player_id,
        current=state.current_streak,
        longest=state.longest_streak,
        grace_used=state.grace_used,
        last_reward_day_id=state.last_reward_day,
        today=today,
        freezes=rules.show_freezes(state, None if policy is None else policy.freezes),
        pause=pauses.show_pause(last_pause, today=today),
    )


async def list_actions(
    conn: Connection, *, player_id: PlayerId, limit: int, after: str | None
) -> Page[StreakAction]:
    """Return a page of what was done to a player's streak beside claims, newest first.

    :raises PlayerUnknown: when there is no such player
    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    start = page.decode_cursor(after, _ActionCursor) or _ActionCursor(store.LAST_ID)
    player = await store.read_player(conn, player_id=player_id)
    if player is None:
        raise PlayerUnknown("no player has this id")
    actions = await store.list_streak_actions(
        conn, user_id=player.user_id, before_id=start.action_id, max_rows=limit + 1
    )
    return page.make_page(
        actions,
        limit=limit,
        find_cursor=lambda action: page.encode_cursor(_ActionCursor(action.action_id)),
    )


async def _do(
    conn: Connection,
    player_id: PlayerId,
    kind: StreakActionKind,
    decide: Callable[[PlayerState], Awaitable[tuple[StreakDeed, ...]]],
    cause: Cause,
) -> StreakAction:
    async def write() -> StreakAction:
        player = await lock_streak(conn, player_id)
        # Behind the lock: whoever came first with this id has committed, or never will.
        before = await store.read_streak_action(conn, correlation_id=cause.correlation_id)
        if before is None:
            deeds = await decide(player)
            return (await write_deeds(conn, player, deeds, cause=cause))[0]
        user_id, action = before
        if (user_id, action.kind) != (player.user_id, kind):
            raise CorrelationReused("this correlation id stands for another action")
        return action

    return await write_atomically(conn, write)


async def _read_excused(
    conn: Connection, player: PlayerState, today: datetime.date
) -> tuple[DayRange | None, tuple[DayRange, ...]]:
    """Return the last pause, and the days that a journey left out."""
    actions = await store.list_excusing_actions(
        conn, user_id=player.user_id, since_day=today - _PAUSES_MATTER
    )
    return (
        pauses.find_last_pause(actions),
        rules.list_excused(actions, StreakActionKind.DAYS_SKIPPED),
    )


def _require_policy(ground: Ground, player: PlayerState, *, at: datetime.datetime) -> Policy:
    version, _ = find_version(
        ground.catalogue,
        policy_key=ground.policy_key,
        facts=Facts(player, player.streak, player.balance, at),
        at=at,
    )
    return version.policy


def _find_policy(ground: Ground, player: PlayerState, *, at: datetime.datetime) -> Policy | None:
    try:
        return _require_policy(ground, player, at=at)
    except (PolicyUnknown, PolicyNotInForce):
        return None


def _find_today(ground: Ground, player: PlayerState, *, at: datetime.datetime) -> datetime.date:
    policy = _find_policy(ground, player, at=at)
    window = CALENDAR_DAY if policy is None else policy.claim_window
    zone = find_anchor_zone(player, window, at=at, server_zone=ground.server_zone)
    return find_reward_day(at=at, time_zone=zone, window=window).day
