"""The fixtures of the front's tests: the application of notes_app, with and without a database."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from emberkeep.base.db import Database, open_database
from emberkeep.base.identity import Role
from emberkeep.migrate.service import apply_migrations
from tests.http.notes_app import NOW, Client, make_test_app, make_test_token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


@contextlib.asynccontextmanager
async def _open_notes(dsn: str) -> AsyncGenerator[Database]:
    await apply_migrations(dsn, now=NOW, module="web")
    async with open_database(dsn, connections=8) as database:
        async with database.connection() as conn:
            await conn.execute("create table notes (player_id text not null, text text not null)")
        yield database


@pytest.fixture
async def database(empty_database: str) -> AsyncIterator[Database]:
    """A database with the front's own schema and one table."""
    async with _open_notes(empty_database) as opened:
        yield opened


@pytest.fixture
def notes(empty_database: str) -> Any:
    """Return a function that lists what was written, on a connection of its own."""

    def list_notes() -> list[tuple[str, str]]:
        with psycopg.connect(empty_database) as conn:
            return conn.execute("select player_id, text from notes order by 1, 2").fetchall()

    return list_notes


@pytest.fixture
def client(database: Database) -> Client:
    """The test's application, called in process."""
    return Client(make_test_app(database))


@pytest.fixture
def lone_client() -> Client:
    """The test's application without a database: for what never reaches one."""
    return Client(make_test_app(None))  # type: ignore[arg-type]


@pytest.fixture
def service_token() -> str:
    """The token of a game server."""
    return make_test_token(Role.SERVICE)


@pytest.fixture
def player_token() -> str:
    """The token of the player `p-1`."""
    return make_test_token(Role.PLAYER, "p-1")
