"""Who follows the store: events a second, how long one waits for an event, and what idling costs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import psycopg

from benchmarks import plain
from benchmarks.harness import Bench, run
from benchmarks.report import Figure
from emberkeep.base import clock, db
from emberkeep.events import service
from emberkeep.events.model import (
    Category,
    RecordedEvent,
    StartFrom,
    StreamId,
    SubscriptionId,
    SubscriptionPlan,
)

Group = Sequence[Callable[[Bench], Figure]]

_APPENDS_PER_S: Final = 300
_POLL_S: Final = 0.01
_IDLE_SUBSCRIPTIONS: Final = 100
_IDLE_S: Final = 10.0


def measure_subscriptions(bench: Bench) -> Iterator[Group]:
    """Catch up with checkpoints, next to the same rows by a plain `select` of `$all`."""
    events = bench.scaled(300_000)
    after = plain.fill_stream(bench, stream_id=StreamId(f"follow-{clock.new_id()}"), events=events)
    yield (
        partial(plain.select_all, after=after, events=events),
        partial(handle, after=after, expected=events, partitions=1),
        partial(handle, after=after, expected=events, partitions=4),
        partial(take, after=after, expected=events),
        partial(project, after=after, expected=events),
    )


def handle(bench: Bench, *, after: int, expected: int, partitions: int) -> Figure:
    """Have each event handled by itself."""
    name = "hub.run" if partitions == 1 else f"hub.run, {partitions} partitions"
    return run(_time_hub(bench, name, _handle, after, expected, partitions))


async def _handle(
    hub: service.SubscriptionHub, plan: SubscriptionPlan, is_over: Callable[[int], bool]
) -> None:
    has_all = asyncio.Event()

    async def count(event: RecordedEvent) -> None:
        del event
        if is_over(1):
            has_all.set()

    async with _running(hub.run(plan, count)):
        await has_all.wait()


def take(bench: Bench, *, after: int, expected: int) -> Figure:
    """Take events and acknowledge them in batches."""
    return run(_time_hub(bench, "hub.subscribe", _take, after, expected, 1))


async def _take(
    hub: service.SubscriptionHub, plan: SubscriptionPlan, is_over: Callable[[int], bool]
) -> None:
    async with hub.subscribe(plan) as subscription:
        while True:
            batch = await subscription.next_batch(500)
            await subscription.acknowledge_batch(batch)
            if is_over(len(batch)):
                return


def project(bench: Bench, *, after: int, expected: int) -> Figure:
    """Count the types of events in the transactions of the checkpoints."""
    return run(_time_hub(bench, "projection of counts", _project, after, expected, 1))


async def _project(
    hub: service.SubscriptionHub, plan: SubscriptionPlan, is_over: Callable[[int], bool]
) -> None:
    has_all = asyncio.Event()
    projection = service.make_type_counts()

    async def count(conn: db.Connection, events: list[RecordedEvent]) -> None:
        await projection.handle(conn, events, 1)
        if is_over(len(events)):
            has_all.set()

    async with _running(hub.run_batches(plan, count)):
        await has_all.wait()


async def _time_hub(
    bench: Bench, name: str, follow: Any, after: int, expected: int, partitions: int
) -> Figure:
    left = expected

    def is_over(count: int) -> bool:
        nonlocal left
        left -= count
        return left <= 0

    plan = SubscriptionPlan(
        subscription_id=SubscriptionId(f"bench-{clock.new_id()}"),
        start_from=after,
        concurrency_limit=partitions,
        partition_by=lambda event: str(event.event_id),
    )
    async with _open_hub(bench) as hub:
        started_at = time.perf_counter()
        await follow(hub, plan, is_over)
        seconds = time.perf_counter() - started_at
    return Figure(name=name, count=expected, seconds=seconds)


def measure_delivery(bench: Bench) -> Iterator[Group]:
    """How long from the call that appends to the handler, at 300 appends a second."""
    appends = bench.scaled(9_000)
    yield (
        partial(deliver, name="read every 10 ms", appends=appends, watch=_poll),
        partial(deliver, name="subscription, notified", appends=appends, watch=_subscribe),
        partial(
            deliver, name="subscription, never notified", appends=appends, watch=_subscribe_deaf
        ),
    )


def deliver(bench: Bench, *, name: str, appends: int, watch: Any) -> Figure:
    """Append at a steady rate; note how long each event took to arrive."""
    return run(_deliver(bench, name, appends, watch))


async def _deliver(bench: Bench, name: str, appends: int, watch: Any) -> Figure:
    sent_at: dict[str, float] = {}
    latencies_s: list[float] = []
    has_all = asyncio.Event()
    category = f"lat{clock.new_id().hex}"

    def note(event: RecordedEvent) -> None:
        latencies_s.append(time.perf_counter() - sent_at[event.stream_id])
        if len(latencies_s) == appends:
            has_all.set()

    desk = service.AppendDesk(bench.dsn, connections=2)
    await desk.start()

    async def append(number: int) -> None:
        stream_id = StreamId(f"{category}-{number}")
        sent_at[stream_id] = time.perf_counter()
        events = [service.make_event(plain.EVENT_TYPE, plain.EVENT)]
        await desk.append(stream_id=stream_id, events=events, now=clock.read_now())

    async with watch(bench, category, note):
        started_at = time.perf_counter()
        appending: list[asyncio.Task[None]] = []
        for number in range(appends):
            appending.append(asyncio.create_task(append(number)))
            await asyncio.sleep(started_at + (number + 1) / _APPENDS_PER_S - time.perf_counter())
        await asyncio.gather(*appending)
        await has_all.wait()
        seconds = time.perf_counter() - started_at
    await desk.stop()
    return Figure(name=name, count=appends, seconds=seconds, latencies_s=tuple(latencies_s))


@contextlib.asynccontextmanager
async def _poll(
    bench: Bench, category: str, note: Callable[[RecordedEvent], None]
) -> AsyncGenerator[None]:
    """Read `$all` again and again, as one would without subscriptions."""
    async with await db.connect(bench.dsn) as conn:
        (last,) = await service.read_all_backward(conn, max_count=1)

        async def read_on(after: int) -> None:
            while True:
                events = await service.read_all_forward(conn, after_event_id=after)
                for event in events:
                    after = event.event_id
                    if event.stream_id.startswith(category):
                        note(event)
                await asyncio.sleep(_POLL_S)

        async with _running(read_on(last.event_id)):
            yield


@contextlib.asynccontextmanager
async def _subscribe(
    bench: Bench, category: str, note: Callable[[RecordedEvent], None], **settings: Any
) -> AsyncGenerator[None]:
    async def handle(event: RecordedEvent) -> None:
        note(event)

    plan = SubscriptionPlan(
        subscription_id=SubscriptionId(category),
        source=Category(category),
        start_from=StartFrom.CURRENT,
    )
    async with _open_hub(bench, **settings) as hub, _running(hub.run(plan, handle)):
        await asyncio.sleep(0.5)
        yield


def _subscribe_deaf(
    bench: Bench, category: str, note: Callable[[RecordedEvent], None]
) -> contextlib.AbstractAsyncContextManager[None]:
    return _subscribe(bench, category, note, listens=False, poll_s=_POLL_S)


def measure_idle(bench: Bench) -> Iterator[Group]:
    """What subscriptions cost that have nothing to do: transactions a second, not events."""
    yield (
        partial(idle, subscriptions=0),
        partial(idle, subscriptions=_IDLE_SUBSCRIPTIONS),
    )


def idle(bench: Bench, *, subscriptions: int) -> Figure:
    """Do nothing for a while, and count what the server was asked."""
    return run(_idle(bench, subscriptions))


async def _idle(bench: Bench, subscriptions: int) -> Figure:
    async def handle(event: RecordedEvent) -> None:
        del event

    seconds = max(1.0, _IDLE_S * bench.scale)
    async with _open_hub(bench) as hub, contextlib.AsyncExitStack() as stack:
        for number in range(subscriptions):
            plan = SubscriptionPlan(
                subscription_id=SubscriptionId(f"idle-{number}"),
                source=Category(f"idle{number}"),
                start_from=StartFrom.CURRENT,
            )
            await stack.enter_async_context(_running(hub.run(plan, handle)))
        await asyncio.sleep(2.0)
        before, cpu_before_s = _count_transactions(bench.dsn), time.process_time()
        await asyncio.sleep(seconds)
        count, cpu_s = _count_transactions(bench.dsn) - before, time.process_time() - cpu_before_s
    share = f"{cpu_s / seconds:.1%} of a core here"
    name = f"idle, {subscriptions} subscriptions: transactions, {share}"
    return Figure(name=name, count=max(count, 1), seconds=seconds)


def _count_transactions(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as conn:
        # What a session has done is counted when it has been idle for a moment, or ends.
        row = conn.execute(
            "select xact_commit from pg_stat_database where datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


@contextlib.asynccontextmanager
async def _open_hub(bench: Bench, **settings: Any) -> AsyncGenerator[service.SubscriptionHub]:
    async with db.open_database(bench.dsn, connections=6) as database:
        await database.pool.wait()
        hub = service.SubscriptionHub(database, **settings)
        await hub.start()
        try:
            yield hub
        finally:
            await hub.stop()


@contextlib.asynccontextmanager
async def _running(work: Any) -> AsyncGenerator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
