"""Days that a change of time zone leaves out: excused with the change, and no longer if it is undone."""

from __future__ import annotations

import datetime

from emberkeep.base.db import Connection
from emberkeep.xp import store
from emberkeep.xp.model import (
    DayRange,
    PlayerId,
    PlayerState,
    StreakAction,
    StreakActionKind,
    StreakDeed,
)
from emberkeep.xp.rules.streak_action import list_excused, list_uncovered
from emberkeep.xp.service.streak_deeds import Cause, lock_streak, write_deeds

_ONE_DAY = datetime.timedelta(days=1)


async def excuse_journey(
    conn: Connection,
    player_id: PlayerId,
    *,
    skipped: DayRange | None,
    replaced_at: datetime.datetime | None,
    cause: Cause,
) -> None:
    """Excuse the days that a change of zone, granted now, leaves out; and restore those of another.

    Locks the streak behind the player; nobody takes the two in the other order.

    :param conn: in a transaction
    :param replaced_at: when the change had been asked for whose place this one takes before it held
    """
    if skipped is None and replaced_at is None:
        return
    player = await lock_streak(conn, player_id)
    deeds = [
        *await _list_restored(conn, player, replaced_at, cause.now),
        *_list_skipped(player, skipped),
    ]
    if deeds:
        await write_deeds(conn, player, deeds, cause=cause)


async def _list_restored(
    conn: Connection,
    player: PlayerState,
    replaced_at: datetime.datetime | None,
    now: datetime.datetime,
) -> list[StreakDeed]:
    if replaced_at is None:
        return []
    # A change that does not hold yet left out days of the future, wherever the player may be.
    actions = await store.list_excusing_actions(
        conn, user_id=player.user_id, since_day=now.date() - _ONE_DAY
    )
    paused = list_excused(actions, StreakActionKind.PAUSED)
    return [
        StreakDeed(
            kind=StreakActionKind.DAYS_RESTORED, first_day=part.first_day, last_day=part.last_day
        )
        for span in _list_left_out(actions, replaced_at)
        for part in list_uncovered(span, paused)
    ]


def _list_left_out(actions: list[StreakAction], requested_at: datetime.datetime) -> list[DayRange]:
    """Return the days that the change asked for at `requested_at` left out."""
    return [
        DayRange(action.first_day, action.last_day)
        for action in actions
        if action.kind is StreakActionKind.DAYS_SKIPPED
        and action.created_at == requested_at
        and action.first_day is not None
        and action.last_day is not None
    ]


def _list_skipped(player: PlayerState, skipped: DayRange | None) -> list[StreakDeed]:
    if skipped is None:
        return []
    last = player.streak.last_reward_day
    first_day = skipped.first_day if last is None else max(skipped.first_day, last + _ONE_DAY)
    if first_day > skipped.last_day:
        return []
    return [
        StreakDeed(
            kind=StreakActionKind.DAYS_SKIPPED, first_day=first_day, last_day=skipped.last_day
        )
    ]
