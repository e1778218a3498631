"""What the ledger adds up to by day, and what everything adds up to."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from emberkeep.base.db import Connection
from emberkeep.xp.model import DailyTotal
from emberkeep.xp.store.statements import SQL


class LedgerSums(NamedTuple):
    """Rows and XP of a span, XP of all the ledger, archived, in balances; and the archives' end."""

    span_rows: int
    span_net: int
    ledger_net: int
    archived_net: int
    balances_net: int
    archived_before: datetime.datetime | None


async def list_daily_totals(
    conn: Connection, *, from_at: datetime.datetime, to_at: datetime.datetime
) -> list[DailyTotal]:
    """Return the totals of [from_at, to_at), in order of day and then by name."""
    cursor = await conn.execute(SQL["list_daily_totals"], {"from_at": from_at, "to_at": to_at})
    return [
        DailyTotal(
            day=day,
            policy_key=policy_key,
            policy_version=policy_version,
            reason=reason,
            season_id=season_id,
            rows=rows,
            players=players,
            credits=gained,
            debits=lost,
            net=gained - lost,
        )
        for (
            day,
            policy_key,
            policy_version,
            reason,
            season_id,
            rows,
            players,
            gained,
            lost,
        ) in await cursor.fetchall()
    ]


async def read_ledger_sums(
    conn: Connection, *, from_at: datetime.datetime, to_at: datetime.datetime
) -> LedgerSums:
    """Return the sums past which the totals of [from_at, to_at) are checked."""
    cursor = await conn.execute(SQL["read_ledger_sums"], {"from_at": from_at, "to_at": to_at})
    row = await cursor.fetchone()
    assert row is not None
    return LedgerSums(*row)
