"""The subscriptions of one process: one watcher and one heartbeat for all of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

from emberkeep.base.db import Connection, Database
from emberkeep.events.model import (
    DEFAULT_SCHEMA,
    OneStream,
    RecordedEvent,
    Source,
    SubscriptionPlan,
)
from emberkeep.events.rules import subscription as rules
from emberkeep.events.rules.upcast import NO_UPCASTERS, Upcasters
from emberkeep.events.service.ground import Ground, Heartbeat
from emberkeep.events.service.handling import BatchWork, EventWork, WorkDone
from emberkeep.events.service.membership import Membership
from emberkeep.events.service.scan import find_end, scan_source
from emberkeep.events.service.subscription import Subscription
from emberkeep.events.service.watcher import HorizonWatcher

DEFAULT_LEASE_S: Final = 10.0
_PAGE: Final = 500
_IDLE_POLL_S: Final = 5.0

Handle = Callable[[Any], Awaitable[None]]
"""Takes one event, or what the plan's mapper made of it."""
HandleBatch = Callable[[Connection, list[RecordedEvent]], Awaitable[None]]
"""Takes events in order and a connection whose transaction also moves the checkpoint."""


class SubscriptionHub:
    """Follows the store for anybody in the process: for a while, or by a name that is kept."""

    def __init__(
        self,
        database: Database,
        *,
        schema: str = DEFAULT_SCHEMA,
        lease_s: float = DEFAULT_LEASE_S,
        poll_s: float = 1.0,
        listens: bool = True,
        upcasters: Upcasters = NO_UPCASTERS,
    ) -> None:
        self._ground = Ground(
            database=database,
            watcher=HorizonWatcher(database.dsn, schema=schema, poll_s=poll_s, listens=listens),
            heartbeat=Heartbeat(database, lease_s=lease_s, schema=schema),
            upcasters=upcasters,
            schema=schema,
        )

    @property
    def database(self) -> Database:
        """The database of the store."""
        return self._ground.database

    @property
    def schema(self) -> str:
        """The schema of the store."""
        return self._ground.schema

    async def start(self) -> None:
        """Begin to watch the store.

        :raises DatabaseUnavailable: when the database cannot be reached
        :raises OrderUnknown: on a standby
        """
        await self._ground.watcher.start()
        self._ground.heartbeat.start()

    async def stop(self) -> None:
        """End watching. Whoever still follows should have been ended before."""
        await self._ground.heartbeat.stop()
        await self._ground.watcher.stop()

    async def follow(
        self,
        source: Source,
        *,
        after: int | None = None,
        event_types: tuple[str, ...] | None = None,
    ) -> AsyncGenerator[RecordedEvent]:
        """Yield events after a number and then, without a gap or a double, what is appended.

        Nothing is kept: to go on later, ask with the `number` of the last event. `after=None`
        begins with what is appended from now on. It never ends by itself.

        :raises SubscriptionInvalid: when nothing of this name can be followed
        :raises StreamDeleted: when the one stream that is followed is deleted
        """
        rules.check_source(source)
        with self._ground.watcher.watch(source) as watch:
            if after is None:
                after = await self.find_end(source)
            while True:
                watch.forget_news()
                async with self.database.connection() as conn:
                    scan = await scan_source(
                        conn,
                        source=source,
                        after=after,
                        horizon=self._ground.watcher.horizon.event_id,
                        event_types=event_types,
                        max_count=_PAGE,
                        schema=self.schema,
                    )
                for event in self._ground.upcasters.apply_all(scan.events):
                    yield event
                after = scan.position
                if scan.is_end:
                    await watch.wait_for_news(_IDLE_POLL_S)

    @contextlib.asynccontextmanager
    async def subscribe(self, plan: SubscriptionPlan) -> AsyncGenerator[Subscription]:
        """Lend a persistent subscription: iterate over it, and acknowledge what is dealt with.

        Each event is delivered at least once. Who breaks off, or is killed, goes on after the last
        checkpoint; another consumer of the same name takes over meanwhile.

        :raises SubscriptionInvalid: when the plan cannot be carried out
        :raises SubscriptionChanged: when it falls into another number of partitions
        """
        rules.check_plan(plan)
        subscription = Subscription(plan)
        membership = Membership(self._ground, plan, subscription.feed)
        async with subscription.kept_by(membership):
            yield subscription

    async def run(self, plan: SubscriptionPlan, handle: Handle) -> None:
        """Have every event of a persistent subscription handled, at least once, until cancelled.

        What `handle` raises counts as an attempt, unless the database is away: the event is tried
        again, and then parked, or the partition stops.

        :raises SubscriptionInvalid: when the plan cannot be carried out
        :raises SubscriptionChanged: when it falls into another number of partitions
        """
        rules.check_plan(plan)
        await Membership(self._ground, plan, EventWork(plan, handle)).run()

    async def run_batches(
        self, plan: SubscriptionPlan, handle: HandleBatch, *, until: int | None = None
    ) -> None:
        """Have events handled in the transaction that moves the checkpoint: once, in effect.

        A batch that fails is handled event by event, so that only the culprit is tried again and
        then parked, or the partition stops at it. The errors are those of `run`.

        It returns once everything up to the number `until` is dealt with, if that is given.

        :raises SubscriptionStopped: with `until`, when it stops at an event before that
        """
        rules.check_plan(plan)
        work = BatchWork(plan, handle, self.database, until=until)
        membership = Membership(self._ground, plan, work, ends_when_stopped=until is not None)
        with contextlib.suppress(WorkDone):
            await membership.run()

    async def find_end(self, source: Source) -> int:
        """Return the number of the present end of what can be followed."""
        async with self.database.connection() as conn:
            end = await find_end(conn, source=source, schema=self.schema)
        return end.stream_version if isinstance(source, OneStream) else end.event_id
