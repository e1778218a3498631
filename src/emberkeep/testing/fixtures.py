"""The fixtures. Those of a whole run are made when the first test asks for them."""

from __future__ import annotations

from collections.abc import Iterator

try:
    import pytest
except ModuleNotFoundError as e:
    raise ModuleNotFoundError(
        "emberkeep.testing is for pytest, which is not installed here: pip install pytest",
        name=e.name,
    ) from e

from emberkeep.base import clock
from emberkeep.events.model import DEFAULT_SCHEMA
from emberkeep.events.service.stores import create_store
from emberkeep.testing.blocking import BlockingStore, open_runner
from emberkeep.testing.database import DatabaseLender, open_lender, run_server
from emberkeep.testing.store import CleanStore


@pytest.fixture(scope="session")
def emberkeep_server() -> Iterator[str]:
    """The connection string of a superuser on a PostgreSQL that is there for this run.

    To use a server of your own, define a session fixture of this name that returns such a string.
    """
    with run_server() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def emberkeep_databases(emberkeep_server: str) -> Iterator[DatabaseLender]:
    """Lends databases that hold an empty store and nothing else."""

    def fill(dsn: str) -> None:
        with open_runner() as runner:
            runner.run(create_store(dsn, schema=DEFAULT_SCHEMA, now=clock.read_now()))

    with open_lender(emberkeep_server, fill) as lender:
        yield lender


@pytest.fixture
def event_database(emberkeep_databases: DatabaseLender) -> Iterator[str]:
    """The connection string of a database with an empty store, which only this test has."""
    with emberkeep_databases.lend() as dsn:
        yield dsn


@pytest.fixture
def event_store(event_database: str) -> CleanStore:
    """An empty store, for async tests, whatever runs them."""
    return CleanStore(event_database)


@pytest.fixture
def blocking_event_store(event_database: str) -> Iterator[BlockingStore]:
    """An empty store, for plain tests; in one test it is the same as `event_store`."""
    with open_runner() as runner:
        yield BlockingStore(CleanStore(event_database), runner)
