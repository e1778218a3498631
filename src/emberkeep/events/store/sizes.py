"""How much a store holds, and what is under way."""

from __future__ import annotations

import datetime
import math

from emberkeep.base.db import Connection
from emberkeep.events.store.statements import for_schema


async def measure_store(conn: Connection, *, schema: str) -> tuple[int, int, int]:
    """Return how many streams and events there are, and how many bytes they take with indexes."""
    row = await (await conn.execute(for_schema(schema)["measure_store"])).fetchone()
    assert row is not None
    streams, events, size_bytes = row
    return streams, events, size_bytes


async def measure_appends(
    conn: Connection, *, now: datetime.datetime, schema: str
) -> tuple[int, float]:
    """Return how many transactions have appended and not ended, and the age of the oldest in s.

    The age is NaN where the role may not know it.
    """
    row = await (await conn.execute(for_schema(schema)["measure_appends"], {"now": now})).fetchone()
    assert row is not None
    count, oldest_s = row
    return count, math.nan if oldest_s is None else float(oldest_s)
