"""Reads and writes of the history, the locks and the catalogue: one function per statement."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors as pg_errors
from psycopg import sql
from psycopg.pq import TransactionStatus

from emberkeep.base import db
from emberkeep.base import sql as statements
from emberkeep.migrate.model import (
    Entry,
    RightsMissing,
    State,
    StatementBlocked,
    StatementFailed,
    TableLock,
)

if TYPE_CHECKING:
    import datetime
    from collections.abc import AsyncGenerator, Generator, Mapping, Sequence

    from emberkeep.base.db import Connection
    from emberkeep.base.errors import EmberkeepError
    from emberkeep.migrate.model import Migration, MigrationSet

_QUERIES = statements.load("emberkeep.migrate")
_HISTORY_TABLE = "schema_migrations"


def _compose(name: str, **identifiers: str | tuple[str, str]) -> sql.Composed:
    """Return the statement with its identifiers in place; a pair is a qualified name."""
    return sql.SQL(_QUERIES[name]).format(
        **{
            key: sql.Identifier(*([value] if isinstance(value, str) else value))
            for key, value in identifiers.items()
        }
    )


def _history(migration_set: MigrationSet) -> tuple[str, str]:
    return migration_set.schema, _HISTORY_TABLE


async def _fetch_value(
    conn: Connection, name: str, params: Mapping[str, object] | None = None
) -> Any:
    row = await (await conn.execute(_QUERIES[name], params)).fetchone()
    assert row is not None
    return row[0]


@contextlib.asynccontextmanager
async def open_session(dsn: str) -> AsyncGenerator[Connection]:
    """Lend a connection for migrations: autocommit, an empty search_path, no timeouts.

    :raises DatabaseUnavailable: when the server cannot be reached, or is lost on the way
    :raises RightsMissing: when the block runs into something the role may not do
    """
    conn = await db.connect(dsn, application="emberkeep migrate")
    try:
        await set_session(conn)
        yield conn
    except psycopg.Error as e:
        explained = _explain(conn, e)
        if isinstance(explained, StatementFailed):
            # A statement of this file, not of a migration: a bug, which shows as what it is.
            raise
        raise explained from e
    finally:
        await conn.close()


@contextlib.contextmanager
def refusals(conn: Connection) -> Generator[None]:
    """Turn what the server refuses inside the block into the slice's errors.

    The facts are cause, sqlstate and, where the server knows it, `position`: the character of the
    statement at fault, from 1.

    :raises StatementBlocked: when a lock was not had in time, or was given up in a deadlock
    :raises RightsMissing: when the role may not do it
    :raises StatementFailed: for anything else
    """
    try:
        yield
    except psycopg.Error as e:
        raise _explain(conn, e) from e


def _explain(conn: Connection, error: psycopg.Error) -> EmberkeepError:
    diag = error.diag
    parts = (diag.message_primary, diag.message_detail, diag.message_hint, diag.context)
    cause = "; ".join(part for part in parts if part) or str(error)
    if db.is_connection_lost(error):
        return db.DatabaseUnavailable("the database connection was lost")
    if isinstance(error, pg_errors.InsufficientPrivilege):
        return RightsMissing(
            f"the role {conn.info.user} may not do this ({cause}): migrate with a role that may,"
            " named by EMBERKEEP_MIGRATION_DATABASE_URL",
            role=conn.info.user,
            cause=cause,
        )
    kind = StatementBlocked if db.is_worth_retrying(error) else StatementFailed
    position = int(diag.statement_position or 1)
    return kind(cause, cause=cause, sqlstate=error.sqlstate, position=position)


def is_idle(conn: Connection) -> bool:
    """Say whether the connection is whole and between two transactions."""
    return conn.info.transaction_status is TransactionStatus.IDLE


async def read_backend_id(conn: Connection) -> int:
    """Return the process id of the server process that answers."""
    return await _fetch_value(conn, "read_backend_id")


async def set_session(conn: Connection) -> None:
    """Take away what the role's own settings might do to a migration."""
    await conn.execute(_QUERIES["set_session"])


async def watch_client(conn: Connection) -> bool:
    """Have the server notice when this process dies; False where its platform cannot."""
    try:
        await conn.execute(_QUERIES["watch_client"])
    except (pg_errors.InvalidParameterValue, pg_errors.UndefinedObject):
        return False
    return True


async def set_lock_timeout(conn: Connection, *, timeout_ms: int) -> None:
    """Let no statement of this transaction queue longer than `timeout_ms`."""
    await conn.execute(_QUERIES["set_lock_timeout"], {"timeout": f"{timeout_ms}ms"})


async def set_statement_timeout(conn: Connection, *, timeout_ms: int) -> None:
    """Let no statement of this transaction run longer than `timeout_ms`."""
    await conn.execute(_QUERIES["set_statement_timeout"], {"timeout": f"{timeout_ms}ms"})


async def defer_flush(conn: Connection) -> None:
    """Let this transaction's commit return before it is on disk."""
    await conn.execute(_QUERIES["defer_flush"])


async def try_lock(conn: Connection, *, key: int) -> bool:
    """Become the migrator of the schema behind `key`, unless another session is; never waits."""
    return await _fetch_value(conn, "try_lock", {"key": key})


async def unlock(conn: Connection, *, key: int) -> None:
    """Stop being the migrator."""
    await conn.execute(_QUERIES["unlock"], {"key": key})


async def has_schema(conn: Connection, migration_set: MigrationSet) -> bool:
    """Say whether the set's schema exists."""
    return await _fetch_value(conn, "has_schema", {"schema": migration_set.schema})


async def create_schema(conn: Connection, migration_set: MigrationSet) -> None:
    """Create the set's schema."""
    await conn.execute(_compose("create_schema", schema=migration_set.schema))


async def rename_schema(conn: Connection, migration_set: MigrationSet, *, aside: str) -> None:
    """Call the schema `aside` until the transaction is rolled back."""
    await conn.execute(_compose("rename_schema", schema=migration_set.schema, aside=aside))


async def drop_schema(conn: Connection, migration_set: MigrationSet) -> None:
    """Drop the schema and all that is in it."""
    await conn.execute(_compose("drop_schema", schema=migration_set.schema))


async def create_history(conn: Connection, migration_set: MigrationSet) -> None:
    """Create the history table where it is missing."""
    await conn.execute(_compose("create_history", history=_history(migration_set)))


async def comment_history(conn: Connection, migration_set: MigrationSet) -> None:
    """Describe the history table in the database."""
    await conn.execute(_compose("comment_history", history=_history(migration_set)))


async def read_history(conn: Connection, migration_set: MigrationSet) -> tuple[Entry, ...]:
    """Return the set's history by version; empty where there is no history table yet.

    Must not be called inside a transaction that goes on: a missing table ends it.
    """
    query = _compose("read_history", history=_history(migration_set))
    params = {"module": migration_set.name}
    try:
        cursor = await conn.execute(query, params)
    except (pg_errors.UndefinedTable, pg_errors.InvalidSchemaName):
        return ()
    except pg_errors.FeatureNotSupported:
        # "cached plan must not change result type": the table was altered under a session that
        # had prepared this. The driver prepares it afresh after the error; once is enough.
        cursor = await conn.execute(query, params, prepare=False)
    return tuple(
        Entry(version, name, checksum, State(state), applied_at, applied_by, duration_ms)
        for version, name, checksum, state, applied_at, applied_by, duration_ms in (
            await cursor.fetchall()
        )
    )


async def write_entry(
    conn: Connection,
    migration_set: MigrationSet,
    migration: Migration,
    *,
    state: State,
    now: datetime.datetime,
    duration_ms: int | None,
) -> None:
    """Record where a version stands."""
    await conn.execute(
        _compose("write_entry", history=_history(migration_set)),
        {
            "module": migration_set.name,
            "version": migration.version,
            "name": migration.name,
            "checksum": migration.checksum,
            "state": state.value,
            "now": now,
            "duration_ms": duration_ms,
        },
    )


async def delete_entry(conn: Connection, migration_set: MigrationSet, *, version: int) -> None:
    """Forget a version: it is pending again."""
    await conn.execute(
        _compose("delete_entry", history=_history(migration_set)),
        {"module": migration_set.name, "version": version},
    )


async def write_catalogue(
    conn: Connection, migration_set: MigrationSet, *, lines: Sequence[str]
) -> None:
    """Keep a reading of the catalogue with the newest version."""
    await conn.execute(
        _compose("write_catalogue", history=_history(migration_set)),
        {"module": migration_set.name, "lines": list(lines)},
    )


async def read_written_catalogue(conn: Connection, migration_set: MigrationSet) -> tuple[str, ...]:
    """Return the reading that the last run left; empty when it left none."""
    cursor = await conn.execute(
        _compose("read_written_catalogue", history=_history(migration_set)),
        {"module": migration_set.name},
    )
    row = await cursor.fetchone()
    return () if row is None else tuple(row[0])


async def list_invalid_indexes(conn: Connection, migration_set: MigrationSet) -> tuple[str, ...]:
    """Return the names of the schema's indexes that no query uses."""
    cursor = await conn.execute(_QUERIES["list_invalid_indexes"], {"schema": migration_set.schema})
    return tuple([row[0] async for row in cursor])


async def drop_index(conn: Connection, migration_set: MigrationSet, *, index: str) -> None:
    """Drop an index while its table stays in use; only outside a transaction."""
    await conn.execute(_compose("drop_index", index=(migration_set.schema, index)))


async def list_relation_ids(conn: Connection) -> list[int]:
    """Return the oids of every table, index, view and sequence that is not PostgreSQL's own."""
    return [row[0] async for row in await conn.execute(_QUERIES["list_relation_ids"])]


async def list_locks(conn: Connection, *, relation_ids: Sequence[int]) -> tuple[TableLock, ...]:
    """Return the locks that this transaction holds on the relations given."""
    cursor = await conn.execute(_QUERIES["list_locks"], {"relation_ids": list(relation_ids)})
    return tuple([TableLock(relation, mode) async for relation, mode in cursor])


async def set_search_path(conn: Connection, migration_set: MigrationSet) -> None:
    """Let this transaction name what is in the set's schema without it."""
    await conn.execute(_QUERIES["set_search_path"], {"schema": migration_set.schema})


async def read_catalogue(conn: Connection, migration_set: MigrationSet) -> tuple[str, ...]:
    """Return a line for each thing in the schema, in no order; see `set_search_path`."""
    cursor = await conn.execute(
        _QUERIES["read_catalogue"], {"schema": migration_set.schema}, prepare=False
    )
    return tuple([row[0] async for row in cursor])


async def run_statement(conn: Connection, text: str) -> None:
    """Execute one statement of a file, alone and as it is: no parameters, never prepared.

    As bytes, because the text comes from a file that ships with the code, not from this one. The
    errors are those of `refusals`.
    """
    with refusals(conn):
        await conn.execute(text.encode(), prepare=False)
