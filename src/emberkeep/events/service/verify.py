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
    checks = (
        (store.check_streams, "streams have no gaps"),
        (store.check_links, "links lead to events"),
        (store.check_positions, "positions have one order"),
        (store.check_subscriptions, "checkpoints lie within the store"),
        (store.check_parked, "parked events can be replayed"),
    )
    async with db.snapshot(conn):
        return [await check(conn, name=f"events: {name}", schema=schema) for check, name in checks]
