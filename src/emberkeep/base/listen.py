"""A connection that stays: it hears what is notified, and comes back when it is lost.

A notification is a hint and may be lost, so whoever listens also looks from time to time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import structlog

from emberkeep.base import db, tasks
from emberkeep.base.db import Connection

_RECONNECT_S: Final = 0.5
# How often a connection on which nothing is heard is asked whether anybody is there.
_PROBE_S: Final = 5.0

_log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def closed_on_failure(conn: Connection) -> AsyncGenerator[None]:
    """Close `conn` if the block does not come to its end, be it because it is cancelled."""
    try:
        yield
    except BaseException:
        await conn.close()
        raise


async def stay_connected(
    conn: Connection | None,
    *,
    connect: Callable[[], Awaitable[Connection]],
    attend: Callable[[Connection], Awaitable[None]],
    when_back: Callable[[], None],
    name: str,
) -> None:
    """Run `attend` on `conn` and, whenever that fails, on a new connection. Ends when cancelled.

    `when_back` is called once there is a new one: what happened before, nobody heard.
    """
    while True:
        if conn is None:
            conn = await _connect_at_last(connect, name)
            when_back()
        try:
            async with conn:
                await attend(conn)
        except Exception as e:  # noqa: BLE001 -- The net must not tear: connect and look again.
            _log.warning("connection_lost", connection=name, error=type(e).__name__)
        conn = None
        await asyncio.sleep(_RECONNECT_S)


async def _connect_at_last(connect: Callable[[], Awaitable[Connection]], name: str) -> Connection:
    while True:
        try:
            return await connect()
        except Exception as e:  # noqa: BLE001 -- Whatever it is, the next attempt may succeed.
            _log.warning("connection_away", connection=name, error=type(e).__name__)
        await asyncio.sleep(_RECONNECT_S)


class Listener:
    """Wakes one waiter whenever something is notified on a channel, on a connection of its own."""

    def __init__(self, dsn: str, *, channel: str, application: str) -> None:
        self._dsn = dsn
        self._channel = channel
        self._application = application
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen, as soon as there is a connection; the first news is that there is one."""
        self._task = asyncio.create_task(
            stay_connected(
                None,
                connect=self._connect,
                attend=self._attend,
                when_back=self._news.set,
                name="listener",
            )
        )

    async def stop(self) -> None:
        """End listening; whoever waits does so until the time is up from now on."""
        if self._task is not None:
            await tasks.end_tasks(self._task)

    async def wait(self, timeout_s: float) -> None:
        """Wait until something was notified since the last call, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()

    async def _connect(self) -> Connection:
        conn = await db.connect(self._dsn, application=self._application)
        async with closed_on_failure(conn):
            await db.listen(conn, self._channel)
        return conn

    async def _attend(self, conn: Connection) -> None:
        while True:
            if await db.wait_notified(conn, _PROBE_S):
                self._news.set()
            else:
                await conn.execute("select 1")
            tasks.heed_cancellation()
