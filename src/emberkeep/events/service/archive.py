"""Old events: moved out of the way, where everybody still reads them; and in the end, let go."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Final

from emberkeep.base import clock
from emberkeep.base.db import Connection, Database
from emberkeep.base.errors import FieldError
from emberkeep.events import store
from emberkeep.events.model import DEFAULT_SCHEMA, ErasureForbidden, ExpiredMonth, ReadInvalid

# Each chunk is a transaction, during which readers of those very events wait for nothing.
_CHUNK: Final = 5_000

OnMoved = Callable[[int], None]
"""Takes how many events were moved so far."""


async def archive_events(
    database: Database,
    *,
    created_before: datetime.datetime,
    on_moved: OnMoved | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> int:
    """Move events that are older to the archive, in bounded chunks; return how many.

    Archived events are read like the others. What was moved stays so if this is broken off; two at
    once do no harm. Only an `event_uuid` is forgotten: a retry that comes so late is a new append.

    :raises ReadInvalid: when `created_before` lies in the future
    """
    _check_past(created_before)
    moved = 0
    while True:
        async with database.transaction() as conn:
            chunk = await store.archive_events(
                conn, created_before=created_before, max_count=_CHUNK, schema=schema
            )
        moved += chunk
        if chunk == 0:
            return moved
        if on_moved is not None:
            on_moved(moved)


async def expire_events(
    conn: Connection,
    *,
    created_before: datetime.datetime,
    is_allowed: bool,
    schema: str = DEFAULT_SCHEMA,
) -> list[ExpiredMonth]:
    """Drop the archive's months that lie wholly before an instant, for good; return which.

    Streams keep their versions, and begin later.

    :raises ErasureForbidden: unless the configuration allows it
    :raises ArchiveNeeded: when a subscription has yet to see one of the events; nothing went then
    :raises ReadInvalid: when `created_before` lies in the future
    """
    if not is_allowed:
        raise ErasureForbidden("expiry is for good: EMBERKEEP_ALLOW_ERASURE=yes allows it")
    _check_past(created_before)
    return await store.expire_events(conn, created_before=created_before, schema=schema)


def _check_past(created_before: datetime.datetime) -> None:
    if created_before > clock.read_now():
        raise ReadInvalid(
            "events of the future cannot be old",
            (FieldError("created_before", "lies in the future"),),
        )
