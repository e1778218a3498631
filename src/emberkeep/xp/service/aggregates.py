"""Daily totals of the ledger, reconciled: with the ledger they are of, and that with the balances."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

from emberkeep.base import clock, db
from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.xp import gateway, store
from emberkeep.xp.model import DailyTotal, DailyTotals, Reconciliation, SpanInvalid

MOST_DAYS: Final = 366
"""A span as long as that is added up at once."""


async def list_daily_totals(
    conn: Connection, *, from_day: datetime.date, to_day: datetime.date
) -> DailyTotals:
    """Return what the UTC days from `from_day` to `to_day`, both included, added to the ledger.

    Reads the whole ledger, at one instant.

    :param conn: in autocommit mode
    :raises SpanInvalid: when the span ends before it begins, or is too long
    """
    _check_span(from_day, to_day)
    from_at = datetime.datetime.combine(from_day, datetime.time(), clock.UTC)
    to_at = datetime.datetime.combine(to_day, datetime.time(), clock.UTC) + datetime.timedelta(1)
    async with db.snapshot(conn):
        items = await store.list_daily_totals(conn, from_at=from_at, to_at=to_at)
        sums = await store.read_ledger_sums(conn, from_at=from_at, to_at=to_at)
    reconciliation = Reconciliation(
        span_rows=sum(item.rows for item in items),
        span_net=sum(item.net for item in items),
        ledger_span_rows=sums.span_rows,
        ledger_span_net=sums.span_net,
        ledger_net=sums.ledger_net,
        archived_net=sums.archived_net,
        balances_net=sums.balances_net,
    )
    return DailyTotals(
        from_day=from_day,
        to_day=to_day,
        complete_from=sums.archived_before and sums.archived_before.date(),
        items=tuple(items),
        reconciled=reconciliation.is_reconciled,
        reconciliation=reconciliation,
    )


def _check_span(from_day: datetime.date, to_day: datetime.date) -> None:
    if to_day < from_day:
        error = FieldError("to", "must not lie before `from`")
        raise SpanInvalid("the span ends before it begins", (error,))
    if (to_day - from_day).days >= MOST_DAYS or to_day == datetime.date.max:
        error = FieldError("to", f"must lie within {MOST_DAYS} days of `from`")
        raise SpanInvalid("the span is too long", (error,))


def make_parquet(totals: Sequence[DailyTotal]) -> bytes:
    """Return daily totals as a Parquet file."""
    return gateway.make_daily_file(totals)
