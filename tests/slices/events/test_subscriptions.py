"""Persistent subscriptions: each event at least once, in order, across crashes and hand-overs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.events.model import (
    EVERYTHING,
    Category,
    LeaseLost,
    OneStream,
    StartFrom,
    StreamId,
    SubscriptionChanged,
    SubscriptionId,
    SubscriptionInvalid,
    SubscriptionState,
    SubscriptionUnknown,
)
from emberkeep.events.service import (
    Subscription,
    delete_subscription,
    find_subscription,
    link_to_stream,
    list_consumers,
    list_subscriptions,
    reset_subscription,
)
from tests.eventing import NOW, append, list_places, list_violations
from tests.following import PATIENCE_S, Consumer, make_plan, open_hub, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from emberkeep.base.db import Connection
    from emberkeep.events.model import Delivery
    from emberkeep.events.model import StreamId as Id
    from emberkeep.events.service import SubscriptionHub

NAME = SubscriptionId("s")
LEASE_S = 0.6


@pytest.fixture
async def hub(dsn: str) -> AsyncIterator[SubscriptionHub]:
    """The hub of one process, whose leases are short."""
    async with open_hub(dsn, lease_s=LEASE_S) as hub:
        yield hub


@pytest.fixture
async def second(dsn: str) -> AsyncIterator[SubscriptionHub]:
    """The hub of another process."""
    async with open_hub(dsn, lease_s=LEASE_S) as hub:
        yield hub


async def take(subscription: Subscription, count: int) -> list[Delivery]:
    """Return the next deliveries, so many, without acknowledging them."""
    async with asyncio.timeout(PATIENCE_S):
        return [await subscription.next() for _ in range(count)]


def name_places(deliveries: list[Delivery]) -> list[tuple[str, int]]:
    """Return where each delivered event was written."""
    return list_places([delivery.event for delivery in deliveries])


async def read_state(conn: Connection) -> SubscriptionState:
    """Return where the subscription stands."""
    return await find_subscription(conn, subscription_id=NAME)


# Where it begins


async def test_from_the_origin_it_catches_up_and_goes_on(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 3)
    consumer = Consumer()
    async with running(hub.run(make_plan(), consumer.handle)):
        await consumer.await_events(3)
        await append(conn, "b-1", 2)
        await consumer.await_events(5)
    assert list_places(consumer.events) == [
        *(("a-1", n) for n in (1, 2, 3)),
        ("b-1", 1),
        ("b-1", 2),
    ]


async def test_from_now_on_nothing_from_before_comes(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 3)
    consumer = Consumer()
    async with running(hub.run(make_plan(start_from=StartFrom.CURRENT), consumer.handle)):
        await until(lambda: _has_consumer(conn))
        await append(conn, "b-1")
        await consumer.await_events(1)
    assert list_places(consumer.events) == [("b-1", 1)]


async def _has_consumer(conn: Connection) -> bool:
    states = await list_subscriptions(conn, subscription_id=NAME)
    return bool(states) and states[0].leased == states[0].concurrency_limit


async def test_it_may_begin_after_any_number(hub: SubscriptionHub, conn: Connection) -> None:
    await append(conn, "a-1", 5)
    source = OneStream(StreamId("a-1"))
    consumer = Consumer()
    async with running(hub.run(make_plan(source=source, start_from=3), consumer.handle)):
        await consumer.await_events(2)
    assert [event.number for event in consumer.events] == [4, 5]


async def test_where_it_begins_counts_the_first_time_only(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 2)
    first, again = Consumer(), Consumer()
    async with running(hub.run(make_plan(), first.handle)):
        await first.await_events(2)
    async with running(hub.run(make_plan(start_from=StartFrom.ORIGIN), again.handle)):
        await append(conn, "a-1", 1)
        await again.await_events(1)
    assert again.numbers == [0]
    assert [event.stream_version for event in again.events] == [3]


async def test_a_stream_that_nobody_wrote_to_can_be_subscribed_to(
    hub: SubscriptionHub, conn: Connection
) -> None:
    consumer = Consumer()
    async with running(hub.run(make_plan(source=OneStream(StreamId("later"))), consumer.handle)):
        await until(lambda: _has_consumer(conn))
        await append(conn, "later")
        await consumer.await_events(1)
    assert list_places(consumer.events) == [("later", 1)]


# What it delivers


async def test_a_category_brings_its_streams_only(hub: SubscriptionHub, conn: Connection) -> None:
    for stream in ("a-1", "b-1", "a-2", "ab-1"):
        await append(conn, stream)
    consumer = Consumer()
    async with running(hub.run(make_plan(source=Category("a")), consumer.handle)):
        await consumer.await_events(2)
        await append(conn, "a-3")
        await consumer.await_events(3)
    assert list_places(consumer.events) == [("a-1", 1), ("a-2", 1), ("a-3", 1)]


async def test_links_are_delivered_at_their_place_in_the_stream(
    hub: SubscriptionHub, conn: Connection
) -> None:
    appended = await append(conn, "a-1", 3)
    links = StreamId("links")
    await link_to_stream(conn, stream_id=links, event_ids=[appended.last_event_id], now=NOW)
    consumer = Consumer()
    async with running(hub.run(make_plan(source=OneStream(links)), consumer.handle)):
        await consumer.await_events(1)
        await link_to_stream(conn, stream_id=links, event_ids=[appended.first_event_id], now=NOW)
        await consumer.await_events(2)
    assert [(event.number, event.stream_version) for event in consumer.events] == [(1, 3), (2, 1)]


async def test_a_selector_chooses_and_a_mapper_transforms(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 6)
    plan = make_plan(
        selector=lambda event: event.stream_version % 2 == 0,
        mapper=lambda event: event.stream_version * 10,
    )
    values: list[Any] = []
    has_all = asyncio.Event()

    async def handle(value: Any) -> None:
        values.append(value)
        if len(values) == 3:
            has_all.set()

    async with running(hub.run(plan, handle)), asyncio.timeout(PATIENCE_S):
        await has_all.wait()
    assert values == [20, 40, 60]


async def test_what_is_not_wanted_is_passed_by_and_not_read_again(
    hub: SubscriptionHub, conn: Connection
) -> None:
    appended = await append(conn, "b-1", 100)
    await append(conn, "a-1")
    consumer = Consumer()
    async with running(hub.run(make_plan(source=Category("a")), consumer.handle)):
        await consumer.await_events(1)
    assert (await read_state(conn)).last_seen_event_id > appended.last_event_id


# Acknowledging


async def test_what_is_not_acknowledged_is_delivered_again(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 4)
    async with hub.subscribe(make_plan()) as subscription:
        deliveries = await take(subscription, 4)
        await subscription.acknowledge(deliveries[1])
    async with hub.subscribe(make_plan()) as subscription:
        assert name_places(await take(subscription, 2)) == [("a-1", 3), ("a-1", 4)]


async def test_a_batch_is_acknowledged_as_one(hub: SubscriptionHub, conn: Connection) -> None:
    await append(conn, "a-1", 4)
    async with hub.subscribe(make_plan()) as subscription:
        await subscription.acknowledge_batch(await take(subscription, 3))
        await subscription.flush()
        assert (await read_state(conn)).lag == 1


async def test_no_more_is_handed_out_than_the_buffer_holds(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 10)
    async with hub.subscribe(make_plan(buffer_size=3)) as subscription:
        deliveries = await take(subscription, 3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await subscription.next()
        await subscription.acknowledge(deliveries[1])
        assert name_places(await take(subscription, 2)) == [("a-1", 4), ("a-1", 5)]


async def test_a_checkpoint_is_written_after_so_many_events(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 5)
    plan = make_plan(checkpoint_every=3, checkpoint_after_s=600)
    async with hub.subscribe(plan) as subscription:
        deliveries = await take(subscription, 5)
        await subscription.acknowledge(deliveries[1])
        await asyncio.sleep(0.2)
        assert (await read_state(conn)).lag == 5
        await subscription.acknowledge(deliveries[2])
        await until(lambda: _has_lag(conn, 2))


async def test_a_checkpoint_is_written_after_a_while(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 5)
    plan = make_plan(checkpoint_every=1_000, checkpoint_after_s=0.1)
    async with hub.subscribe(plan) as subscription:
        await subscription.acknowledge((await take(subscription, 4))[-1])
        await until(lambda: _has_lag(conn, 1))


async def _has_lag(conn: Connection, lag: int) -> bool:
    states = await list_subscriptions(conn, subscription_id=NAME)
    return bool(states) and states[0].lag == lag


async def test_a_clean_end_writes_what_was_acknowledged(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 5)
    plan = make_plan(checkpoint_every=1_000, checkpoint_after_s=600)
    async with hub.subscribe(plan) as subscription:
        await subscription.acknowledge((await take(subscription, 5))[3])
    assert (await read_state(conn)).lag == 1


# One consumer at a time


async def test_of_two_consumers_one_works_and_the_other_takes_over(
    hub: SubscriptionHub, second: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 2)
    first, waiting = Consumer(), Consumer()
    async with running(second.run(make_plan(), waiting.handle)):
        await waiting.await_events(2)
        async with running(hub.run(make_plan(), first.handle)):
            await append(conn, "a-1")
            await waiting.await_events(3)
            assert first.events == []
    async with running(hub.run(make_plan(), first.handle)):
        await append(conn, "a-1")
        await first.await_events(1)
    assert [event.stream_version for event in first.events] == [4]


async def test_whoever_leaves_hands_over_at_once(
    hub: SubscriptionHub, second: SubscriptionHub, conn: Connection
) -> None:
    leaving, staying = Consumer(), Consumer()
    async with running(second.run(make_plan(), leaving.handle)) as task:
        await append(conn, "a-1")
        await leaving.await_events(1)
        async with running(hub.run(make_plan(), staying.handle)):
            await until(lambda: _count_consumers(conn, 2))
            task.cancel()
            await append(conn, "a-1")
            await staying.await_events(1)
    assert [event.stream_version for event in staying.events] == [2]


async def _count_consumers(conn: Connection, count: int) -> bool:
    return len(await list_consumers(conn, subscription_id=NAME, source=EVERYTHING)) == count


async def test_whoever_falls_silent_loses_the_lease_and_can_write_no_more(
    dsn: str, hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 3)
    async with open_hub(dsn, lease_s=LEASE_S) as silent, silent.subscribe(make_plan()) as stuck:
        held = await take(stuck, 3)
        # As if the process were stopped: no heartbeat, and nobody looks at what is leased.
        await silent._ground.heartbeat.stop()
        assert stuck._task is not None
        _freeze(stuck)
        consumer = Consumer()
        async with running(hub.run(make_plan(), consumer.handle)):
            await consumer.await_events(3)
            await until(lambda: _has_lag(conn, 0))
            with contextlib.suppress(LeaseLost):
                await stuck.acknowledge(held[0])
            with pytest.raises(LeaseLost):
                await stuck.flush()
        assert (await read_state(conn)).lag == 0


def _freeze(subscription: Subscription) -> None:
    """Keep the consumer from looking at its leases, and so from noticing that it lost them."""
    membership = subscription._membership
    assert membership is not None

    async def look_away() -> None:
        await asyncio.sleep(3600)

    membership._take_share = look_away  # type: ignore[method-assign]


# Partitions


async def test_each_partition_keeps_its_order_and_nothing_comes_twice(
    hub: SubscriptionHub, second: SubscriptionHub, conn: Connection
) -> None:
    streams = [f"p-{n}" for n in range(12)]
    for _ in range(5):
        for stream in streams:
            await append(conn, stream)
    plan = make_plan(source=Category("p"), concurrency_limit=4)
    consumers = [Consumer(), Consumer()]
    async with (
        running(hub.run(plan, consumers[0].handle)),
        running(second.run(plan, consumers[1].handle)),
    ):
        await until(lambda: _were_given(consumers, 60))
    given = [place for consumer in consumers for place in list_places(consumer.events)]
    assert sorted(set(given)) == sorted((stream, n) for stream in streams for n in range(1, 6))
    for consumer in consumers:
        for stream in streams:
            versions = [v for s, v in list_places(consumer.events) if s == stream]
            assert versions == sorted(versions)


async def _were_given(consumers: list[Consumer], count: int) -> bool:
    given = {place for consumer in consumers for place in list_places(consumer.events)}
    return len(given) == count


async def test_partitions_are_shared_out_evenly_and_again_when_one_goes(
    hub: SubscriptionHub, second: SubscriptionHub, conn: Connection
) -> None:
    plan = make_plan(concurrency_limit=5)
    consumers = [Consumer(), Consumer()]
    async with running(hub.run(plan, consumers[0].handle)):
        await until(lambda: _has_shares(conn, [5]))
        async with running(second.run(plan, consumers[1].handle)):
            await until(lambda: _has_shares(conn, [3, 2]))
        await until(lambda: _has_shares(conn, [5]))


async def _has_shares(conn: Connection, shares: list[int]) -> bool:
    consumers = await list_consumers(conn, subscription_id=NAME, source=EVERYTHING)
    return sorted((len(c.partitions) for c in consumers), reverse=True) == shares


async def test_one_slow_partition_does_not_hold_up_the_others(
    hub: SubscriptionHub, conn: Connection
) -> None:
    gate = asyncio.Event()
    seen: set[Id] = set()

    async def handle(event: Any) -> None:
        if event.stream_id == "slow-1":
            await gate.wait()
        seen.add(event.stream_id)

    await append(conn, "slow-1")
    for n in range(20):
        await append(conn, f"quick-{n}")
    async with running(hub.run(make_plan(concurrency_limit=4), handle)):
        await until(lambda: _are_many(seen, 10))
        gate.set()
        await until(lambda: _are_many(seen, 21))


async def _are_many(seen: set[Id], count: int) -> bool:
    return len(seen) >= count


async def test_another_number_of_partitions_is_refused_until_it_is_reset(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 2)
    consumer = Consumer()
    async with running(hub.run(make_plan(), consumer.handle)):
        await consumer.await_events(2)
    with pytest.raises(SubscriptionChanged):
        await hub.run(make_plan(concurrency_limit=3), consumer.handle)
    await reset_subscription(
        conn, subscription_id=NAME, source=EVERYTHING, after=None, concurrency_limit=3, now=NOW
    )
    async with running(hub.run(make_plan(concurrency_limit=3), consumer.handle)):
        await append(conn, "a-1")
        await consumer.await_events(3)
    assert [event.stream_version for event in consumer.events] == [1, 2, 3]


async def test_a_consumer_at_work_notices_that_the_partitions_were_cut_anew(
    hub: SubscriptionHub, conn: Connection
) -> None:
    task = asyncio.ensure_future(hub.run(make_plan(), Consumer().handle))
    await until(lambda: _has_consumer(conn))
    await reset_subscription(
        conn, subscription_id=NAME, source=EVERYTHING, after=None, concurrency_limit=2, now=NOW
    )
    with pytest.raises(SubscriptionChanged):
        async with asyncio.timeout(PATIENCE_S):
            await task


# What operators do


async def test_a_subscription_can_be_sent_back(hub: SubscriptionHub, conn: Connection) -> None:
    await append(conn, "a-1", 3)
    consumer = Consumer()
    async with running(hub.run(make_plan(), consumer.handle)):
        await consumer.await_events(3)
        await reset_subscription(
            conn, subscription_id=NAME, source=EVERYTHING, after=0, concurrency_limit=1, now=NOW
        )
        await consumer.await_events(6)
    assert consumer.numbers == [0, 1, 2, 0, 1, 2]


async def test_a_consumer_of_a_deleted_subscription_ends(
    hub: SubscriptionHub, conn: Connection
) -> None:
    task = asyncio.ensure_future(hub.run(make_plan(), Consumer().handle))
    await until(lambda: _has_consumer(conn))
    await delete_subscription(conn, subscription_id=NAME, source=EVERYTHING)
    with pytest.raises(SubscriptionUnknown):
        async with asyncio.timeout(PATIENCE_S):
            await task
    assert await list_subscriptions(conn) == []


async def test_what_is_not_there_can_be_neither_reset_nor_deleted(conn: Connection) -> None:
    with pytest.raises(SubscriptionUnknown):
        await reset_subscription(
            conn, subscription_id=NAME, source=EVERYTHING, after=0, concurrency_limit=1, now=NOW
        )
    with pytest.raises(SubscriptionUnknown):
        await delete_subscription(conn, subscription_id=NAME, source=EVERYTHING)
    with pytest.raises(SubscriptionUnknown):
        await find_subscription(conn, subscription_id=NAME)


async def test_nobody_begins_in_the_future(hub: SubscriptionHub, conn: Connection) -> None:
    await append(conn, "a-1", 2)
    with pytest.raises(SubscriptionInvalid):
        await hub.run(make_plan(start_from=3), Consumer().handle)
    with pytest.raises(SubscriptionInvalid):
        await hub.run(make_plan(source=OneStream(StreamId("a-1")), start_from=3), Consumer().handle)
    assert await list_subscriptions(conn) == []


@pytest.mark.parametrize("after", [-1, 2**63])
async def test_a_subscription_cannot_be_sent_where_there_is_nothing(
    conn: Connection, after: int
) -> None:
    with pytest.raises(SubscriptionInvalid):
        await reset_subscription(
            conn, subscription_id=NAME, source=EVERYTHING, after=after, concurrency_limit=1, now=NOW
        )


async def test_one_sees_who_works_on_what_and_how_far_behind(
    dsn: str, hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 2)
    consumer = Consumer()
    async with running(hub.run(make_plan(), consumer.handle)):
        await consumer.await_events(2)
        await until(lambda: _has_lag(conn, 0))
        (state,) = await list_subscriptions(conn)
        assert (state.stream_id, state.consumers, state.leased, state.parked) == ("$all", 1, 1, 0)
        (who,) = await list_consumers(conn, subscription_id=NAME, source=EVERYTHING)
        assert who.partitions == (0,)
    (state,) = await list_subscriptions(conn)
    assert (state.consumers, state.leased) == (0, 0)
    await append(conn, "a-1", 7)
    assert (await read_state(conn)).lag == 7
    assert await list_violations(dsn) == {}
