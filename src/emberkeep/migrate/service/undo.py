"""Takes versions back, clears up after a file that was cut off, and empties schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emberkeep.migrate import store
from emberkeep.migrate.model import (
    DEFAULT_PATIENCE,
    DEFAULT_SETS,
    Applied,
    DestructionForbidden,
    ModuleNeeded,
    Patience,
    Repair,
    State,
)
from emberkeep.migrate.rules import plan
from emberkeep.migrate.service.apply import apply_migrations
from emberkeep.migrate.service.files import load_migrations, run_file, write_reading
from emberkeep.migrate.service.session import Report, Run, hold_lock, keep_silent
from emberkeep.migrate.store import open_session

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from emberkeep.base.db import Connection
    from emberkeep.migrate.model import Migration, MigrationSet


async def roll_back(
    dsn: str,
    *,
    now: datetime.datetime,
    sets: Sequence[MigrationSet] = DEFAULT_SETS,
    module: str | None = None,
    to: int | None = None,
    patience: Patience = DEFAULT_PATIENCE,
    report: Report = keep_silent,
) -> tuple[Applied, ...]:
    """Take back the newest version of `module`, or all above `to`; without a module only `to=0`.

    Returns what was taken back, newest first.

    :raises ModuleNeeded: when it is not said whose version
    :raises NoWayBack: when a version has no down file; then none is taken back
    :raises RequirementUnmet: when another set stands on what would go
    :raises HistoryRefused: when files and history disagree
    :raises StatementFailed: with file, line, column, statement and cause
    """
    if module is None and to != 0:
        raise ModuleNeeded("taking back needs a module; without one, only all of it: --to 0")
    ordered = plan.order_sets(sets)
    targets = [plan.find_set({s.name: s for s in sets}, module)] if module else ordered[::-1]
    async with open_session(dsn) as conn:
        run = Run(conn, now, patience, report)
        for target in targets:
            async with hold_lock(conn, target, patience=patience, report=report):
                await _roll_back_set(run, ordered, target, to=to)
        return tuple(run.applied)


async def repair_schemas(
    dsn: str,
    *,
    sets: Sequence[MigrationSet] = DEFAULT_SETS,
    module: str | None = None,
    patience: Patience = DEFAULT_PATIENCE,
    report: Report = keep_silent,
) -> tuple[Repair, ...]:
    """Make dirty versions pending again, after dropping what they left invalid.

    A file is never resumed in its middle: the next `up` runs it from its first statement, so its
    statements say `if not exists` or `if exists`.
    """
    async with open_session(dsn) as conn:
        repairs: list[Repair] = []
        for migration_set in plan.select_sets(sets, module):
            async with hold_lock(conn, migration_set, patience=patience, report=report):
                repairs.append(await _repair_set(conn, migration_set))
        return tuple(repairs)


async def drop_schemas(
    dsn: str,
    *,
    is_allowed: bool,
    sets: Sequence[MigrationSet] = DEFAULT_SETS,
    module: str | None = None,
    patience: Patience = DEFAULT_PATIENCE,
    report: Report = keep_silent,
) -> tuple[str, ...]:
    """Drop the schema of `module`, or of every set, with all data; return their names.

    :raises DestructionForbidden: unless the configuration allows it
    """
    if not is_allowed:
        raise DestructionForbidden(
            "this would drop data; a development configuration allows it with"
            " EMBERKEEP_ALLOW_DESTRUCTIVE=true"
        )
    ordered = plan.order_sets(sets)
    targets = [plan.find_set({s.name: s for s in sets}, module)] if module else ordered[::-1]
    async with open_session(dsn) as conn:
        for target in targets:
            async with hold_lock(conn, target, patience=patience, report=report):
                await store.drop_schema(conn, target)
    return tuple(t.schema for t in targets)


async def reset_schemas(
    dsn: str,
    *,
    is_allowed: bool,
    now: datetime.datetime,
    sets: Sequence[MigrationSet] = DEFAULT_SETS,
    module: str | None = None,
    report: Report = keep_silent,
) -> tuple[Applied, ...]:
    """Drop as `drop_schemas` does, then apply every version anew; return what was applied.

    :raises DestructionForbidden: unless the configuration allows it
    """
    await drop_schemas(dsn, is_allowed=is_allowed, sets=sets, module=module, report=report)
    return await apply_migrations(dsn, now=now, sets=sets, module=module, report=report)


async def _roll_back_set(
    run: Run, ordered: Sequence[MigrationSet], target: MigrationSet, *, to: int | None
) -> None:
    migrations = load_migrations(target)
    plan.check_version(target.name, migrations, to)
    history = await store.read_history(run.conn, target)
    undone = plan.decide_undo(target.name, migrations, history, to=to)
    if not undone:
        return
    left = max((e.version for e in history if e.version < undone[-1].version), default=0)
    plan.refuse_orphans(ordered, target.name, left, await _read_versions(run.conn, ordered))
    for migration in undone:
        await _undo_file(run, target, migration)


async def _undo_file(run: Run, migration_set: MigrationSet, migration: Migration) -> None:
    assert migration.down is not None, "decide_undo lets none through without"

    async def finish(duration_ms: int) -> None:
        del duration_ms
        await store.delete_entry(run.conn, migration_set, version=migration.version)
        await write_reading(run.conn, migration_set)

    run.report(f"{migration.down.path}: taking back")
    duration_ms = await run_file(run, migration_set, migration, migration.down, finish)
    run.applied.append(
        Applied(
            migration_set.name,
            migration_set.schema,
            migration.version,
            migration.name,
            duration_ms,
        )
    )


async def _read_versions(conn: Connection, sets: Sequence[MigrationSet]) -> dict[str, int]:
    histories = {s.name: await store.read_history(conn, s) for s in sets}
    return {name: max((e.version for e in h), default=0) for name, h in histories.items()}


async def _repair_set(conn: Connection, migration_set: MigrationSet) -> Repair:
    invalid = await store.list_invalid_indexes(conn, migration_set)
    for index in invalid:
        await store.drop_index(conn, migration_set, index=index)
    history = await store.read_history(conn, migration_set)
    dirty = tuple(e.version for e in history if e.state is State.DIRTY)
    for version in dirty:
        await store.delete_entry(conn, migration_set, version=version)
    return Repair(migration_set.name, invalid, dirty)
