"""The ledger: grants and corrections, and what a player's past adds up to."""

from __future__ import annotations

import datetime
import uuid
from typing import Annotated, Final

import msgspec

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.base.page import Page
from emberkeep.events import service as events
from emberkeep.events.model import Append
from emberkeep.xp import store
from emberkeep.xp.model import (
    Award,
    BalanceLimit,
    Grant,
    GrantInvalid,
    GrantWish,
    InsufficientBalance,
    LedgerEntry,
    LevelCurve,
    PlayerId,
    PlayerUnknown,
    PolicyKey,
    PolicyVersion,
    Standing,
    TimelineItem,
    TimelineKind,
    UserId,
)
from emberkeep.xp.rules import grant as rules
from emberkeep.xp.rules.level import measure_level
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.claims import stream_of
from emberkeep.xp.service.levels import announce_levels

NO_POLICY: Final = (PolicyKey("none"), 0)
"""What a ledger row names where no policy was in force."""

_Id = Annotated[int, msgspec.Meta(ge=0, le=store.LAST_ID)]
_Instant = Annotated[datetime.datetime, msgspec.Meta(tz=True)]


class _EntryCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    at: _Instant
    ledger_id: _Id


class _AwardCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    reward_day: datetime.date


class _TimelineCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    at: _Instant
    kind: TimelineKind
    item_id: _Id


async def grant(
    conn: Connection,
    *,
    wish: GrantWish,
    correlation_id: uuid.UUID,
    version: PolicyVersion | None,
    level_curve: LevelCurve | None,
    actor: str,
    now: datetime.datetime,
) -> Grant:
    """Write a grant, or a debit, with its events; return it, and balance and level after it.

    :param version: of the default policy, in force at `now`; None where none is
    :param level_curve: of the default policy, if it has one
    :raises GrantInvalid: when the wish cannot be written, or names a season that is not there
    :raises PlayerUnknown: when there is no such player
    :raises InsufficientBalance: when it would take a total below 0; nothing was written
    :raises BalanceLimit: when it would take a total beyond 2^53 - 1; nothing was written
    :raises StreamDeleted: when the player's stream was deleted; nothing was written
    """
    rules.check_grant(wish)

    async def write() -> Grant:
        await _check_season(conn, wish)
        entry = await _insert(conn, wish, correlation_id, version, now)
        standing = await read_xp(conn, player_id=wish.player_id, level_curve=level_curve)
        granted = Grant(
            player_id=wish.player_id, entry=entry, balance=standing.balance, level=standing.level
        )
        append = await _make_append(conn, granted, level_curve, actor)
        await events.append_to_streams(conn, appends=[append], now=now)
        return granted

    try:
        return await write_atomically(conn, write)
    except (InsufficientBalance, BalanceLimit) as e:
        standing = await read_xp(conn, player_id=wish.player_id)
        raise type(e)(e.message, balance=standing.balance) from e


async def _check_season(conn: Connection, wish: GrantWish) -> None:
    if wish.season_id is None:
        return
    if not await store.hold_season(conn, season_id=wish.season_id):
        error = FieldError("season_id", "no season has this name")
        raise GrantInvalid("the grant names a season that is not there", (error,))


async def _insert(
    conn: Connection,
    wish: GrantWish,
    correlation_id: uuid.UUID,
    version: PolicyVersion | None,
    now: datetime.datetime,
) -> LedgerEntry:
    policy_key, policy_version = (
        NO_POLICY if version is None else (version.policy.policy_key, version.policy_version)
    )
    written = await store.insert_entry(
        conn,
        wish=wish,
        correlation_id=correlation_id,
        policy_key=policy_key,
        policy_version=policy_version,
        created_at=now,
    )
    if written is None:
        raise PlayerUnknown("no player has this id")
    ledger_id, balance_after = written
    return LedgerEntry(
        ledger_id=ledger_id,
        amount=wish.amount,
        reason=wish.reason,
        correlation_id=str(correlation_id),
        policy_key=policy_key,
        policy_version=policy_version,
        season_id=wish.season_id,
        metadata=wish.metadata,
        balance_after=balance_after,
        created_at=now,
    )


async def _make_append(
    conn: Connection, granted: Grant, curve: LevelCurve | None, actor: str
) -> Append:
    metadata = {"correlation_id": granted.entry.correlation_id, "actor": actor}
    told = events.make_event("XpGranted", granted, metadata=metadata)
    levels = await announce_levels(
        conn,
        player_id=granted.player_id,
        curve=curve,
        lifetime_xp=granted.balance.lifetime,
        metadata=metadata,
    )
    return Append(stream_id=stream_of(granted.player_id), events=(told, *levels))


async def read_xp(
    conn: Connection, *, player_id: PlayerId, level_curve: LevelCurve | None = None
) -> Standing:
    """Return balance, level and streak of a player; no level where there is no curve.

    :raises PlayerUnknown: when there is no such player
    """
    standing = await store.read_standing(conn, player_id=player_id)
    if standing is None:
        raise PlayerUnknown("no player has this id")
    if level_curve is None:
        return standing
    level = measure_level(level_curve, standing.balance.lifetime)
    return msgspec.structs.replace(standing, level=level)


async def list_entries(
    conn: Connection, *, player_id: PlayerId, limit: int, after: str | None
) -> Page[LedgerEntry]:
    """Return a page of a player's ledger, newest first.

    :raises PlayerUnknown: when there is no such player
    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    start = page.decode_cursor(after, _EntryCursor) or _EntryCursor(
        store.END_OF_TIME, store.LAST_ID
    )
    entries = await store.list_entries(
        conn,
        user_id=await _find_user(conn, player_id),
        before_at=start.at,
        before_id=start.ledger_id,
        max_rows=limit + 1,
    )
    return page.make_page(
        entries,
        limit=limit,
        find_cursor=lambda e: page.encode_cursor(_EntryCursor(e.created_at, e.ledger_id)),
    )


async def list_awards(
    conn: Connection, *, player_id: PlayerId, limit: int, after: str | None
) -> Page[Award]:
    """Return a page of a player's awards, latest reward day first.

    :raises PlayerUnknown: when there is no such player
    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    start = page.decode_cursor(after, _AwardCursor)
    awards = await store.list_awards(
        conn,
        user_id=await _find_user(conn, player_id),
        before_day=None if start is None else start.reward_day,
        max_rows=limit + 1,
    )
    return page.make_page(
        awards,
        limit=limit,
        find_cursor=lambda award: page.encode_cursor(_AwardCursor(award.reward_day)),
    )


async def list_timeline(
    conn: Connection, *, player_id: PlayerId, limit: int, after: str | None
) -> Page[TimelineItem]:
    """Return a page of what happened to a player in XP, newest first.

    :raises PlayerUnknown: when there is no such player
    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    start = page.decode_cursor(after, _TimelineCursor) or _TimelineCursor(
        store.END_OF_TIME, TimelineKind.TIME_ZONE_CHANGE, store.LAST_ID
    )
    items = await store.list_timeline(
        conn,
        user_id=await _find_user(conn, player_id),
        before_at=start.at,
        before_kind=start.kind,
        before_id=start.item_id,
        max_rows=limit + 1,
    )
    return page.make_page(
        items,
        limit=limit,
        find_cursor=lambda i: page.encode_cursor(_TimelineCursor(i.at, i.kind, i.item_id)),
    )


async def _find_user(conn: Connection, player_id: PlayerId) -> UserId:
    player = await store.read_player(conn, player_id=player_id)
    if player is None:
        raise PlayerUnknown("no player has this id")
    return player.user_id
