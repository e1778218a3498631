"""Events that cannot be handled: tried again, put aside with the reason, replayed or given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from emberkeep.base.db import DatabaseUnavailable
from emberkeep.events.model import (
    EVERYTHING,
    OnFailure,
    ParkedEvent,
    ParkedState,
    RecordedEvent,
    SubscriptionId,
)
from emberkeep.events.service import (
    find_subscription,
    list_parked,
    list_subscriptions,
    replay_parked,
    resume_subscription,
    skip_parked,
)
from tests.eventing import NOW, append, list_violations
from tests.following import PATIENCE_S, Consumer, make_plan, open_hub, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from emberkeep.base.db import Connection
    from emberkeep.events.service import SubscriptionHub

NAME = SubscriptionId("s")


@pytest.fixture
async def hub(dsn: str) -> AsyncIterator[SubscriptionHub]:
    """The hub of one process."""
    async with open_hub(dsn, lease_s=0.6) as hub:
        yield hub


def fail_at(*numbers: int) -> Callable[[RecordedEvent], Exception | None]:
    """Return what fails at events whose `n` is one of these."""

    def find_failure(event: RecordedEvent) -> Exception | None:
        data: Any = event.data
        return ValueError(f"cannot handle {data['n']}") if data["n"] in numbers else None

    return find_failure


async def read_parked(conn: Connection, *, with_settled: bool = False) -> tuple[ParkedEvent, ...]:
    """Return what the subscription has parked."""
    page = await list_parked(
        conn, subscription_id=NAME, source=EVERYTHING, with_settled=with_settled
    )
    return page.items


async def is_idle(conn: Connection) -> bool:
    """Say whether the subscription has come to the end."""
    states = await list_subscriptions(conn, subscription_id=NAME)
    return bool(states) and states[0].lag == 0


async def test_an_event_that_fails_is_tried_again_before_the_next_one(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 3)
    consumer = Consumer()
    attempts = 0

    def fail_twice(event: RecordedEvent) -> Exception | None:
        nonlocal attempts
        if event.stream_version == 2 and attempts < 2:
            attempts += 1
            return ValueError("not yet")
        return None

    consumer.find_failure = fail_twice
    async with running(hub.run(make_plan(retry_pauses_s=(0.01, 0.01)), consumer.handle)):
        await consumer.await_events(5)
    assert consumer.numbers == [0, 1, 1, 1, 2]
    assert await read_parked(conn) == ()


async def test_an_event_that_fails_for_good_is_put_aside_with_the_reason(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 3)
    consumer = Consumer()
    consumer.find_failure = fail_at(1)
    async with running(hub.run(make_plan(retry_pauses_s=(0.01,)), consumer.handle)):
        await until(lambda: is_idle(conn))
    assert consumer.numbers == [0, 1, 1, 2]
    (parked,) = await read_parked(conn)
    assert (parked.state, parked.attempts) == (ParkedState.PARKED, 2)
    assert parked.error == "ValueError: cannot handle 1"
    assert (await find_subscription(conn, subscription_id=NAME)).parked == 1


async def test_a_parked_event_is_replayed_when_an_operator_says_so(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 3)
    consumer = Consumer()
    consumer.find_failure = fail_at(1)
    async with running(hub.run(make_plan(), consumer.handle)):
        await until(lambda: is_idle(conn))
        consumer.find_failure = lambda _: None
        assert await replay_parked(conn, subscription_id=NAME, source=EVERYTHING, actor="op") == 1
        await until(lambda: has_state(conn, ParkedState.REPLAYED))
    assert consumer.numbers == [0, 1, 2, 1]
    assert await read_parked(conn) == ()
    (settled,) = await read_parked(conn, with_settled=True)
    assert (settled.settled_by, settled.settled_at is not None) == ("op", True)


async def has_state(conn: Connection, state: ParkedState) -> bool:
    """Say whether every event that was ever parked is in `state`."""
    return {parked.state for parked in await read_parked(conn, with_settled=True)} == {state}


async def test_a_replay_that_fails_is_parked_again_with_the_new_reason(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 1)
    consumer = Consumer()
    consumer.find_failure = fail_at(0)
    async with running(hub.run(make_plan(), consumer.handle)):
        await until(lambda: is_idle(conn))
        consumer.find_failure = lambda _: KeyError("still not")
        await replay_parked(conn, subscription_id=NAME, source=EVERYTHING, actor="op")
        await consumer.await_events(2)
        await until(lambda: has_state(conn, ParkedState.PARKED))
    (parked,) = await read_parked(conn)
    assert (parked.attempts, parked.error) == (2, "KeyError: 'still not'")


async def test_a_replay_waits_for_a_consumer(hub: SubscriptionHub, conn: Connection) -> None:
    await append(conn, "a-1", 1)
    consumer = Consumer()
    consumer.find_failure = fail_at(0)
    async with running(hub.run(make_plan(), consumer.handle)):
        await until(lambda: is_idle(conn))
    await replay_parked(conn, subscription_id=NAME, source=EVERYTHING, actor="op")
    consumer.find_failure = lambda _: None
    async with running(hub.run(make_plan(), consumer.handle)):
        await until(lambda: has_state(conn, ParkedState.REPLAYED))


async def test_a_parked_event_is_given_up_but_stays_listed(
    dsn: str, hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 3)
    consumer = Consumer()
    consumer.find_failure = fail_at(0, 2)
    async with running(hub.run(make_plan(), consumer.handle)):
        await until(lambda: is_idle(conn))
    first, _ = await read_parked(conn)
    skipped = await skip_parked(
        conn,
        subscription_id=NAME,
        source=EVERYTHING,
        event_ids=[first.event_id],
        actor="op",
        now=NOW,
    )
    assert skipped == 1
    assert len(await read_parked(conn)) == 1
    states = [parked.state for parked in await read_parked(conn, with_settled=True)]
    assert states == [ParkedState.SKIPPED, ParkedState.PARKED]
    assert await list_violations(dsn) == {}


async def test_a_replay_is_also_delivered_to_whoever_iterates(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 1)
    consumer = Consumer()
    consumer.find_failure = fail_at(0)
    async with running(hub.run(make_plan(), consumer.handle)):
        await until(lambda: is_idle(conn))
    await replay_parked(conn, subscription_id=NAME, source=EVERYTHING, actor="op")
    async with hub.subscribe(make_plan()) as subscription, asyncio.timeout(PATIENCE_S):
        delivery = await subscription.next()
        assert delivery.is_replay
        await subscription.acknowledge(delivery)
    assert await has_state(conn, ParkedState.REPLAYED)


async def test_a_subscription_that_stops_goes_on_only_when_it_is_resumed(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 3)
    consumer = Consumer()
    consumer.find_failure = fail_at(1)
    async with running(hub.run(make_plan(on_failure=OnFailure.STOP), consumer.handle)):
        await until(lambda: has_stopped(conn, 1))
        await asyncio.sleep(0.5)
        assert consumer.numbers == [0, 1]
        (state,) = await list_subscriptions(conn)
        assert (state.stop_error, state.lag) == ("ValueError: cannot handle 1", 2)
        consumer.find_failure = lambda _: None
        assert await resume_subscription(conn, subscription_id=NAME, source=EVERYTHING) == 1
        await until(lambda: is_idle(conn))
    assert consumer.numbers == [0, 1, 1, 2]
    assert await has_stopped(conn, 0)


async def has_stopped(conn: Connection, partitions: int) -> bool:
    """Say whether so many partitions have stopped."""
    states = await list_subscriptions(conn, subscription_id=NAME)
    return bool(states) and states[0].stopped == partitions


@pytest.mark.parametrize(
    "away",
    [
        DatabaseUnavailable("the database cannot be reached"),
        psycopg.OperationalError("the connection is lost"),
    ],
    ids=["unavailable", "lost"],
)
async def test_that_the_database_is_away_is_no_fault_of_the_event(
    hub: SubscriptionHub, conn: Connection, away: Exception
) -> None:
    await append(conn, "a-1", 2)
    consumer = Consumer()
    failures = 0

    def be_away(event: RecordedEvent) -> Exception | None:
        nonlocal failures
        failures += 1
        return away if failures <= 3 else None

    consumer.find_failure = be_away
    async with running(hub.run(make_plan(), consumer.handle)):
        await until(lambda: is_idle(conn))
    assert await read_parked(conn) == ()
    assert consumer.numbers == [0, 0, 0, 0, 1]


async def test_one_poisoned_partition_stops_alone(hub: SubscriptionHub, conn: Connection) -> None:
    plan = make_plan(concurrency_limit=4, on_failure=OnFailure.STOP)
    consumer = Consumer()
    consumer.find_failure = lambda event: ValueError() if event.stream_id == "bad-1" else None
    await append(conn, "bad-1", 2)
    for n in range(12):
        await append(conn, f"good-{n}")
    async with running(hub.run(plan, consumer.handle)):
        await until(lambda: has_stopped(conn, 1))
        before = len(consumer.events)
        for n in range(12):
            await append(conn, f"good-{n}")
        await until(lambda: are_more(consumer, before))
    assert [e.stream_version for e in consumer.events if e.stream_id == "bad-1"] == [1]


async def are_more(consumer: Consumer, before: int) -> bool:
    """Say whether events were handled since."""
    return len(consumer.events) > before + 4


# Handled in the transaction of the checkpoint


async def test_what_a_projection_parked_is_replayed_in_a_transaction_of_its_own(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 2)
    is_mended = False
    handled: list[int] = []

    async def handle(conn: Connection, events: list[RecordedEvent]) -> None:
        if any(event.stream_version == 1 for event in events):
            await conn.execute("select 1" if is_mended else "select 1 / 0")
        handled.extend(event.stream_version for event in events)

    async with running(hub.run_batches(make_plan(), handle)):
        await until(lambda: is_idle(conn))
        await replay_parked(conn, subscription_id=NAME, source=EVERYTHING, actor="op")
        await until(lambda: has_attempts(conn, 2))
        assert await has_state(conn, ParkedState.PARKED)
        is_mended = True
        await replay_parked(conn, subscription_id=NAME, source=EVERYTHING, actor="op")
        await until(lambda: has_state(conn, ParkedState.REPLAYED))
    assert handled == [2, 1]


async def has_attempts(conn: Connection, attempts: int) -> bool:
    """Say whether the one parked event was tried so often."""
    return [parked.attempts for parked in await read_parked(conn)] == [attempts]
