"""What must hold of the event store, whatever happened: checked in one read-only snapshot."""

from __future__ import annotations

from emberkeep.base import db
from emberkeep.base.check import Check
from emberkeep.base.db import Connection
from emberkeep.events import store
from emberkeep.events.model import DEFAULT_SCHEMA


async def verify_events(conn: Connection, *, schema: str = DEFAULT_SCHEMA) -> list[Check]:
    """Return every invariant of the event store, checked.

    :param conn: in autocommit mode
    """
    async with db.snapshot(conn):
        return [
            await store.check_streams(conn, name="events: streams have no gaps", schema=schema),
            await store.check_links(conn, name="events: links lead to events", schema=schema),
            await store.check_positions(
                conn, name="events: positions have one order", schema=schema
            ),
        ]
