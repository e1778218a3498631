"""Write, and write again where that failed without effect and for a passing reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from emberkeep.base import db
from emberkeep.base.db import Connection
from emberkeep.xp.model import PlayerBusy

Answer = TypeVar("Answer")

# Each attempt waits for the locks of those before it, so even a crowd is through after a few.
_MOST_ATTEMPTS: Final = 10


async def write_atomically(conn: Connection, write: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return what `write` answers, whose statements are written together or not at all.

    They are a transaction; or a savepoint where `conn` is in one already, which goes on if `write`
    raises.

    :raises PlayerBusy: when a deadlock or a stale read came in the way each time
    """
    for _ in range(_MOST_ATTEMPTS):
        try:
            async with db.transaction(conn):
                return await write()
        except Exception as e:
            if not db.is_worth_retrying(e):
                raise
    raise PlayerBusy("others changed the same rows each time this was tried")
