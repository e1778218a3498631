"""A persistent subscription as its consumer sees it: deliveries come, acknowledgements go."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from emberkeep.base.tasks import end_tasks, run_until_first
from emberkeep.events.model import Delivery, LeaseLost, RecordedEvent, SubscriptionPlan
from emberkeep.events.service.lane import Lane
from emberkeep.events.service.membership import Membership


class Subscription:
    """Hands out the events of all partitions that this consumer has, each partition's in order.

    It stops handing out when `buffer_size` events of a partition wait to be acknowledged.
    """

    def __init__(self, plan: SubscriptionPlan) -> None:
        self._plan = plan
        self._deliveries: collections.deque[Delivery] = collections.deque()
        # Set when there is a delivery, or when there will be none any more.
        self._has_news = asyncio.Event()
        self._membership: Membership | None = None
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def kept_by(self, membership: Membership) -> AsyncGenerator[None]:
        """Let `membership` feed this subscription for the length of the block.

        What ended it before, if anything did, is raised at the end of a block that did not notice.
        """
        self._membership = membership
        self._task = asyncio.create_task(membership.run())
        self._task.add_done_callback(lambda _: self._has_news.set())
        try:
            yield
        finally:
            await end_tasks(self._task)
            failure = None if self._task.cancelled() else self._task.exception()
        if failure is not None:
            raise failure

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield deliveries without end; errors as `next`."""
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Delivery]:
        while True:
            yield await self.next()

    async def next(self) -> Delivery:
        """Return the next event, and wait for it if need be.

        :raises SubscriptionChanged: when the subscription falls into another number of partitions
        """
        assert self._task is not None
        while not self._deliveries:
            if self._task.done():
                self._task.result()
            self._has_news.clear()
            await self._has_news.wait()
        return self._deliveries.popleft()

    async def next_batch(self, max_count: int) -> list[Delivery]:
        """Return what is there, at most so many, and wait for the first if need be."""
        batch = [await self.next()]
        while len(batch) < max_count and self._deliveries:
            batch.append(self._deliveries.popleft())
        return batch

    async def acknowledge(self, delivery: Delivery) -> None:
        """Say that this event, and all before it in its partition, are dealt with.

        :raises LeaseLost: when another consumer has the partition, and will have the event, too
        """
        await self.acknowledge_batch([delivery])

    async def acknowledge_batch(self, deliveries: Sequence[Delivery]) -> None:
        """Say that these events, and all before them in their partitions, are dealt with.

        :raises LeaseLost: when another consumer has one of the partitions
        """
        for delivery in deliveries:
            lane = self._find_lane(delivery)
            if delivery.is_replay:
                await lane.settle_replay(delivery.event)
            else:
                lane.acknowledge(delivery.event.number)

    async def flush(self) -> None:
        """Write the checkpoints now, rather than when they are due.

        :raises LeaseLost: when another consumer has one of the partitions
        """
        assert self._membership is not None
        for lane in self._membership.list_lanes():
            await lane.write_checkpoint()

    async def feed(self, lane: Lane) -> None:
        """Hand out one partition's events for as long as it is leased."""
        await run_until_first(self._feed_news(lane), self._feed_replays(lane))

    async def _feed_news(self, lane: Lane) -> None:
        while True:
            room = await lane.wait_for_room()
            for event in await lane.read(room):
                self._hand_out(lane, event, is_replay=False)

    async def _feed_replays(self, lane: Lane) -> None:
        handed_out: set[int] = set()
        while True:
            await lane.wait_for_call()
            for event in await lane.read_replays():
                if event.event_id not in handed_out:
                    handed_out.add(event.event_id)
                    self._hand_out(lane, event, is_replay=True)

    def _hand_out(self, lane: Lane, event: RecordedEvent, *, is_replay: bool) -> None:
        self._deliveries.append(lane.deliver(event, is_replay=is_replay))
        self._has_news.set()

    def _find_lane(self, delivery: Delivery) -> Lane:
        assert self._membership is not None
        lane = self._membership.find_lane(delivery.partition)
        if lane is None or not lane.owns(delivery):
            raise LeaseLost(
                "another consumer works on the partition now",
                subscription_id=self._plan.subscription_id,
                partition=delivery.partition,
            )
        return lane
