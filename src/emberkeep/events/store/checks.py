"""What must hold of the tables, counted by the database."""

from __future__ import annotations

from emberkeep.base.check import Check
from emberkeep.base.db import Connection
from emberkeep.events.store.statements import for_schema


async def check_streams(conn: Connection, *, name: str, schema: str) -> Check:
    """Return whether every stream counts its events without a gap."""
    return await _check(conn, "check_streams", name, schema)


async def check_links(conn: Connection, *, name: str, schema: str) -> Check:
    """Return whether every link leads to an event."""
    return await _check(conn, "check_links", name, schema)


async def check_positions(conn: Connection, *, name: str, schema: str) -> Check:
    """Return whether positions are handed out one by one, and none before it is drawn."""
    return await _check(conn, "check_positions", name, schema)


async def check_subscriptions(conn: Connection, *, name: str, schema: str) -> Check:
    """Return whether every partition of every subscription is there, and not ahead of the store."""
    return await _check(conn, "check_subscriptions", name, schema)


async def check_parked(conn: Connection, *, name: str, schema: str) -> Check:
    """Return whether every event that waits to be settled is in the store."""
    return await _check(conn, "check_parked", name, schema)


async def _check(conn: Connection, statement: str, name: str, schema: str) -> Check:
    row = await (await conn.execute(for_schema(schema)[statement])).fetchone()
    assert row is not None
    checked, violations, first, last = row
    examples = tuple(sorted({example for example in (first, last) if example is not None}))
    return Check(name=name, checked=checked, violations=violations, examples=examples)
