"""Brings schemas to the newest version: one process applies, the others wait, all of them start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from emberkeep.base.errors import EmberkeepError
from emberkeep.migrate import store
from emberkeep.migrate.model import (
    DEFAULT_PATIENCE,
    DEFAULT_SETS,
    Applied,
    ModuleNeeded,
    Patience,
    State,
    TenantResult,
)
from emberkeep.migrate.rules import plan
from emberkeep.migrate.service.files import load_migrations, run_file, write_reading
from emberkeep.migrate.service.session import Report, Run, hold_lock, keep_silent
from emberkeep.migrate.store import open_session

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from emberkeep.base.db import Connection
    from emberkeep.migrate.model import Migration, MigrationSet


async def apply_migrations(
    dsn: str,
    *,
    now: datetime.datetime,
    sets: Sequence[MigrationSet] = DEFAULT_SETS,
    module: str | None = None,
    to: int | None = None,
    patience: Patience = DEFAULT_PATIENCE,
    report: Report = keep_silent,
) -> tuple[Applied, ...]:
    """Apply what is pending of `module` and what it requires, or of every set, in order.

    `to` is the last version of `module` to apply. Returns what was applied; empty when all was
    done. Files that were applied before one that fails stay applied.

    :raises HistoryRefused: when files and history disagree
    :raises StatementFailed: with file, line, column, statement and cause
    :raises StatementBlocked: when a lock was not to be had within the patience
    :raises MigratorBusy: when another migrator took longer than the patience
    :raises RightsMissing: when the role may not change the schema
    """
    async with open_session(dsn) as conn:
        run = Run(conn, now, patience, report)
        await _apply(run, sets, module=module, to=to)
        return tuple(run.applied)


async def apply_sets(
    conn: Connection, *, now: datetime.datetime, sets: Sequence[MigrationSet] = DEFAULT_SETS
) -> tuple[Applied, ...]:
    """Do as `apply_migrations` on a connection that `open_session` lent.

    With nothing pending this is one short query per set, and no lock.
    """
    run = Run(conn, now, DEFAULT_PATIENCE, keep_silent)
    await _apply(run, sets, module=None, to=None)
    return tuple(run.applied)


async def apply_everywhere(
    dsn: str,
    *,
    now: datetime.datetime,
    tenants: Sequence[Sequence[MigrationSet]],
    parallel: int = 8,
    patience: Patience = DEFAULT_PATIENCE,
    report: Report = keep_silent,
) -> tuple[TenantResult, ...]:
    """Apply every tenant's sets, `parallel` tenants at a time; one that fails stops no other.

    Returns one result per tenant, in the order given.
    """
    seats = asyncio.Semaphore(parallel)

    async def apply_tenant(sets: Sequence[MigrationSet]) -> TenantResult:
        schemas = tuple(s.schema for s in sets)
        applied: list[Applied] = []
        try:
            async with seats, open_session(dsn) as conn:
                run = Run(conn, now, patience, report, applied)
                await _apply(run, sets, module=None, to=None)
        except EmberkeepError as e:
            return TenantResult(schemas, tuple(applied), e)
        return TenantResult(schemas, tuple(applied), None)

    return tuple(await asyncio.gather(*(apply_tenant(sets) for sets in tenants)))


async def _apply(
    run: Run, sets: Sequence[MigrationSet], *, module: str | None, to: int | None
) -> None:
    if to is not None and module is None:
        raise ModuleNeeded("a version needs the module it belongs to")
    versions: dict[str, int] = {}
    for migration_set in plan.select_sets(sets, module):
        is_target = migration_set.name == module
        versions[migration_set.name] = await _apply_set(
            run, migration_set, versions, to=to if is_target else None
        )


async def _apply_set(
    run: Run, migration_set: MigrationSet, versions: dict[str, int], *, to: int | None
) -> int:
    """Apply what is pending of one set; return the version it has reached."""
    name = migration_set.name
    migrations = load_migrations(migration_set)
    plan.check_version(name, migrations, to)
    history = await store.read_history(run.conn, migration_set)
    if not plan.is_settled(name, migrations, history, to=to):
        # What was just read may be another migrator's work in progress: look again with the lock.
        async with hold_lock(run.conn, migration_set, patience=run.patience, report=run.report):
            history = await store.read_history(run.conn, migration_set)
            pending = plan.decide_pending(name, migrations, history, to=to)
            if pending:
                plan.check_requirements(migration_set, versions)
                await _prepare_schema(run, migration_set)
            for migration in pending:
                await _apply_file(
                    run,
                    migration_set,
                    migration,
                    is_fresh=not history,
                    is_last=migration == pending[-1],
                )
            history = await store.read_history(run.conn, migration_set)
    return max((e.version for e in history), default=0)


async def _prepare_schema(run: Run, migration_set: MigrationSet) -> None:
    if not await store.has_schema(run.conn, migration_set):
        await store.create_schema(run.conn, migration_set)
    await store.create_history(run.conn, migration_set)
    await store.comment_history(run.conn, migration_set)


async def _apply_file(
    run: Run,
    migration_set: MigrationSet,
    migration: Migration,
    *,
    is_fresh: bool,
    is_last: bool,
) -> None:
    async def finish(duration_ms: int) -> None:
        await store.write_entry(
            run.conn,
            migration_set,
            migration,
            state=State.CLEAN,
            now=run.now,
            duration_ms=duration_ms,
        )
        if is_last:
            await write_reading(run.conn, migration_set)
        else:
            # The commit of the last file brings all before it to the disk. After a power cut in
            # between, a file is lost together with its history, and is pending again.
            await store.defer_flush(run.conn)

    run.report(f"{migration.up.path}: applying")
    duration_ms = await run_file(
        run, migration_set, migration, migration.up, finish, is_fresh=is_fresh
    )
    run.applied.append(
        Applied(
            migration_set.name,
            migration_set.schema,
            migration.version,
            migration.name,
            duration_ms,
        )
    )
