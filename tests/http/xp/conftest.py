"""The whole application over a migrated database, at an instant that a test sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emberkeep.base.config import Settings
from emberkeep.base.db import open_database
from emberkeep.web.app import Services, make_app
from emberkeep.xp.routes import ROUTES, make_hot_routes
from emberkeep.xp.service.services import make_services
from tests.claiming import World
from tests.conftest import lend_database
from tests.http.notes_app import KEYS
from tests.http.xp.api import Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from emberkeep.base.postgres import EmbeddedServer


@pytest.fixture
def dsn(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[str]:
    """The connection string of a new database with the whole schema."""
    with lend_database(postgres_server, template=migrated_template) as name:
        yield postgres_server.dsn_for(name)


@pytest.fixture
def world(dsn: str) -> World:
    """What stands in the database, past the API."""
    return World(dsn)


@pytest.fixture
async def api(dsn: str) -> AsyncIterator[Api]:
    """The application, called in process."""
    async with open_database(dsn, connections=8) as database:
        xp = make_services(database, Settings())
        await xp.desk.start()
        api = Api()
        api.xp = xp
        api.app = make_app(
            Services(
                keys=KEYS,
                database=database,
                check_ready=api.check_ready,
                collectors=(xp.desk.rule_failures.counter,),
                routes=ROUTES,
                hot_routes=make_hot_routes(xp),
                provided={"xp": xp},
                read_now=lambda: api.now,
            )
        )
        yield api
        await xp.desk.stop()
