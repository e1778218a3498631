"""Rows on their way into an archive, and out of the tables; and what the database knows of archives."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp.model import (
    Archive,
    ArchivedAward,
    ArchivedEntry,
    ArchiveState,
    Balance,
    Carried,
    CarriedLedger,
    Manifest,
)
from emberkeep.xp.store.statements import SQL

_ROWS_PER_FETCH: Final = 2_000
_ENTRY_COLUMNS: Final = len(msgspec.structs.fields(ArchivedEntry))
_AWARD_COLUMNS: Final = len(msgspec.structs.fields(ArchivedAward)) - 1
_decode_totals = msgspec.json.Decoder(dict[str, int]).decode


class ArchiveRow(NamedTuple):
    """A row to be archived, its award, and what of its player was archived before it."""

    entry: ArchivedEntry
    award: ArchivedAward | None
    ledger_before: CarriedLedger
    awards_before: int


async def stream_archive_rows(
    conn: Connection, *, before: datetime.datetime
) -> AsyncIterator[ArchiveRow]:
    """Yield what can be archived, by player, in the order in which it was written."""
    async with conn.cursor(name="archive_rows") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        await cursor.execute(SQL["stream_archive_rows"], {"before": before})
        async for row in cursor:
            yield _to_archive_row(row)


def _to_archive_row(row: tuple[Any, ...]) -> ArchiveRow:
    entry, rest = row[:_ENTRY_COLUMNS], row[_ENTRY_COLUMNS:]
    award, before = rest[:_AWARD_COLUMNS], rest[_AWARD_COLUMNS:]
    return ArchiveRow(
        entry=_make(ArchivedEntry, entry),
        award=None if award[0] is None else _make(ArchivedAward, (entry[0], *award)),
        ledger_before=to_carried_ledger(before[:-1]),
        awards_before=before[-1],
    )


def _make(kind: type[Any], values: Sequence[Any]) -> Any:
    return kind(**dict(zip(kind.__struct_fields__, values, strict=True)))


def to_carried_ledger(row: Sequence[Any]) -> CarriedLedger:
    """Return what the columns of xp_ledger_carried say; nothing was carried where they are empty."""
    through, rows, current, lifetime, seasonal, season_id, totals = row
    if through is None:
        return CarriedLedger()
    return CarriedLedger(
        through_ledger_id=through,
        rows=rows,
        balance=Balance(current=current, lifetime=lifetime, seasonal=seasonal, season_id=season_id),
        season_totals=_decode_totals(totals),
    )


async def lock_archives(conn: Connection) -> bool:
    """Say whether nobody else archives until this session gives the lock back."""
    row = await (await conn.execute(SQL["lock_archives"])).fetchone()
    return row is not None and bool(row[0])


async def unlock_archives(conn: Connection) -> None:
    """Let others archive."""
    await conn.execute(SQL["unlock_archives"])


async def read_unfinished_archive(conn: Connection) -> Archive | None:
    """Return the archive whose rows may still be in the tables, if there is one."""
    row = await (await conn.execute(SQL["read_unfinished_archive"])).fetchone()
    if row is None:
        return None
    archive_id, before, location, state, manifest_sha256 = row
    return Archive(
        archive_id=archive_id,
        archived_before=before,
        location=location,
        state=ArchiveState(state),
        manifest_sha256=manifest_sha256,
    )


async def insert_archive(
    conn: Connection, *, archive: Archive, actor: str, reason: str, now: datetime.datetime
) -> None:
    """Tell of an archive that is about to be written."""
    await conn.execute(
        SQL["insert_archive"],
        {
            "archive_id": archive.archive_id,
            "before": archive.archived_before,
            "location": archive.location,
            "actor": actor,
            "reason": reason,
            "now": now,
        },
    )


async def forget_archive(conn: Connection, *, archive_id: str) -> None:
    """Forget an archive whose files were never finished."""
    await conn.execute(SQL["forget_archive"], {"archive_id": archive_id})


async def mark_archive_written(
    conn: Connection, *, manifest: Manifest, manifest_sha256: str
) -> None:
    """Tell that the files stand and were read back: from now on rows may be deleted."""
    await conn.execute(
        SQL["mark_archive_written"],
        {
            "archive_id": manifest.archive_id,
            "manifest_sha256": manifest_sha256,
            "players": manifest.players,
            "ledger_rows": manifest.ledger_rows,
            "award_rows": manifest.award_rows,
            "net_xp": manifest.net_xp,
        },
    )


async def mark_archive_deleted(
    conn: Connection, *, archive_id: str, now: datetime.datetime
) -> None:
    """Tell that the rows are gone from the tables."""
    await conn.execute(SQL["mark_archive_deleted"], {"archive_id": archive_id, "now": now})


async def archive_rows(conn: Connection, *, archive_id: str, states: Sequence[Carried]) -> int:
    """Delete what the archive has of these players and keep what it adds up to; return how much.

    Players of whom that was done already, and those who were erased, are passed over.
    """
    given = msgspec.json.encode([_to_state(carried) for carried in states]).decode()
    cursor = await conn.execute(SQL["archive_rows"], {"archive_id": archive_id, "states": given})
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


def _to_state(carried: Carried) -> dict[str, object]:
    ledger, streak = carried.ledger, carried.streak
    state: dict[str, object] = {
        "user_id": carried.user_id,
        "through_ledger_id": ledger.through_ledger_id,
        "ledger_rows": ledger.rows,
        "current_balance": ledger.balance.current,
        "lifetime_xp": ledger.balance.lifetime,
        "seasonal_xp": ledger.balance.seasonal,
        "season_id": ledger.balance.season_id,
        "season_totals": ledger.season_totals,
    }
    if streak is not None:
        state |= {
            "last_reward_day_id": streak.state.last_reward_day,
            "last_claimed_at": streak.claimed_at,
            "award_rows": streak.rows,
            "current_streak": streak.state.current_streak,
            "longest_streak": streak.state.longest_streak,
            "grace_used": streak.state.grace_used,
            "model_state": streak.state.model_state,
        }
    return state
