"""Projections: which generation is live, and the counts of event types, which are one."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from psycopg.rows import kwargs_row

from emberkeep.base import sql
from emberkeep.base.db import Connection
from emberkeep.events.model import TypeCount
from emberkeep.events.store.statements import for_schema


async def create_projection(
    conn: Connection, *, projection_name: str, now: datetime.datetime, schema: str
) -> None:
    """Let a projection have its first generation, unless it is there."""
    await conn.execute(
        for_schema(schema)["create_projection"], {"projection_name": projection_name, "now": now}
    )


async def read_projection(conn: Connection, *, projection_name: str, schema: str) -> int | None:
    """Return the generation that readers see; None where the projection was never begun."""
    cursor = await conn.execute(
        for_schema(schema)["read_projection"], {"projection_name": projection_name}
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def hold_projection(
    conn: Connection, *, projection_name: str, schema: str
) -> tuple[int, int | None] | None:
    """Return the live generation and the one being built; no switch until the transaction ends."""
    cursor = await conn.execute(
        for_schema(schema)["hold_projection"], {"projection_name": projection_name}
    )
    return await cursor.fetchone()


async def begin_rebuild(
    conn: Connection, *, projection_name: str, now: datetime.datetime, schema: str
) -> tuple[int, int] | None:
    """Return the live generation and the one that is being built from now on, if not before."""
    cursor = await conn.execute(
        for_schema(schema)["begin_rebuild"], {"projection_name": projection_name, "now": now}
    )
    return await cursor.fetchone()


async def switch_projection(
    conn: Connection,
    *,
    projection_name: str,
    generation: int,
    now: datetime.datetime,
    schema: str,
) -> bool:
    """Let readers see the generation that was built; False where another was being built."""
    cursor = await conn.execute(
        for_schema(schema)["switch_projection"],
        {"projection_name": projection_name, "generation": generation, "now": now},
    )
    return await cursor.fetchone() is not None


async def count_event_types(
    conn: Connection, *, generation: int, counts: Sequence[TypeCount], schema: str
) -> None:
    """Add the counts of a batch to a generation."""
    await conn.execute(
        for_schema(schema)["count_event_types"],
        {
            "generation": generation,
            "event_types": sql.text_array(c.event_type for c in counts),
            "event_versions": sql.array(c.event_version for c in counts),
            "events": sql.array(c.events for c in counts),
            "last_event_ids": sql.array(c.last_event_id for c in counts),
            "last_created_ats": [c.last_created_at for c in counts],
        },
    )


async def delete_event_type_counts(conn: Connection, *, generation: int, schema: str) -> None:
    """Take a generation of the counts away."""
    await conn.execute(for_schema(schema)["delete_event_type_counts"], {"generation": generation})


async def list_event_type_counts(
    conn: Connection, *, projection_name: str, schema: str
) -> list[TypeCount]:
    """Return the counts that are live, by type and form."""
    async with conn.cursor(row_factory=kwargs_row(TypeCount)) as cursor:
        await cursor.execute(
            for_schema(schema)["list_event_type_counts"], {"projection_name": projection_name}
        )
        return await cursor.fetchall()
