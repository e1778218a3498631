"""The event store's routes over a migrated database, at an instant that a test sets."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.config import Settings
from emberkeep.base.db import open_database
from emberkeep.events.routes import ROUTES
from emberkeep.events.service.services import make_services
from emberkeep.web.app import Services, make_app
from tests.conftest import lend_database
from tests.http.events.serving import measure_nothing
from tests.http.notes_app import KEYS
from tests.http.xp.api import Api

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from emberkeep.base.postgres import EmbeddedServer


@pytest.fixture
def dsn(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[str]:
    """The connection string of a new database with the whole schema."""
    with lend_database(postgres_server, template=migrated_template) as name:
        yield postgres_server.dsn_for(name)


@pytest.fixture
async def api(dsn: str) -> AsyncIterator[Api]:
    """The application, called in process."""
    async with _open_api(dsn, Settings()) as api:
        yield api


@pytest.fixture
async def erasing_api(dsn: str) -> AsyncIterator[Api]:
    """The application where erasing is allowed."""
    async with _open_api(dsn, Settings(allow_erasure=True)) as api:
        yield api


@contextlib.asynccontextmanager
async def _open_api(dsn: str, settings: Settings) -> AsyncGenerator[Api]:
    async with open_database(dsn, connections=8) as database:
        events = make_services(database, settings)
        await events.start()
        api = Api()
        api.app = make_app(
            Services(
                keys=KEYS,
                database=database,
                check_ready=api.check_ready,
                measure=measure_nothing,
                routes=ROUTES,
                provided={"events": events},
                read_now=lambda: api.now,
            )
        )
        yield api
        await events.stop()
