"""The routes of the event store on a socket of their own, for what needs a network."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import uvicorn

from emberkeep.base.config import Settings
from emberkeep.base.db import open_database
from emberkeep.events.routes import ROUTES
from emberkeep.events.service.services import make_services
from emberkeep.web.app import Services, make_app
from emberkeep.web.server import listen
from tests.http.notes_app import KEYS, NOW

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from emberkeep.base.figures import Figure


async def _is_ready() -> None:
    return


async def measure_nothing() -> list[Figure]:
    """Have nothing to tell a monitor."""
    return []


async def _serve(dsn: str, sock: socket.socket, servers: list[uvicorn.Server]) -> None:
    async with open_database(dsn, connections=4) as database:
        events = make_services(database, Settings(allow_erasure=True))
        await events.start()
        app = make_app(
            Services(
                keys=KEYS,
                database=database,
                check_ready=_is_ready,
                measure=measure_nothing,
                routes=ROUTES,
                provided={"events": events},
                read_now=lambda: NOW,
            )
        )
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        servers.append(uvicorn.Server(config))
        await servers[0].serve(sockets=[sock])
        await events.stop()


@contextlib.contextmanager
def serve(dsn: str) -> Iterator[str]:
    """Serve for the length of the block; lends the URL."""
    servers: list[uvicorn.Server] = []
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        thread = threading.Thread(target=lambda: asyncio.run(_serve(dsn, sock, servers)))
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            servers[0].should_exit = True
            thread.join()
