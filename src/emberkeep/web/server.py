"""Listen and serve: one process, or several on one socket. Ctrl-C ends it after the last answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Generator
from typing import Any, Final, Protocol, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from emberkeep.base.errors import Conflict
from emberkeep.base.tasks import STOP_SIGNALS

_BACKLOG: Final = 2048
_GRACE_S: Final = 15


class Application(Protocol):
    """An ASGI application that can be told to end the answers that would go on for ever."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        ...

    def begin_stop(self) -> None:
        """End them; may be called more than once."""
        ...


class AddressUnusable(Conflict):
    """The address cannot be listened on, most often because another program does."""

    code = "server.address_unusable"


class _Server(uvicorn.Server):
    """Stops at a signal, like its base, but does not raise the signal again afterwards.

    What was opened around it is to be closed in order, not in the middle of an interrupt.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)


class _Connection(HttpToolsProtocol):
    """A connection that tells the application when the server begins to stop.

    Otherwise the server would wait for answers that never end, until its patience does.
    """

    def shutdown(self) -> None:
        cast("Application", self.app).begin_stop()
        super().shutdown()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address, and takes connections once it is served.

    :raises AddressUnusable: if it is taken, not ours, or not to be used by this user
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as e:
        reason = os.strerror(e.errno) if e.errno else str(e)
        raise AddressUnusable(
            f"{host}:{port} cannot be listened on: {reason.lower()}; --port names another"
        ) from e


async def serve(app: Application, sock: socket.socket) -> None:
    """Serve `app` until SIGINT or SIGTERM; requests under way are answered first."""
    await _Server(_configure(app)).serve(sockets=[sock])


def serve_processes(factory: str, sock: socket.socket, *, processes: int) -> None:
    """Serve from `processes` processes, each of which calls `factory` ("module:function") once.

    A process that dies is started again. It blocks until SIGINT or SIGTERM.
    """
    config = _configure(factory, is_factory=True, processes=processes)
    Multiprocess(config, sockets=[sock]).run()


def _configure(app: Any, *, is_factory: bool = False, processes: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=is_factory,
        workers=processes,
        loop="uvloop",
        http=_Connection,
        ws="none",
        lifespan="on" if is_factory else "off",
        # Our own front writes one line a request, and sets the headers.
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
