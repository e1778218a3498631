"""What the ledger adds up to by day, over HTTP."""

from __future__ import annotations

import datetime
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission
from emberkeep.xp.model import DailyTotals
from emberkeep.xp.service import aggregates

FromDay = Annotated[
    datetime.date, QueryParameter(name="from", description="The first UTC day, `YYYY-MM-DD`.")
]
ToDay = Annotated[
    datetime.date, QueryParameter(name="to", description="The last UTC day, included.")
]


@get(
    "/v1/xp/aggregates/daily",
    opt={"permission": Permission.READ_POLICIES},
    tags=["ledger"],
    summary="What each day added to the ledger",
)
async def list_daily_totals(
    conn: NamedDependency[Connection], from_day: FromDay, to_day: ToDay
) -> DailyTotals:
    """By UTC day of the row, policy and version, reason, and season; at most 366 days. `reconciled`:
    the totals are the ledger's, and the whole ledger, archived rows included, is the sum of all
    balances. Of days before `complete_from` some rows are in archives only.

    Reads the whole ledger: for reports. Refusals: `xp.span_invalid` (422).
    """
    return await aggregates.list_daily_totals(conn, from_day=from_day, to_day=to_day)
