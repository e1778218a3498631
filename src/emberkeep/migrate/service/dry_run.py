"""Says what `up` would run and what it would lock, by doing it and rolling back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emberkeep.migrate import store
from emberkeep.migrate.model import (
    DEFAULT_PATIENCE,
    DEFAULT_SETS,
    ModuleNeeded,
    Patience,
    PlannedFile,
)
from emberkeep.migrate.rules import plan, text
from emberkeep.migrate.service.files import load_migrations, run_script
from emberkeep.migrate.store import open_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emberkeep.base.db import Connection
    from emberkeep.migrate.model import Migration, MigrationSet, TableLock

# The locks are held until the rollback: a file that rewrites a large table is not tried to its end.
_STATEMENT_MS: Final = 5_000

_OUTSIDE: Final = "runs outside a transaction, so its locks cannot be tried"
_AFTER_OUTSIDE: Final = "follows a file that cannot be tried, so its locks cannot either"
_TRIED: Final = "tried and rolled back"


async def plan_migrations(
    dsn: str,
    *,
    sets: Sequence[MigrationSet] = DEFAULT_SETS,
    module: str | None = None,
    to: int | None = None,
    patience: Patience = DEFAULT_PATIENCE,
) -> tuple[PlannedFile, ...]:
    """Return the pending files in order, each as it would run, with the locks that it adds.

    Only locks on what is there already are listed: nobody else can see what a file makes. All
    files are tried in one transaction, so a lock is listed with the first file that takes it.

    :raises HistoryRefused: when files and history disagree
    :raises StatementFailed: when a file would fail, or takes longer than five seconds a statement
    :raises StatementBlocked: when someone uses what a file would lock
    """
    if to is not None and module is None:
        raise ModuleNeeded("a version needs the module it belongs to")
    async with open_session(dsn) as conn:
        pending = [
            (migration_set, migration)
            for migration_set in plan.select_sets(sets, module)
            for migration in await _read_pending(
                conn, migration_set, to=to if migration_set.name == module else None
            )
        ]
        return await _try_files(conn, pending, patience)


async def _read_pending(
    conn: Connection, migration_set: MigrationSet, *, to: int | None
) -> tuple[Migration, ...]:
    migrations = load_migrations(migration_set)
    plan.check_version(migration_set.name, migrations, to)
    history = await store.read_history(conn, migration_set)
    return plan.decide_pending(migration_set.name, migrations, history, to=to)


async def _try_files(
    conn: Connection, pending: Sequence[tuple[MigrationSet, Migration]], patience: Patience
) -> tuple[PlannedFile, ...]:
    planned: list[PlannedFile] = []
    note = _TRIED
    async with conn.transaction(force_rollback=True):
        await store.set_lock_timeout(conn, timeout_ms=patience.lock_timeout_ms)
        await store.set_statement_timeout(conn, timeout_ms=_STATEMENT_MS)
        relation_ids = await store.list_relation_ids(conn)
        held: set[TableLock] = set()
        for migration_set, migration in pending:
            if not text.is_transactional(migration.up):
                planned.append(_describe(migration_set, migration, None, _OUTSIDE))
                note = _AFTER_OUTSIDE
            elif note != _TRIED:
                planned.append(_describe(migration_set, migration, None, note))
            else:
                locks = await _try_file(conn, migration_set, migration, relation_ids)
                added = tuple(lock for lock in locks if lock not in held)
                held.update(added)
                planned.append(_describe(migration_set, migration, added, note))
    return tuple(planned)


async def _try_file(
    conn: Connection,
    migration_set: MigrationSet,
    migration: Migration,
    relation_ids: Sequence[int],
) -> tuple[TableLock, ...]:
    if not await store.has_schema(conn, migration_set):
        await store.create_schema(conn, migration_set)
    await run_script(conn, migration_set, migration.up)
    return await store.list_locks(conn, relation_ids=relation_ids)


def _describe(
    migration_set: MigrationSet,
    migration: Migration,
    locks: tuple[TableLock, ...] | None,
    note: str,
) -> PlannedFile:
    sql = text.render(migration.up.text, text.make_tokens(migration_set))
    return PlannedFile(migration_set.name, migration.version, migration.up.path, sql, locks, note)
