"""The database driver, as the rest of the house sees it.

Statements run on a `Connection`; a `Database` hands connections out and wraps transactions.
Failures of the connection are told apart by what is known afterwards: nothing was written
(`Unavailable`), or nobody knows (`OutcomeUnknown`, after an error during COMMIT).
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
from psycopg import errors as pg_errors
from psycopg import sql

from emberkeep.base import tasks
from emberkeep.base.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

# A statement that ran into one of these wrote nothing, and the same call may succeed next time.
_TRY_AGAIN = (
    pg_errors.SerializationFailure,
    pg_errors.DeadlockDetected,
    pg_errors.LockNotAvailable,
)


class DatabaseUnavailable(Unavailable):
    """The database did not answer; nothing was written."""

    code = "service.database_unavailable"


class OutcomeUnknown(Unavailable):
    """The connection broke while COMMIT was under way: written or not, nobody knows. Read back."""

    code = "service.outcome_unknown"


def is_worth_retrying(error: BaseException) -> bool:
    """Say whether the statement failed without effect and for a passing reason."""
    return isinstance(error, _TRY_AGAIN)


def is_connection_lost(error: BaseException) -> bool:
    """Say whether `error` means that the connection is gone, rather than that SQL was refused."""
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and not (
        isinstance(error, psycopg.OperationalError)
        and error.sqlstate is not None
        and not error.sqlstate.startswith(("08", "57P"))
    )


def is_passing(error: BaseException) -> bool:
    """Say whether `error` is nobody's fault and may be gone next time: away, or in the way."""
    return isinstance(error, Unavailable) or is_connection_lost(error) or is_worth_retrying(error)


_OPTIONS = "-c timezone=UTC"
_CONNECT_TIMEOUT_S = 10

# A batch is an array whose length says nothing about the plan: every statement reaches its rows by
# an index, one by one. Planning anew for each array would cost more than the work itself, and a
# plan made while the tables were small would scan them whole when they are not.
_BATCH_OPTIONS = (
    f"{_OPTIONS} -c plan_cache_mode=force_generic_plan"
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)


async def connect(dsn: str, *, application: str = "emberkeep") -> Connection:
    """Open one connection in autocommit mode whose session reads and prints in UTC.

    :raises DatabaseUnavailable: when the server cannot be reached
    """
    return await _connect(dsn, application=application, options=_OPTIONS)


async def connect_for_batches(dsn: str) -> Connection:
    """Open one connection, in autocommit mode, for statements that take arrays of keys.

    :raises DatabaseUnavailable: when the server cannot be reached
    """
    return await _connect(dsn, application="emberkeep-writer", options=_BATCH_OPTIONS)


async def _connect(dsn: str, *, application: str, options: str) -> Connection:
    try:
        return await psycopg.AsyncConnection.connect(
            dsn,
            autocommit=True,
            application_name=application,
            prepare_threshold=1,
            options=options,
            connect_timeout=_CONNECT_TIMEOUT_S,
        )
    except psycopg.OperationalError as e:
        raise DatabaseUnavailable("the database cannot be reached") from e


async def listen(conn: Connection, channel: str) -> None:
    """Have `wait_notified` hear what is notified on `channel` from now on."""
    await conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))


async def wait_notified(conn: Connection, timeout_s: float) -> set[str]:
    """Return the payloads of what was notified since the last call; wait so long for the first.

    Many notifications that say the same are one. One that arrives while the connection runs a
    statement is not lost.
    """
    payloads: set[str] = set()
    async for notification in conn.notifies(timeout=timeout_s, stop_after=1):
        payloads.add(notification.payload)
    if payloads:
        async for notification in conn.notifies(timeout=0):
            payloads.add(notification.payload)
    return payloads


@dataclasses.dataclass(slots=True)
class Database:
    """The pool of one process, and where it connects to."""

    dsn: str
    pool: psycopg_pool.AsyncConnectionPool[Connection]

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """Lend a connection in autocommit mode.

        :raises DatabaseUnavailable: when none can be had in time
        """
        try:
            async with self.pool.connection() as conn:
                yield conn
        except psycopg_pool.PoolTimeout as e:
            raise DatabaseUnavailable("no database connection became free in time") from e
        tasks.heed_cancellation()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """Lend a connection inside a transaction that ends with the block.

        :raises OutcomeUnknown: when the connection breaks while COMMIT is under way
        :raises DatabaseUnavailable: when it breaks before
        """
        async with self.connection() as conn, transaction(conn):
            yield conn


@contextlib.asynccontextmanager
async def transaction(conn: Connection) -> AsyncGenerator[None]:
    """Run the block in a transaction of `conn`; the errors are those of `Database.transaction`."""
    is_committing = False
    try:
        async with conn.transaction():
            yield
            is_committing = True
    except psycopg.Error as e:
        if not is_connection_lost(e):
            raise
        if is_committing:
            raise OutcomeUnknown("the reply to COMMIT was lost") from e
        raise DatabaseUnavailable("the database connection was lost") from e


@contextlib.asynccontextmanager
async def snapshot(conn: Connection) -> AsyncGenerator[None]:
    """Run the block in a transaction that sees one instant only, writes nothing and locks nothing.

    `conn` is in autocommit mode. The errors are those of `Database.transaction`.
    """
    await conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    await conn.set_read_only(True)
    try:
        async with transaction(conn):
            yield
    finally:
        if not conn.closed:
            await conn.set_isolation_level(None)
            await conn.set_read_only(None)


@contextlib.contextmanager
def committing() -> Generator[None]:
    """Run statements that each commit by themselves, on a connection in autocommit mode.

    :raises OutcomeUnknown: when the connection breaks: the commit is part of the same round trip
    """
    try:
        yield
    except psycopg.Error as e:
        if not is_connection_lost(e):
            raise
        raise OutcomeUnknown("the connection was lost while writing") from e


@contextlib.asynccontextmanager
async def atomically(conn: Connection) -> AsyncGenerator[None]:
    """Send the block's statements in one round trip, to be written together or not at all.

    A pipeline of an autocommit connection is one implicit transaction: it commits where the block
    ends, and no BEGIN or COMMIT travels. Inside a transaction of `conn` the block is a part of that,
    and commits with it. The block must not read an answer.

    :raises OutcomeUnknown: when the connection breaks: the commit is part of the same round trip
    """
    with committing():
        try:
            async with conn.pipeline():
                yield
        except psycopg.Error as e:
            if not is_connection_lost(e):
                await _forget_prepared(conn)
            raise


async def _forget_prepared(conn: Connection) -> None:
    """Have driver and server agree again on which statements are prepared: none.

    When a statement of a pipeline fails, the server skips those after it, and with them the
    preparation of any that were to be prepared; the driver takes them for prepared, and every
    later use of the connection would fail. A rollback is where the driver forgets them all.
    """
    if conn.info.transaction_status is psycopg.pq.TransactionStatus.INERROR:
        return  # A transaction around the pipeline: it has to be rolled back anyway.
    with contextlib.suppress(psycopg.OperationalError):  # If it is lost, the next use will say so.
        async with conn.transaction(force_rollback=True):
            pass


@contextlib.asynccontextmanager
async def open_database(dsn: str, *, connections: int) -> AsyncGenerator[Database]:
    """Open a pool of at most `connections` for the length of the block."""
    pool: psycopg_pool.AsyncConnectionPool[Connection] = psycopg_pool.AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=connections,
        kwargs={
            "autocommit": True,
            "application_name": "emberkeep",
            "prepare_threshold": 1,
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "options": _OPTIONS,
        },
        check=psycopg_pool.AsyncConnectionPool.check_connection,
        timeout=10.0,
        open=False,
    )
    async with pool:
        yield Database(dsn=dsn, pool=pool)
