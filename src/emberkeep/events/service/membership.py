"""A consumer's place in a subscription: joins, leases its share, works on it, leaves.

join ──▶ lease ──▶ a lane for each partition ──▶ leave
           ▲            │ fails, lost, or one too many
           └────────────┘
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

import structlog

from emberkeep.base import clock, db
from emberkeep.base.tasks import end_tasks
from emberkeep.events import store
from emberkeep.events.model import (
    Lease,
    LeaseLost,
    SubscriptionChanged,
    SubscriptionPlan,
    SubscriptionStopped,
)
from emberkeep.events.rules import subscription as rules
from emberkeep.events.service.ground import Ground
from emberkeep.events.service.lane import Lane
from emberkeep.events.service.scan import ensure_subscription

Work = Callable[[Lane], Coroutine[Any, Any, None]]

_PAUSE_AFTER_FAILURE_S: Final = 0.5

_log = structlog.get_logger(__name__)


class Membership:
    """Keeps `work` going on as many partitions as are this consumer's share."""

    def __init__(
        self,
        ground: Ground,
        plan: SubscriptionPlan,
        work: Work,
        *,
        ends_when_stopped: bool = False,
    ) -> None:
        self._ground = ground
        self._plan = plan
        self._work = work
        self._ends_when_stopped = ends_when_stopped
        self._consumer_id = clock.new_id()
        self._lanes: dict[int, tuple[Lease, Lane, asyncio.Task[None]]] = {}
        # By these leases a commit may still be under way, whose reply was lost.
        self._doubtful: list[Lease] = []
        self._is_forgotten = False

    def find_lane(self, partition: int) -> Lane | None:
        """Return the lane that is at work on a partition, if it is ours."""
        entry = self._lanes.get(partition)
        return None if entry is None else entry[1]

    def list_lanes(self) -> list[Lane]:
        """Return the lanes that are at work."""
        return [lane for _, lane, _ in self._lanes.values()]

    async def run(self) -> None:
        """Work until cancelled.

        :raises SubscriptionChanged: when it falls into another number of partitions
        :raises SubscriptionUnknown: when it was deleted meanwhile
        :raises SubscriptionInvalid: when it would begin in the future
        :raises Exception: what `work` raised, if that was neither a lost lease, a stop, nor the
            database being away
        """
        async with self._ground.database.connection() as conn:
            self._check_limit(
                await ensure_subscription(conn, plan=self._plan, schema=self._ground.schema)
            )
        await self._join()
        try:
            with self._ground.watcher.watch(self._plan.source) as watch:
                while True:
                    await self._take_share()
                    await self._wait(watch.wait_for_call(self._ground.heartbeat.beat_s))
        finally:
            await self._leave()

    async def _join(self) -> None:
        async with self._ground.database.connection() as conn:
            await store.join_subscription(
                conn,
                subscription_id=self._plan.subscription_id,
                stream_id=rules.name_source(self._plan.source),
                consumer_id=self._consumer_id,
                consumer_name=f"{socket.gethostname()}:{os.getpid()}",
                now=clock.read_now(),
                schema=self._ground.schema,
            )
        self._is_forgotten = False
        self._ground.heartbeat.keep_alive(self._consumer_id, self._note_forgotten)

    def _note_forgotten(self) -> None:
        """Others took us for dead, because we were silent for too long: join again."""
        self._is_forgotten = True

    def _check_limit(self, concurrency_limit: int) -> None:
        """Refuse to work on partitions that were cut otherwise: events would fall between them."""
        if concurrency_limit != self._plan.concurrency_limit:
            raise SubscriptionChanged(
                f"{self._plan.subscription_id} falls into {concurrency_limit} partitions, not into"
                f" {self._plan.concurrency_limit}: reset it to change that",
                concurrency_limit=concurrency_limit,
            )

    async def _leave(self) -> None:
        self._ground.heartbeat.let_go(self._consumer_id)
        await self._end_lanes(list(self._lanes))
        # Who cannot say goodbye is forgotten when the leases run out.
        with contextlib.suppress(Exception):
            async with self._ground.database.connection() as conn:
                await store.leave_subscription(
                    conn, consumer_id=self._consumer_id, schema=self._ground.schema
                )

    async def _take_share(self) -> None:
        """Bring the lanes in line with what the database says is ours."""
        try:
            if self._is_forgotten:
                await self._join()
            # Waits for the commit, or makes it fail. Under the old lease the work would be done again.
            await self._give_back(self._doubtful)
            self._doubtful.clear()
            leases = await self._lease()
            held = {lease.partition: lease.token for lease in leases}
            lost = [p for p, (lease, _, _) in self._lanes.items() if held.get(p) != lease.token]
            await self._end_lanes(lost)
            share = leases[0].share if leases else 0
            await self._give_back(leases[share:])
        except Exception as e:
            if not db.is_passing(e):
                raise
            _log.warning("subscription_waits", error=type(e).__name__)
            return
        for lease in leases[:share]:
            if lease.partition not in self._lanes:
                await self._start_lane(lease)

    async def _lease(self) -> list[Lease]:
        now = clock.read_now()
        lease = self._ground.heartbeat.lease
        async with self._ground.database.connection() as conn:
            leases = await store.lease_partitions(
                conn,
                subscription_id=self._plan.subscription_id,
                stream_id=rules.name_source(self._plan.source),
                consumer_id=self._consumer_id,
                seen_after=now - lease,
                leased_until=now + lease,
                now=now,
                schema=self._ground.schema,
            )
        for granted in leases:
            self._check_limit(granted.concurrency_limit)
        return leases

    async def _start_lane(self, lease: Lease) -> None:
        ready: asyncio.Future[Lane] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            with self._ground.watcher.watch(self._plan.source) as watch:
                lane = Lane(self._ground, watch, plan=self._plan, lease=lease)
                ready.set_result(lane)
                await lane.run(self._work)

        task = asyncio.create_task(work())
        self._lanes[lease.partition] = (lease, await ready, task)

    async def _give_back(self, surplus: Iterable[Lease]) -> None:
        for lease in surplus:
            await self._end_lanes([lease.partition])
            async with self._ground.database.connection() as conn:
                await store.release_partition(
                    conn,
                    lease=lease,
                    schema=self._ground.schema,
                )

    async def _end_lanes(self, partitions: Iterable[int]) -> None:
        tasks = [
            self._lanes.pop(partition)[2]
            for partition in list(partitions)
            if partition in self._lanes
        ]
        await end_tasks(*tasks)

    async def _wait(self, call: Awaitable[None]) -> None:
        """Wait for a call or the next turn, or until a lane ends, and say why it did."""
        waiting = asyncio.ensure_future(call)
        tasks = [task for _, _, task in self._lanes.values()]
        try:
            await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        for partition, (lease, _, task) in list(self._lanes.items()):
            if task.done():
                del self._lanes[partition]
                await self._judge(lease, task.exception())

    async def _judge(self, lease: Lease, error: BaseException | None) -> None:
        is_expected = isinstance(error, LeaseLost) or (
            isinstance(error, SubscriptionStopped) and not self._ends_when_stopped
        )
        if error is None or is_expected or db.is_passing(error):
            _log.warning(
                "lane_ended",
                subscription=self._plan.subscription_id,
                partition=lease.partition,
                error=type(error).__name__,
            )
            if error is not None and db.is_passing(error):
                self._doubtful.append(lease)
            # Whatever it was, to try again at once would be no help.
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
            return
        raise error
