"""States that were folded from events, one a source."""

from __future__ import annotations

import msgspec
from psycopg.rows import kwargs_row

from emberkeep.base.db import Connection
from emberkeep.events.model import Snapshot
from emberkeep.events.store.refusals import refusals
from emberkeep.events.store.statements import for_schema


async def record_snapshot(conn: Connection, *, snapshot: Snapshot, schema: str) -> int:
    """Keep the state unless a newer one is kept; return the version that is kept."""
    with refusals():
        cursor = await conn.execute(
            for_schema(schema)["record_snapshot"],
            {
                "source_id": snapshot.source_id,
                "source_version": snapshot.source_version,
                "source_type": snapshot.source_type,
                "data": msgspec.json.encode(snapshot.data).decode(),
                "metadata": (
                    None
                    if snapshot.metadata is None
                    else msgspec.json.encode(snapshot.metadata).decode()
                ),
                "created_at": snapshot.created_at,
            },
        )
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def read_snapshot(conn: Connection, *, source_id: str, schema: str) -> Snapshot | None:
    """Return the state that is kept of a source; None where there is none."""
    async with conn.cursor(row_factory=kwargs_row(Snapshot)) as cursor:
        await cursor.execute(for_schema(schema)["read_snapshot"], {"source_id": source_id})
        return await cursor.fetchone()


async def delete_snapshot(conn: Connection, *, source_id: str, schema: str) -> bool:
    """Forget the state of a source; say whether there was one."""
    cursor = await conn.execute(for_schema(schema)["delete_snapshot"], {"source_id": source_id})
    row = await cursor.fetchone()
    assert row is not None
    return bool(row[0])
