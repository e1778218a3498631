"""The ledger, the balances that it adds up to, and what a player's past looks like."""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections.abc import Generator, Mapping
from typing import Any, Final

import msgspec
from psycopg import errors as pg_errors

from emberkeep.base.db import Connection
from emberkeep.xp.model import (
    AlreadyReversed,
    Award,
    Balance,
    BalanceLimit,
    GrantWish,
    InsufficientBalance,
    LedgerEntry,
    PlayerId,
    PolicyKey,
    Standing,
    StreakFigures,
    TimelineItem,
    TimelineKind,
    UserId,
)
from emberkeep.xp.store.claims import to_award
from emberkeep.xp.store.statements import SQL, decode_object

# The position before the newest item: a page is what lies before a position, and a comparison with
# a value, unlike one with `or … is null` beside it, is answered by the index.
END_OF_TIME: Final = datetime.datetime.max.replace(tzinfo=datetime.UTC)
LAST_ID: Final = 2**63 - 1
_AFTER_ANY_DAY: Final = "~"


async def read_standing(conn: Connection, *, player_id: PlayerId) -> Standing | None:
    """Return balance and streak of a player; None when it is unknown."""
    cursor = await conn.execute(SQL["read_standing"], {"player_id": player_id})
    row = await cursor.fetchone()
    if row is None:
        return None
    current, lifetime, seasonal, season_id, streak, longest, grace_used, last_day_id = row
    return Standing(
        player_id=player_id,
        balance=Balance(current=current, lifetime=lifetime, seasonal=seasonal, season_id=season_id),
        streak=StreakFigures(current=streak, longest=longest, grace_used=grace_used),
        last_reward_day_id=last_day_id and datetime.date.fromisoformat(last_day_id),
    )


async def insert_entry(
    conn: Connection,
    *,
    wish: GrantWish,
    correlation_id: uuid.UUID,
    policy_key: PolicyKey,
    policy_version: int,
    created_at: datetime.datetime,
) -> tuple[int, int] | None:
    """Write a grant into the ledger; return the row's id and the balance after it.

    None when the player is unknown.

    :raises InsufficientBalance: when a total would fall below 0; the transaction is broken then
    :raises BalanceLimit: when one would pass 2^53 - 1; the transaction is broken then
    """
    parameters = {
        "player_id": wish.player_id,
        "amount": wish.amount,
        "reason": wish.reason,
        "correlation_id": correlation_id,
        "policy_key": policy_key,
        "policy_version": policy_version,
        "season_id": wish.season_id,
        "metadata": msgspec.json.encode(wish.metadata).decode(),
        "created_at": created_at,
    }
    with _refusing_balances():
        cursor = await conn.execute(SQL["insert_entry"], parameters)
    row = await cursor.fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


@contextlib.contextmanager
def _refusing_balances() -> Generator[None]:
    try:
        yield
    except pg_errors.CheckViolation as e:
        match e.diag.constraint_name:
            case "xp_balance_totals_chk":
                raise InsufficientBalance("the debit is larger than the balance") from e
            case "xp_balance_limit_chk":
                raise BalanceLimit("the balance cannot grow that far") from e
            case _:
                raise


async def read_entry(
    conn: Connection, *, player_id: PlayerId, ledger_id: int
) -> LedgerEntry | None:
    """Return a row of the player's ledger, whose balance is locked then; None when there is none."""
    cursor = await conn.execute(SQL["read_entry"], {"player_id": player_id, "ledger_id": ledger_id})
    row = await cursor.fetchone()
    return None if row is None else _to_entry(row)


async def read_archived_through(conn: Connection, *, player_id: PlayerId) -> int | None:
    """Return the last row of the player's that was archived; None when none was."""
    cursor = await conn.execute(SQL["read_archived_through"], {"player_id": player_id})
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def find_reversal(conn: Connection, *, ledger_id: int) -> int | None:
    """Return the row that takes this one back; None when none does."""
    cursor = await conn.execute(SQL["find_reversal"], {"ledger_id": ledger_id})
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def insert_reversal(
    conn: Connection,
    *,
    ledger_id: int,
    reason: str,
    correlation_id: uuid.UUID,
    metadata: Mapping[str, object],
    created_at: datetime.datetime,
) -> tuple[int, int]:
    """Take a row back that `read_entry` has returned; return the new row's id and the balance.

    :raises AlreadyReversed: when it was taken back; the transaction is broken then
    :raises InsufficientBalance: when a total would fall below 0; the transaction is broken then
    :raises BalanceLimit: when one would pass 2^53 - 1; the transaction is broken then
    """
    parameters = {
        "ledger_id": ledger_id,
        "reason": reason,
        "correlation_id": correlation_id,
        "metadata": msgspec.json.encode(metadata).decode(),
        "created_at": created_at,
    }
    try:
        with _refusing_balances():
            cursor = await conn.execute(SQL["insert_reversal"], parameters)
    except pg_errors.UniqueViolation as e:
        if e.diag.constraint_name != "xp_ledger_reverses_uidx":
            raise
        raise AlreadyReversed("the row was taken back already", ledger_id=ledger_id) from e
    row = await cursor.fetchone()
    assert row is not None, "the row was read under the lock of its balance"
    return int(row[0]), int(row[1])


async def list_entries(
    conn: Connection,
    *,
    user_id: UserId,
    before_at: datetime.datetime,
    before_id: int,
    max_rows: int,
) -> list[LedgerEntry]:
    """Return the entries before that position, newest first."""
    cursor = await conn.execute(
        SQL["list_entries"],
        {
            "user_id": user_id,
            "before_at": before_at,
            "before_id": before_id,
            "max_rows": max_rows,
        },
    )
    return [_to_entry(row) for row in await cursor.fetchall()]


def _to_entry(row: tuple[Any, ...]) -> LedgerEntry:
    (
        ledger_id,
        amount,
        reason,
        correlation_id,
        policy_key,
        policy_version,
        season_id,
        metadata,
        balance_after,
        reverses_ledger_id,
        created_at,
    ) = row
    return LedgerEntry(
        ledger_id=ledger_id,
        amount=amount,
        reason=reason,
        correlation_id=correlation_id,
        policy_key=policy_key,
        policy_version=policy_version,
        season_id=season_id,
        metadata=decode_object(metadata),
        balance_after=balance_after,
        reverses_ledger_id=reverses_ledger_id,
        created_at=created_at,
    )


async def list_awards(
    conn: Connection, *, user_id: UserId, before_day: datetime.date | None, max_rows: int
) -> list[Award]:
    """Return the awards before that day, or all, latest day first."""
    cursor = await conn.execute(
        SQL["list_awards"],
        {
            "user_id": user_id,
            "before_day_id": _AFTER_ANY_DAY if before_day is None else before_day.isoformat(),
            "max_rows": max_rows,
        },
    )
    return [to_award(row) for row in await cursor.fetchall()]


async def list_timeline(
    conn: Connection,
    *,
    user_id: UserId,
    before_at: datetime.datetime,
    before_kind: str,
    before_id: int,
    max_rows: int,
) -> list[TimelineItem]:
    """Return what happened before that position, newest first."""
    cursor = await conn.execute(
        SQL["list_timeline"],
        {
            "user_id": user_id,
            "before_at": before_at,
            "before_kind": before_kind,
            "before_id": before_id,
            "max_rows": max_rows,
        },
    )
    return [
        TimelineItem(at=at, kind=TimelineKind(kind), item_id=item_id, detail=decode_object(detail))
        for at, kind, item_id, detail in await cursor.fetchall()
    ]
