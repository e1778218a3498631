"""Connections to a store of the test's own, in which every invariant must hold afterwards.

A new database for each test would take longer than the tests: they get the same one, emptied. Those
that change what functions and tables are ask for `database`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.base.db import Connection, Database, connect, open_database
from tests.conftest import lend_database
from tests.eventing import SHOP, add_store, list_violations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from emberkeep.base.postgres import EmbeddedServer

# As a replica: triggers, among them those that refuse it, do not fire.
_EMPTY = """
    set session_replication_role = replica;
    do $$
    declare
        name text;
    begin
        perform pg_terminate_backend(pid)
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid();

        for name in
            select format('%I.%I', schemaname, tablename)
            from pg_tables
            where schemaname in ('event_store', 'shop_events') and tablename <> 'schema_migrations'
        loop
            execute 'delete from ' || name;
        end loop;

        perform setval(format('%I.%I', schemaname, sequencename), 1, false)
        from pg_sequences
        where schemaname in ('event_store', 'shop_events');
    end
    $$;
"""


@pytest.fixture(scope="session")
async def two_stores(postgres_server: EmbeddedServer, migrated_template: str) -> AsyncIterator[str]:
    """The connection string of a database with two stores, which tests share."""
    with lend_database(postgres_server, template=migrated_template) as name:
        dsn = postgres_server.dsn_for(name)
        await add_store(dsn, SHOP)
        yield dsn


@pytest.fixture
def dsn(two_stores: str) -> Iterator[str]:
    """The connection string of a database with two stores without an event."""
    yield two_stores
    with psycopg.connect(two_stores, autocommit=True) as conn:
        conn.execute(_EMPTY)


@pytest.fixture
async def conn(dsn: str) -> AsyncIterator[Connection]:
    """A connection in autocommit mode; what it leaves is verified."""
    async with await connect(dsn) as conn:
        yield conn
    assert await list_violations(dsn) == {}


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[Connection]:
    """A second connection to the same database."""
    async with await connect(dsn) as conn:
        yield conn


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Database]:
    """A pool of one connection, so that whoever keeps it holds up the others."""
    async with open_database(dsn, connections=1) as pool:
        yield pool
