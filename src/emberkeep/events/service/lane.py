"""One partition of a subscription at work, by one lease: reads, remembers, writes checkpoints."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from emberkeep.base import clock
from emberkeep.base.db import Connection
from emberkeep.base.tasks import run_until_first
from emberkeep.events import store
from emberkeep.events.model import (
    Delivery,
    Lease,
    LeaseLost,
    OneStream,
    RecordedEvent,
    SubscriptionPlan,
    SubscriptionStopped,
)
from emberkeep.events.rules import subscription as rules
from emberkeep.events.rules.progress import Position, Progress
from emberkeep.events.service.ground import Ground
from emberkeep.events.service.scan import scan_source
from emberkeep.events.service.watcher import Watch

# Whoever follows one stream looks for itself once in a while; nobody else need.
_IDLE_POLL_S: Final = 5.0
# That nothing was wanted for a while is worth a checkpoint too, but not one a second.
_PASSED_BY_S: Final = 10.0
_REPLAYS_AT_ONCE: Final = 100


class Lane:
    """A partition while it is leased. Whatever it writes is refused once the lease is lost."""

    def __init__(
        self, ground: Ground, watch: Watch, *, plan: SubscriptionPlan, lease: Lease
    ) -> None:
        self._database = ground.database
        self._watcher = ground.watcher
        self._upcasters = ground.upcasters
        self._schema = ground.schema
        self._watch = watch
        self._plan = plan
        self._lease = lease
        self._progress = Progress(
            Position(lease.event_id, lease.stream_version),
            is_stream=isinstance(plan.source, OneStream),
        )
        # Set when a checkpoint is due; and when the consumer has room for more.
        self._is_due = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def partition(self) -> int:
        """Which partition this is."""
        return self._lease.partition

    async def run(self, work: Callable[[Lane], Coroutine[Any, Any, None]]) -> None:
        """Let `work` have the lane until it ends, fails or is cancelled; then write the checkpoint.

        :raises LeaseLost: when another consumer has the partition
        """
        try:
            await run_until_first(work(self), self._keep_checkpoints())
        finally:
            # Not worth an error: what is not written is delivered once more.
            with contextlib.suppress(Exception):
                await self.write_checkpoint()

    async def read(self, max_count: int, *, until: int | None = None) -> list[RecordedEvent]:
        """Return the next events of the partition, at least one, and wait for it if need be.

        None are returned once everything up to the number `until` was.
        """
        while until is None or self._progress.read_after < until:
            self._watch.forget_news()
            events, is_end = await self._read_on(max_count)
            if events:
                return events
            if is_end:
                await self._watch.wait_for_news(_IDLE_POLL_S)
        return []

    async def read_replays(self) -> list[RecordedEvent]:
        """Return parked events that an operator wants handled once more."""
        async with self._database.connection() as conn:
            events = await store.read_replays(
                conn,
                lease=self._lease,
                max_count=_REPLAYS_AT_ONCE,
                schema=self._schema,
            )
        return self._upcasters.apply_all(events)

    async def wait_for_call(self) -> None:
        """Wait until something about the subscription may have changed."""
        await self._watch.wait_for_call(_IDLE_POLL_S)

    async def wait_for_room(self) -> int:
        """Return how many events the consumer may be handed, at least one."""
        while self._progress.outstanding >= self._plan.buffer_size:
            self._has_room.clear()
            await self._has_room.wait()
        return self._plan.buffer_size - self._progress.outstanding

    def deliver(self, event: RecordedEvent, *, is_replay: bool = False) -> Delivery:
        """Return the event as the consumer gets it."""
        mapper = self._plan.mapper
        value = event if mapper is None else mapper(event)
        return Delivery(event, value, self.partition, self._lease.token, is_replay)

    def owns(self, delivery: Delivery) -> bool:
        """Say whether the delivery was made by this very lease."""
        return delivery.lease_token == self._lease.token

    def acknowledge(self, number: int) -> None:
        """Note that every event up to this one is dealt with; the checkpoint follows in time."""
        self._progress.acknowledge(number)
        self._has_room.set()
        if self._progress.events_unwritten >= self._plan.checkpoint_every:
            self._is_due.set()

    async def write_checkpoint(self) -> None:
        """Write what is acknowledged, if that is news.

        :raises LeaseLost: when another consumer has the partition
        """
        position = self._progress.checkpoint
        if position is None:
            return
        events = self._progress.events_unwritten
        async with self._database.connection() as conn:
            await self._write(conn, position)
        self._progress.note_written(position, events)

    async def acknowledge_within(self, conn: Connection, event: RecordedEvent) -> None:
        """Move the checkpoint to `event` in the transaction of `conn`; see `note_committed`.

        :raises LeaseLost: when another consumer has the partition: roll back
        """
        await self._write(conn, self._progress.position_of(event))

    def note_committed(self, event: RecordedEvent) -> None:
        """The transaction of `acknowledge_within` has ended well.

        Not before: what counts as acknowledged may be written by anybody at any time.
        """
        self._progress.acknowledge(event.number)

    async def park(self, event: RecordedEvent, *, attempts: int, error: str) -> None:
        """Put an event aside with the reason.

        :raises LeaseLost: when another consumer has the partition
        """
        async with self._database.connection() as conn:
            is_held = await store.park_event(
                conn,
                lease=self._lease,
                event_id=event.event_id,
                number=event.number,
                attempts=attempts,
                error=error,
                now=clock.read_now(),
                schema=self._schema,
            )
        self._require(is_held)

    async def settle_replay(self, event: RecordedEvent) -> None:
        """Say that a parked event was handled after all, unless somebody skipped it meanwhile."""
        async with self._database.connection() as conn:
            await self._settle(conn, event)

    async def settle_replay_within(self, conn: Connection, event: RecordedEvent) -> None:
        """Do so in the transaction of `conn`.

        :raises LeaseLost: when another consumer has the partition, or the event was skipped: roll
            back
        """
        self._require(await self._settle(conn, event))

    async def _settle(self, conn: Connection, event: RecordedEvent) -> bool:
        return await store.settle_replay(
            conn,
            lease=self._lease,
            event_id=event.event_id,
            now=clock.read_now(),
            schema=self._schema,
        )

    async def stop_at(self, event: RecordedEvent, *, error: str) -> SubscriptionStopped:
        """Let nobody go on with the partition, at `event`; return the error that says so.

        :raises LeaseLost: when another consumer has the partition
        """
        await self.write_checkpoint()
        async with self._database.connection() as conn:
            is_held = await store.stop_partition(
                conn,
                lease=self._lease,
                error=error,
                now=clock.read_now(),
                schema=self._schema,
            )
        self._require(is_held)
        return SubscriptionStopped(
            f"{self._plan.subscription_id} stops at event {event.event_id}: {error}",
            subscription_id=self._plan.subscription_id,
            partition=self.partition,
            event_id=event.event_id,
        )

    async def _read_on(self, max_count: int) -> tuple[list[RecordedEvent], bool]:
        horizon = self._watcher.horizon.event_id
        if not isinstance(self._plan.source, OneStream) and horizon <= self._progress.read_after:
            return [], True
        async with self._database.connection() as conn:
            scan = await scan_source(
                conn,
                source=self._plan.source,
                after=self._progress.read_after,
                horizon=horizon,
                event_types=self._plan.event_types,
                max_count=max_count,
                schema=self._schema,
            )
        events = [
            event
            for event in self._upcasters.apply_all(scan.events)
            if rules.is_wanted(self._plan, event, self.partition)
        ]
        for event in events:
            self._progress.hand_out(event)
        self._progress.pass_by(scan.position)
        return events, scan.is_end

    async def _keep_checkpoints(self) -> None:
        """Write a checkpoint whenever one is due, by count or by time."""
        still_s = 0.0
        while True:
            self._is_due.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._plan.checkpoint_after_s):
                    await self._is_due.wait()
            still_s += self._plan.checkpoint_after_s
            if self._progress.events_unwritten or still_s >= _PASSED_BY_S:
                await self.write_checkpoint()
                still_s = 0.0

    async def _write(self, conn: Connection, position: Position) -> None:
        self._require(
            await store.acknowledge_events(
                conn,
                lease=self._lease,
                last_seen_event_id=position.event_id,
                last_seen_stream_version=position.stream_version,
                now=clock.read_now(),
                schema=self._schema,
            )
        )

    def _require(self, is_held: bool) -> None:
        if not is_held:
            raise LeaseLost(
                "another consumer works on the partition now",
                subscription_id=self._plan.subscription_id,
                partition=self.partition,
            )
