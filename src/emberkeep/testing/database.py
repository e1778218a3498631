"""A server of the run's own, and databases on it that a test may spoil.

A database is a copy of the template. To copy is to write several hundred files, so a database in
which a test changed nothing but rows is emptied instead, and the next test gets it by another name.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from emberkeep.base import sql as statements
from emberkeep.base.postgres import run_embedded

_SQL: Final = statements.load("emberkeep.testing", "clean.sql")
_STOP_TIMEOUT_S: Final = 30
_POLL_S: Final = 0.002
# What was deleted still takes room, and the next test has to step over it.
_MOST_BYTES: Final = 4_000_000
_OPTIONS: Final = {
    # Nothing that a test writes has to outlive a power cut. What a transaction sees is the same.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # Its workers would visit the database that is being copied.
    "autovacuum": "off",
}


@contextlib.contextmanager
def run_server() -> Generator[str]:
    """Keep an embedded server up for the block; lend the connection string of its superuser.

    :raises PostgresUnavailable: when there can be no server
    """
    directory = Path(tempfile.mkdtemp(prefix="emberkeep-testing-"))
    # As root the server is another user, who must be able to get to its data.
    directory.chmod(0o711)
    try:
        with run_embedded(data_dir=directory / "server", options=_OPTIONS) as server:
            supervisor = psutil.Process(server.pid).parent()
            yield server.dsn
        # It would find out by itself that nobody is left, but only after a while.
        if supervisor is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                supervisor.terminate()
            supervisor.wait(_STOP_TIMEOUT_S)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def open_lender(server_dsn: str, fill: Callable[[str], None]) -> Generator[DatabaseLender]:
    """Lend what lends databases for the block. `fill` makes, from an empty one, what all are like."""
    with psycopg.connect(server_dsn, autocommit=True) as admin:
        template = _create(admin, "template1")
        try:
            fill(make_conninfo(server_dsn, dbname=template))
            lender = DatabaseLender(server_dsn, admin, template)
            yield lender
            lender.close()
        finally:
            _drop(admin, template)


class DatabaseLender:
    """Lends one database at a time; each is as the template is, and has a name of its own."""

    def __init__(self, server_dsn: str, admin: psycopg.Connection, template: str) -> None:
        self._server_dsn = server_dsn
        self._admin = admin
        self._template = template
        # A copy has the very catalogues of its template.
        with self._connect(template) as conn:
            self._shape, _ = _read_shape(conn)
        _end_clients(admin, template)
        # A database that is clean again.
        self._spare: str | None = None

    @contextlib.contextmanager
    def lend(self) -> Generator[str]:
        """Lend the connection string of a database for the block."""
        name = self._spare or _create(self._admin, self._template)
        self._spare = None
        try:
            yield make_conninfo(self._server_dsn, dbname=name)
        finally:
            renamed = _take_away(self._admin, name)
            if self._clean(renamed):
                self._spare = renamed
            else:
                _drop(self._admin, renamed)

    def close(self) -> None:
        """Drop what is left."""
        if self._spare is not None:
            _drop(self._admin, self._spare)

    def _clean(self, name: str) -> bool:
        """Empty a database; say whether it is as good as new."""
        with self._connect(name) as conn:
            shape, size_bytes = _read_shape(conn)
            if shape != self._shape or size_bytes > _MOST_BYTES:
                return False
            conn.execute(_SQL["act_as_replica"])
            conn.execute(_SQL["empty_tables"])
        return True

    def _connect(self, name: str) -> psycopg.Connection:
        return psycopg.connect(self._server_dsn, dbname=name, autocommit=True)


def _create(admin: psycopg.Connection, template: str) -> str:
    name = _make_name()
    create = sql.SQL("create database {} template {}")
    admin.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    return name


def _take_away(admin: psycopg.Connection, name: str) -> str:
    """Rename a database, so that whoever is left of a test and connects again finds nothing."""
    old, new = sql.Identifier(name), sql.Identifier(renamed := _make_name())
    # Nobody comes between the end of the last client and the new name, which nobody knows.
    admin.execute(sql.SQL("alter database {} allow_connections false").format(old))
    _end_clients(admin, name)
    admin.execute(sql.SQL("alter database {} rename to {}").format(old, new))
    admin.execute(sql.SQL("alter database {} allow_connections true").format(new))
    return renamed


def _drop(admin: psycopg.Connection, name: str) -> None:
    _end_clients(admin, name)
    drop = sql.SQL("drop database {} with (force)")
    admin.execute(drop.format(sql.Identifier(name)))


def _end_clients(admin: psycopg.Connection, name: str) -> None:
    """Wait until nobody is connected: PostgreSQL itself would look only every 100 ms."""
    statement = "end_clients"
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while _count(admin, statement, name):
        statement = "count_clients"
        assert time.monotonic() < deadline, f"somebody does not leave the database {name}"
        time.sleep(_POLL_S)


def _count(admin: psycopg.Connection, statement: str, name: str) -> int:
    row = admin.execute(_SQL[statement], {"database": name}).fetchone()
    assert row is not None
    return int(row[0])


def _make_name() -> str:
    return f"test_{secrets.token_hex(8)}"


def _read_shape(conn: psycopg.Connection) -> tuple[str, int]:
    row = conn.execute(_SQL["read_shape"], {}).fetchone()
    assert row is not None
    shape, size_bytes = row
    return str(shape), int(size_bytes)
