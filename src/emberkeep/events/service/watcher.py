"""Wakes those who follow the store: one connection a process, however many they are.

A notification wakes the watcher, which reads how far `$all` is final and wakes whom that concerns.
A poll is the net below: what is not notified is seen within a second. While an append is under way,
or others may follow at once, it looks again after a few milliseconds instead of waiting for a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Generator
from typing import Final

from emberkeep.base import db, listen, tasks
from emberkeep.base.db import Connection
from emberkeep.events import store
from emberkeep.events.model import AllStreams, Horizon, OneStream, Source, StreamId
from emberkeep.events.rules import subscription as rules

# An append that found somebody else notifying is seen by looking again so soon.
_LINGER_S: Final = 0.01
# A transaction that stays open is no reason to ask a hundred times a second for hours.
_PATIENT_S: Final = 0.1
_PATIENT_AFTER_S: Final = 2.0
# Beyond so many positions, or streams, everybody is woken instead of those it concerns.
_MOST_POSITIONS: Final = 5_000
_MOST_STREAMS: Final = 1_000
_EVERYBODY: Final = "*"


class Watch:
    """What one follower waits on: something to see, or a call that something was changed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        # Whoever begins to watch has to look first.
        self._news = asyncio.Event()
        self._news.set()
        self._call = asyncio.Event()
        self._call.set()

    def wake(self) -> None:
        """Tell the follower that there is something to see."""
        self._news.set()

    def call(self) -> None:
        """Tell the follower that an operator, or another consumer, has changed something."""
        self._call.set()
        self._news.set()

    def forget_news(self) -> None:
        """From here on a wake-up means something new; called before looking."""
        self._news.clear()

    async def wait_for_news(self, timeout_s: float) -> None:
        """Wait until there may be something to see, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()

    async def wait_for_call(self, timeout_s: float) -> None:
        """Wait until something was changed since the last call, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._call.wait()
        self._call.clear()


class HorizonWatcher:
    """Knows how far `$all` is final, a moment after it is."""

    def __init__(self, dsn: str, *, schema: str, poll_s: float = 1.0, listens: bool = True) -> None:
        self._dsn = dsn
        self._schema = schema
        self._poll_s = poll_s
        self._listens = listens
        self._horizon = Horizon(0, 0)
        self._watches: set[Watch] = set()
        self._task: asyncio.Task[None] | None = None
        self._moved_at_s = 0.0

    @property
    def horizon(self) -> Horizon:
        """How far `$all` was final when it was last asked."""
        return self._horizon

    async def start(self) -> None:
        """Connect, read the horizon and begin to watch.

        :raises DatabaseUnavailable: when the database cannot be reached
        :raises OrderUnknown: on a standby
        """
        conn = await self._connect()
        self._task = asyncio.create_task(
            listen.stay_connected(
                conn,
                connect=self._connect,
                attend=self._attend,
                when_back=self._call_everybody,
                name="watcher",
            )
        )

    async def stop(self) -> None:
        """End watching; followers wait for their own time-outs from now on."""
        if self._task is not None:
            await tasks.end_tasks(self._task)

    @contextlib.contextmanager
    def watch(self, source: Source) -> Generator[Watch]:
        """Lend a watch that is woken, from now on, when something new belongs to `source`."""
        watch = Watch(source)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    async def _connect(self) -> Connection:
        conn = await db.connect(self._dsn, application="emberkeep-watcher")
        async with listen.closed_on_failure(conn):
            if self._listens:
                await db.listen(conn, self._schema)
            self._horizon = await store.read_horizon(conn, schema=self._schema)
        return conn

    async def _attend(self, conn: Connection) -> None:
        while True:
            await self._look(conn, await db.wait_notified(conn, self._pause_s()))
            tasks.heed_cancellation()

    def _pause_s(self) -> float:
        still_s = time.monotonic() - self._moved_at_s
        if not self._horizon.is_waiting:
            # One more look after the last move, in case an append was not notified beside another.
            return _LINGER_S if still_s < _LINGER_S else self._poll_s
        return _LINGER_S if still_s < _PATIENT_AFTER_S else _PATIENT_S

    async def _look(self, conn: Connection, payloads: set[str]) -> None:
        before = self._horizon
        self._horizon = await store.read_horizon(conn, schema=self._schema)
        if self._horizon.event_id > before.event_id:
            await self._wake(conn, before.event_id, self._horizon.event_id)
        if self._horizon != before:
            self._moved_at_s = time.monotonic()
        if _EVERYBODY in payloads:
            self._call_everybody()
        for watch in self._watches:
            if isinstance(watch.source, OneStream) and watch.source.stream_id in payloads:
                watch.wake()

    async def _wake(self, conn: Connection, after: int, through: int) -> None:
        streams = await self._list_streams(conn, after, through)
        for watch in self._watches:
            if streams is None or any(rules.is_of_source(watch.source, s) for s in streams):
                watch.wake()

    async def _list_streams(
        self, conn: Connection, after: int, through: int
    ) -> list[StreamId] | None:
        """Return the streams that were written to; None where everybody may be concerned."""
        if through - after > _MOST_POSITIONS or all(
            isinstance(watch.source, AllStreams) for watch in self._watches
        ):
            return None
        streams = await store.list_streams_between(
            conn,
            after_event_id=after,
            through_event_id=through,
            max_rows=_MOST_STREAMS,
            schema=self._schema,
        )
        return streams if len(streams) < _MOST_STREAMS else None

    def _call_everybody(self) -> None:
        for watch in self._watches:
            watch.call()
