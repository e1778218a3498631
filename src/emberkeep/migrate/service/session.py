"""What a run carries, and the lock that makes it the only migrator of its schema."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from emberkeep.migrate import store
from emberkeep.migrate.model import ConnectionPooled, MigratorBusy, Patience
from emberkeep.migrate.rules import plan

if TYPE_CHECKING:
    import datetime
    from collections.abc import AsyncGenerator

    from emberkeep.base.db import Connection
    from emberkeep.migrate.model import Applied, MigrationSet

Report = Callable[[str], None]
"""Takes one line on what is going on now; called between steps, so it must be quick."""

_POLL_LEAST_S: Final = 0.05
_POLL_MOST_S: Final = 0.15


def keep_silent(line: str) -> None:
    """Report to nobody."""
    del line


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What the steps of one run share; `applied` grows as files are done."""

    conn: Connection
    now: datetime.datetime
    patience: Patience
    report: Report
    applied: list[Applied] = dataclasses.field(default_factory=list)


@contextlib.asynccontextmanager
async def hold_lock(
    conn: Connection, migration_set: MigrationSet, *, patience: Patience, report: Report
) -> AsyncGenerator[None]:
    """Be the only migrator of the set's schema for the length of the block.

    The lock belongs to the session: it falls when this process dies, and not before its last
    statement has ended.

    :raises ConnectionPooled: when the session is not ours alone
    :raises MigratorBusy: when another keeps the schema for longer than the patience
    """
    await _refuse_pooler(conn)
    await store.watch_client(conn)
    key = plan.compute_lock_key(migration_set.schema)
    await _take_lock(conn, migration_set, key, patience=patience, report=report)
    try:
        yield
    finally:
        # After a failure that broke the session, its end has freed the lock already.
        if store.is_idle(conn):
            await store.unlock(conn, key=key)


async def _take_lock(
    conn: Connection,
    migration_set: MigrationSet,
    key: int,
    *,
    patience: Patience,
    report: Report,
) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.migrator_s
    has_reported = False
    # Polled: a session that *waits* for an advisory lock keeps a snapshot open, on which the
    # winner's `create index concurrently` would wait in turn, until the server calls it a deadlock.
    while not await store.try_lock(conn, key=key):
        if loop.time() > deadline:
            raise MigratorBusy(
                f"another migrator has held {migration_set.schema} for {patience.migrator_s:g} s",
                schema=migration_set.schema,
            )
        if not has_reported:
            report(f"{migration_set.name}: another migrator is at work; waiting for it")
            has_reported = True
        await asyncio.sleep(random.uniform(_POLL_LEAST_S, _POLL_MOST_S))  # noqa: S311  # Jitter.


async def _refuse_pooler(conn: Connection) -> None:
    """Refuse a connection that a pooler stands behind.

    A direct server answers with the process id that it greeted us with. A pooler greets with one
    of its own, and may lend another server process to each transaction.
    """
    greeted = conn.info.backend_pid
    answered = {await store.read_backend_id(conn) for _ in range(3)}
    if answered != {greeted}:
        raise ConnectionPooled(
            "this connection goes through a pooler, which would share the migrator's lock with"
            " others: connect to PostgreSQL itself with EMBERKEEP_MIGRATION_DATABASE_URL",
            greeted_by=greeted,
            answered_by=sorted(answered),
        )
