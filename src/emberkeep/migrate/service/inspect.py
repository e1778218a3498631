"""Says where each schema stands, and whether it still is what its files say. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emberkeep.base import db
from emberkeep.migrate import store
from emberkeep.migrate.model import (
    DEFAULT_PATIENCE,
    DEFAULT_SETS,
    Comparison,
    Finding,
    FindingKind,
    Patience,
    RightsMissing,
    SchemaBehind,
    State,
    StatementBlocked,
    StatementFailed,
    Verification,
)
from emberkeep.migrate.rules import catalogue, plan, text
from emberkeep.migrate.service.files import load_migrations, read_reading, run_script
from emberkeep.migrate.service.session import hold_lock, keep_silent
from emberkeep.migrate.store import open_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emberkeep.base.db import Connection
    from emberkeep.migrate.model import Entry, Migration, MigrationSet, VersionStatus

# A replay builds empty tables; when it takes longer, something else is going on.
_REPLAY_STATEMENT_MS: Final = 10_000


async def read_status(
    dsn: str, *, sets: Sequence[MigrationSet] = DEFAULT_SETS, module: str | None = None
) -> tuple[VersionStatus, ...]:
    """Return every version of `module` and what it requires, or of every set, and its state."""
    async with open_session(dsn) as conn:
        found: list[VersionStatus] = []
        for migration_set in plan.select_sets(sets, module):
            history = await store.read_history(conn, migration_set)
            found += plan.list_status(migration_set.name, load_migrations(migration_set), history)
        return tuple(found)


async def require_current(dsn: str) -> None:
    """Let a database pass whose schemas are those that this version needs.

    :raises SchemaBehind: if they are not
    """
    if any(version.state != "clean" for version in await read_status(dsn)):
        raise SchemaBehind(
            "the schema is not the one that this version needs: `emberkeep migrate up` helps"
        )


async def read_fingerprint(dsn: str, migration_set: MigrationSet) -> str:
    """Return the hash of a schema's catalogue: equal for two schemas of one set."""
    async with open_session(dsn) as conn, db.transaction(conn):
        return catalogue.compute_fingerprint(await read_reading(conn, migration_set))


async def verify_schemas(
    dsn: str,
    *,
    sets: Sequence[MigrationSet] = DEFAULT_SETS,
    module: str | None = None,
    patience: Patience = DEFAULT_PATIENCE,
) -> tuple[Verification, ...]:
    """Hold files, history and live catalogue against each other, set by set.

    The files are replayed beside the schema in a transaction that is rolled back, so nothing
    changes and nobody waits longer than the lock timeout.

    :raises FileInvalid: for a file that cannot be
    """
    async with open_session(dsn) as conn:
        found: list[Verification] = []
        for migration_set in plan.select_sets(sets, module):
            async with hold_lock(conn, migration_set, patience=patience, report=keep_silent):
                found.append(await _verify_set(conn, migration_set, patience))
        return tuple(found)


async def _verify_set(
    conn: Connection, migration_set: MigrationSet, patience: Patience
) -> Verification:
    migrations = load_migrations(migration_set)
    history = await store.read_history(conn, migration_set)
    name = migration_set.name
    disagreements = tuple(plan.compare_history(name, migrations, history))
    invalid = await store.list_invalid_indexes(conn, migration_set)
    if not history:
        expected, compared_with, note = None, Comparison.NOTHING, ""
    elif disagreements:
        note = "files and history disagree"
        expected, compared_with = await _read_last_up(conn, migration_set)
    else:
        expected, compared_with, note = await _read_expected(
            conn, migration_set, _list_clean(migrations, history), patience
        )
    drift = () if expected is None else await _find_drift(conn, migration_set, expected)
    findings = (
        *disagreements,
        *plan.list_gaps(name, migrations),
        *(_report_invalid(migration_set, index) for index in invalid),
        *drift,
    )
    return Verification(name, migration_set.schema, findings, compared_with, note)


def _list_clean(migrations: Sequence[Migration], history: Sequence[Entry]) -> list[Migration]:
    clean = {e.version for e in history if e.state is State.CLEAN}
    return [m for m in migrations if m.version in clean]


async def _read_expected(
    conn: Connection,
    migration_set: MigrationSet,
    migrations: Sequence[Migration],
    patience: Patience,
) -> tuple[tuple[str, ...] | None, Comparison, str]:
    """Return what the catalogue should hold, where that is known from, and why not from better."""
    try:
        lines = await _replay(conn, migration_set, migrations, patience)
    except (StatementFailed, StatementBlocked, RightsMissing) as e:
        return *await _read_last_up(conn, migration_set), f"the files were not replayed: {e}"
    return lines, Comparison.FILES, ""


async def _read_last_up(
    conn: Connection, migration_set: MigrationSet
) -> tuple[tuple[str, ...] | None, Comparison]:
    lines = await store.read_written_catalogue(conn, migration_set)
    return (lines, Comparison.LAST_UP) if lines else (None, Comparison.NOTHING)


async def _replay(
    conn: Connection,
    migration_set: MigrationSet,
    migrations: Sequence[Migration],
    patience: Patience,
) -> tuple[str, ...]:
    """Return what the catalogue would hold if the files ran on an empty schema now.

    The live schema steps aside under another name, so that the replay has its very name and even
    names inside function texts compare. That is one row of pg_namespace, seen by this transaction
    alone: nobody waits for it, and the rollback takes it away.
    """
    with store.refusals(conn):
        return await _replay_here(conn, migration_set, migrations, patience)


async def _replay_here(
    conn: Connection,
    migration_set: MigrationSet,
    migrations: Sequence[Migration],
    patience: Patience,
) -> tuple[str, ...]:
    async with conn.transaction(force_rollback=True):
        await store.set_lock_timeout(conn, timeout_ms=patience.lock_timeout_ms)
        await store.set_statement_timeout(conn, timeout_ms=_REPLAY_STATEMENT_MS)
        await store.rename_schema(conn, migration_set, aside="emberkeep_verify_aside")
        await store.create_schema(conn, migration_set)
        for migration in migrations:
            in_replay = not text.is_transactional(migration.up)
            await run_script(conn, migration_set, migration.up, in_replay=in_replay)
        return await read_reading(conn, migration_set)


async def _find_drift(
    conn: Connection, migration_set: MigrationSet, expected: Sequence[str]
) -> tuple[Finding, ...]:
    async with db.transaction(conn):
        live = await read_reading(conn, migration_set)
    return catalogue.compare_catalogues(migration_set.name, expected, live)


def _report_invalid(migration_set: MigrationSet, index: str) -> Finding:
    return Finding(
        FindingKind.INVALID_INDEX,
        migration_set.name,
        None,
        f"{migration_set.schema}.{index} is invalid: no query uses it, every write pays for it."
        f" `emberkeep migrate repair {migration_set.name}` drops it",
    )
