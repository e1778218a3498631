"""Events a second, next to the same rows by plain SQL.

A measurement is a function of a `Bench` that yields groups: what is measured together, the limit
first. The members of a group take turns, because the machine is not equally fast all the time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import operator
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

import psycopg
import psycopg.sql

from benchmarks import following, plain, report
from benchmarks.harness import Bench, run, time_calls
from benchmarks.plain import BATCH, EVENT, EVENT_TYPE
from benchmarks.report import Figure
from emberkeep.base import clock, db
from emberkeep.base.postgres import EmbeddedServer
from emberkeep.events import service
from emberkeep.events.model import ALL_STREAMS, StreamId

Group = Sequence[Callable[[Bench], Figure]]
Measurement = Callable[[Bench], Iterator[Group]]

_ROUNDS: Final = 3
_DESK_CONNECTIONS: Final = 2


def measure(
    server: EmbeddedServer, dsn: str, *, names: Iterable[str], scale: float
) -> Iterator[Figure]:
    """Yield the figures of the measurements of these names."""
    bench = Bench(server=server, dsn=dsn, scale=scale / _ROUNDS)
    for name in names:
        report.say(name)
        for group in MEASUREMENTS[name](bench):
            for figure in _take_turns(bench, group):
                yield report.said(figure, "events")


def _take_turns(bench: Bench, group: Group) -> list[Figure]:
    """Measure each member in every round; return what each came to, the limit first."""
    rounds = [[member(bench) for member in group] for _ in range(_ROUNDS)]
    limit, *others = (
        functools.reduce(operator.add, figures) for figures in zip(*rounds, strict=True)
    )
    return [dataclasses.replace(limit, is_limit=True), *others]


def measure_appends(bench: Bench) -> Iterator[Group]:
    """One event to a new stream: by SQL, by the store's function, and through the desk."""
    for connections, waiting in ((1, (1,)), (8, (8,)), (32, (32, 64, 256))):
        yield (
            partial(plain.append_singly, connections=connections),
            partial(plain.call_function, name="SQL append_to_stream", connections=connections),
            *(partial(append_singly, waiting=callers) for callers in waiting),
        )


def append_singly(bench: Bench, *, waiting: int) -> Figure:
    """Append one event at a time through a desk."""
    streams = _name_streams(bench.scaled(min(60_000, 2_000 + 1_000 * waiting)))
    return run(_append_through_desk(bench, "AppendDesk", streams, waiting, each=1))


def measure_batches(bench: Bench) -> Iterator[Group]:
    """100 events to a new stream. COPY asks nothing of the stream: it is the limit of the table."""
    yield (
        partial(plain.append_in_batches, connections=1),
        append_on_one_connection,
        partial(append_in_batches, waiting=1),
    )
    yield (
        partial(plain.append_in_batches, connections=8),
        partial(append_in_batches, waiting=8),
        partial(plain.copy, form="text"),
        partial(plain.copy, form="binary"),
    )


def append_in_batches(bench: Bench, *, waiting: int) -> Figure:
    """Append 100 events at a time through a desk."""
    name = f"AppendDesk, {BATCH} at once"
    streams = _name_streams(bench.scaled(1_000 + 300 * waiting))
    return run(_append_through_desk(bench, name, streams, waiting, each=BATCH))


async def _append_through_desk(
    bench: Bench, name: str, streams: list[StreamId], waiting: int, *, each: int
) -> Figure:
    async with _open_desk(bench) as desk:

        async def append(stream_id: StreamId) -> None:
            events = [service.make_event(EVENT_TYPE, EVENT) for _ in range(each)]
            await desk.append(stream_id=stream_id, events=events, now=clock.read_now())

        return await time_calls(name, streams, waiting, append, each=each)


@contextlib.asynccontextmanager
async def _open_desk(bench: Bench) -> AsyncGenerator[service.AppendDesk]:
    desk = service.AppendDesk(bench.dsn, connections=_DESK_CONNECTIONS)
    await desk.start()
    yield desk
    await desk.stop()


def append_on_one_connection(bench: Bench) -> Figure:
    """Append 100 events at a time with append_to_stream, without a desk."""
    return run(_append_on_one_connection(bench))


async def _append_on_one_connection(bench: Bench) -> Figure:
    conn = await db.connect_for_batches(bench.dsn)

    async def append(stream_id: StreamId) -> None:
        events = [service.make_event(EVENT_TYPE, EVENT) for _ in range(BATCH)]
        await service.append_to_stream(
            conn, stream_id=stream_id, events=events, now=clock.read_now()
        )

    streams = _name_streams(bench.scaled(1_000))
    figure = await time_calls(f"append_to_stream, {BATCH} at once", streams, 1, append, each=BATCH)
    await conn.close()
    return figure


def _name_streams(count: int) -> list[StreamId]:
    return [StreamId(f"player-{clock.new_id()}") for _ in range(count)]


def measure_fence(bench: Bench) -> Iterator[Group]:
    """What it costs an append to announce itself to the readers of `$all`, and to wake them."""
    for function, name in (("hold_fence", "fence"), ("wake_subscribers", "notification")):
        for connections in (8, 32):
            yield (
                partial(append_without, function=function, name=name, connections=connections),
                partial(plain.call_function, name=f"with {name}", connections=connections),
            )


def append_without(bench: Bench, *, function: str, name: str, connections: int) -> Figure:
    """Append while a function of the store does nothing."""
    with _emptied(bench.dsn, function):
        return plain.call_function(bench, name=f"without {name}", connections=connections)


@contextlib.contextmanager
def _emptied(dsn: str, function: str) -> Generator[None]:
    """Take the body out of a function that has no parameters and no answer, for the block."""
    name = psycopg.sql.Identifier("event_store", function)
    with psycopg.connect(dsn, autocommit=True) as conn:
        row = conn.execute(
            "select pg_get_functiondef(%s::regprocedure)", (f"event_store.{function}()",)
        ).fetchone()
        assert row is not None
        conn.execute(
            psycopg.sql.SQL(
                "create or replace function {}() returns void language plpgsql as $$ begin end $$"
            ).format(name)
        )
        try:
            yield
        finally:
            conn.execute(row[0])


def measure_reads(bench: Bench) -> Iterator[Group]:
    """Forward, a stream and `$all`, as an application reads them: event by event, page by page."""
    events = bench.scaled(300_000)
    stream_id = StreamId(f"read-{clock.new_id()}")
    after = plain.fill_stream(bench, stream_id=stream_id, events=events)
    for name, source, start, select in (
        ("a stream", stream_id, 1, partial(plain.select_stream, stream_id=stream_id)),
        ("$all", ALL_STREAMS, after, partial(plain.select_all, after=after)),
    ):
        read = partial(iterate, stream_id=source, start=start, expected=events)
        yield (
            partial(select, events=events),
            partial(read, name=f"iterate_events, {name}"),
            partial(read, name=f"iterate_events, {name}, data decoded", is_decoding=True),
        )


def iterate(
    bench: Bench,
    *,
    name: str,
    stream_id: StreamId,
    start: int,
    expected: int,
    is_decoding: bool = False,
) -> Figure:
    """Read all that a stream holds."""

    async def read() -> tuple[int, float]:
        count = 0
        async with db.open_database(bench.dsn, connections=1) as database:
            await database.pool.wait()
            started_at = time.perf_counter()
            async for event in service.iterate_events(database, stream_id=stream_id, start=start):
                count += 1
                if is_decoding:
                    assert event.data
            return count, time.perf_counter() - started_at

    count, seconds = run(read())
    assert count == expected
    return Figure(name=name, count=count, seconds=seconds)


def measure_peers(bench: Bench) -> Iterator[Group]:
    """The same through other event stores for Python, where they are installed."""
    if importlib.util.find_spec("eventsourcing") is None:
        report.say("there is none to compare with; `make peers` installs them")
        return
    from benchmarks import peers

    yield from peers.measure_eventsourcing(bench)


MEASUREMENTS: Final[dict[str, Measurement]] = {
    "appends": measure_appends,
    "batches": measure_batches,
    "fence": measure_fence,
    "reads": measure_reads,
    "subscriptions": following.measure_subscriptions,
    "delivery": following.measure_delivery,
    "idle": following.measure_idle,
    "peers": measure_peers,
}
