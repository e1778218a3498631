"""Test support for those who use the event store: a real PostgreSQL, and a clean store per test.

For pytest, which has to be installed: `pytest -p emberkeep.testing`, or in the conftest.py at the
root `pytest_plugins = ["emberkeep.testing"]`. Nothing in Emberkeep imports this.

Reading order: events, store, blocking, database, fixtures.

    emberkeep_server ──── emberkeep_databases ──── event_database ──┬── event_store, for async tests
    one PostgreSQL a run   a store to copy          a clean copy    └── blocking_event_store
"""

from emberkeep.testing.blocking import BlockingStore
from emberkeep.testing.events import create_test_event
from emberkeep.testing.fixtures import (
    blocking_event_store,
    emberkeep_databases,
    emberkeep_server,
    event_database,
    event_store,
)
from emberkeep.testing.store import CleanStore

__all__ = [
    "BlockingStore",
    "CleanStore",
    "blocking_event_store",
    "create_test_event",
    "emberkeep_databases",
    "emberkeep_server",
    "event_database",
    "event_store",
]
