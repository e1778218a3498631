"""How much a store holds."""

from __future__ import annotations

from emberkeep.base.db import Connection
from emberkeep.events.store.statements import for_schema


async def measure_store(conn: Connection, *, schema: str) -> tuple[int, int, int]:
    """Return how many streams and events there are, and how many bytes they take with indexes."""
    row = await (await conn.execute(for_schema(schema)["measure_store"])).fetchone()
    assert row is not None
    streams, events, size_bytes = row
    return streams, events, size_bytes
