"""What those who follow the store stand on, shared by all of a process."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import uuid
from collections.abc import Callable
from typing import Final

import structlog

from emberkeep.base import clock
from emberkeep.base.db import Database
from emberkeep.base.tasks import end_tasks
from emberkeep.events import store
from emberkeep.events.rules.upcast import Upcasters
from emberkeep.events.service.watcher import HorizonWatcher

_BEATS_A_LEASE: Final = 3

_log = structlog.get_logger(__name__)


class Heartbeat:
    """Renews the leases of every consumer of the process, with one statement a beat."""

    def __init__(self, database: Database, *, lease_s: float, schema: str) -> None:
        self._database = database
        self._schema = schema
        self._members: dict[uuid.UUID, Callable[[], None]] = {}
        self._task: asyncio.Task[None] | None = None
        self.lease = datetime.timedelta(seconds=lease_s)
        self.beat_s = lease_s / _BEATS_A_LEASE

    def start(self) -> None:
        """Begin to beat."""
        self._task = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Let all leases run out."""
        if self._task is not None:
            await end_tasks(self._task)

    def keep_alive(self, consumer_id: uuid.UUID, note_forgotten: Callable[[], None]) -> None:
        """Renew what this consumer leases; tell it when others have taken it for dead."""
        self._members[consumer_id] = note_forgotten

    def let_go(self, consumer_id: uuid.UUID) -> None:
        """Let what this consumer leases run out, if nothing else happens to it."""
        self._members.pop(consumer_id, None)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.beat_s)
            if not self._members:
                continue
            try:
                await self._renew()
            except Exception as e:  # noqa: BLE001 -- The next beat may be in time still.
                _log.warning("leases_not_renewed", error=type(e).__name__)

    async def _renew(self) -> None:
        now = clock.read_now()
        members = dict(self._members)
        async with self._database.connection() as conn:
            known = await store.renew_leases(
                conn,
                consumer_ids=list(members),
                leased_until=now + self.lease,
                now=now,
                schema=self._schema,
            )
        for consumer_id, note_forgotten in members.items():
            if consumer_id not in known and consumer_id in self._members:
                note_forgotten()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The database, the watcher and the heartbeat; and how events of an old form are read."""

    database: Database
    watcher: HorizonWatcher
    heartbeat: Heartbeat
    upcasters: Upcasters
    schema: str
