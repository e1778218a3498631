"""Ledger rows taken back, once each, by compensating rows. What was claimed stays claimed."""

from __future__ import annotations

import datetime
import uuid

from emberkeep.base.db import Connection
from emberkeep.events import service as events
from emberkeep.events.model import Append
from emberkeep.xp import store
from emberkeep.xp.model import (
    AlreadyReversed,
    BalanceLimit,
    EntryUnknown,
    InsufficientBalance,
    LedgerEntry,
    LevelCurve,
    Reversal,
    ReversalWish,
)
from emberkeep.xp.rules import reversal as rules
from emberkeep.xp.rules.grant import REVERSAL_REASON
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.claims import stream_of
from emberkeep.xp.service.ledger import read_xp
from emberkeep.xp.service.levels import announce_levels


async def reverse_entry(
    conn: Connection,
    *,
    wish: ReversalWish,
    correlation_id: uuid.UUID,
    level_curve: LevelCurve | None,
    actor: str,
    now: datetime.datetime,
) -> Reversal:
    """Take a ledger row back with its event; return the row that does so, and the balance after it.

    The award of a claim stays, and its day is not claimed again. A debit that lowered lifetime XP
    gives it back, and so may reach a level.

    :raises ReversalInvalid: when reason or metadata cannot be written
    :raises PlayerUnknown: when there is no such player
    :raises EntryUnknown: when the player's ledger has no such row
    :raises AlreadyReversed: when it was taken back; nothing was written
    :raises ReversalOfReversal: when it takes another row back itself
    :raises InsufficientBalance: when the player has spent it; nothing was written
    :raises BalanceLimit: when it would take a total beyond 2^53 - 1; nothing was written
    :raises StreamDeleted: when the player's stream was deleted; nothing was written
    """
    rules.check_reversal(wish)

    async def write() -> Reversal:
        original = await _read_original(conn, wish)
        entry = await _insert(conn, wish, original, correlation_id, now)
        standing = await read_xp(conn, player_id=wish.player_id, level_curve=level_curve)
        reversal = Reversal(
            player_id=wish.player_id,
            entry=entry,
            reversed=original,
            balance=standing.balance,
            level=standing.level,
        )
        append = await _make_append(conn, reversal, level_curve, actor)
        await events.append_to_streams(conn, appends=[append], now=now)
        return reversal

    try:
        return await write_atomically(conn, write)
    except (InsufficientBalance, BalanceLimit) as e:
        standing = await read_xp(conn, player_id=wish.player_id)
        raise type(e)(e.message, balance=standing.balance) from e


async def _read_original(conn: Connection, wish: ReversalWish) -> LedgerEntry:
    original = await store.read_entry(conn, player_id=wish.player_id, ledger_id=wish.ledger_id)
    if original is None:
        await read_xp(conn, player_id=wish.player_id)
        archived = await store.read_archived_through(conn, player_id=wish.player_id)
        raise EntryUnknown("the player's ledger has no such row", archived_through=archived)
    reversed_by = await store.find_reversal(conn, ledger_id=wish.ledger_id)
    if reversed_by is not None:
        raise AlreadyReversed("the row was taken back already", reversed_by=reversed_by)
    return original


async def _insert(
    conn: Connection,
    wish: ReversalWish,
    original: LedgerEntry,
    correlation_id: uuid.UUID,
    now: datetime.datetime,
) -> LedgerEntry:
    metadata = rules.make_metadata(original, wish)
    ledger_id, balance_after = await store.insert_reversal(
        conn,
        ledger_id=original.ledger_id,
        reason=REVERSAL_REASON,
        correlation_id=correlation_id,
        metadata=metadata,
        created_at=now,
    )
    return LedgerEntry(
        ledger_id=ledger_id,
        amount=-original.amount,
        reason=REVERSAL_REASON,
        correlation_id=str(correlation_id),
        policy_key=original.policy_key,
        policy_version=original.policy_version,
        season_id=original.season_id,
        metadata=metadata,
        balance_after=balance_after,
        reverses_ledger_id=original.ledger_id,
        created_at=now,
    )


async def _make_append(
    conn: Connection, reversal: Reversal, curve: LevelCurve | None, actor: str
) -> Append:
    metadata = {"correlation_id": reversal.entry.correlation_id, "actor": actor}
    told = events.make_event("XpReversed", reversal, metadata=metadata)
    levels = await announce_levels(
        conn,
        player_id=reversal.player_id,
        curve=curve,
        lifetime_xp=reversal.balance.lifetime,
        metadata=metadata,
    )
    return Append(stream_id=stream_of(reversal.player_id), events=(told, *levels))
