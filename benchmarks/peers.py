"""The measurements of the event store through other event stores for Python, as these are used.

Optional (`make peers`), because nothing else needs them. What is compared is in the same database,
writes as many bytes, and stands next to the same limit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Final
from uuid import UUID

import psycopg.conninfo
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from benchmarks import plain
from benchmarks.events import Group
from benchmarks.harness import Bench
from benchmarks.plain import BATCH, DATA, EVENT_TYPE
from benchmarks.report import Figure
from emberkeep.base import clock

_NAME: Final = f"eventsourcing {version('eventsourcing')}"
_PAGE: Final = 1_000
_STATE: Final = DATA.encode()


def measure_eventsourcing(bench: Bench) -> Iterator[Group]:
    """The `eventsourcing` package: its recorder for PostgreSQL, which threads share."""
    yield (
        partial(plain.append_singly, connections=8),
        *(partial(insert, has_functions=choice, threads=8) for choice in (False, True)),
    )
    yield (
        partial(plain.append_in_batches, connections=1),
        *(partial(insert, has_functions=choice, threads=1, each=BATCH) for choice in (False, True)),
    )
    events = bench.scaled(300_000)
    stream, stream_id = clock.new_id(), f"read-{clock.new_id()}"
    after = plain.fill_stream(bench, stream_id=stream_id, events=events)
    first = _fill(bench, stream, events)
    yield (
        partial(plain.select_stream, stream_id=stream_id, events=events),
        partial(select_events, stream=stream, expected=events),
    )
    yield (
        partial(plain.select_all, after=after, events=events),
        partial(select_notifications, after=first - 1, expected=events),
    )


def insert(bench: Bench, *, has_functions: bool, threads: int, each: int = 1) -> Figure:
    """Insert events in batches of `each`, every batch for a new originator."""
    name = _NAME + (f", {each} at once" if each > 1 else "")
    originators = [clock.new_id() for _ in range(bench.scaled(8_000) // min(each, 8))]
    with _open_recorder(bench, has_functions=has_functions, threads=threads) as recorder:

        def insert_batch(originator_id: UUID) -> None:
            recorder.insert_events(_make_events(originator_id, each))

        return _time_calls(
            name + (", functions" if has_functions else ""),
            originators,
            threads,
            insert_batch,
            each=each,
        )


@contextlib.contextmanager
def _open_recorder(
    bench: Bench, *, threads: int, has_functions: bool = False
) -> Generator[PostgresApplicationRecorder]:
    where = psycopg.conninfo.conninfo_to_dict(bench.dsn)
    with PostgresDatastore(
        dbname=str(where["dbname"]),
        host=str(where["host"]),
        port=str(where["port"]),
        user=str(where["user"]),
        password="",
        pool_size=threads,
        enable_db_functions=has_functions,
    ) as datastore:
        recorder = PostgresApplicationRecorder(datastore)
        recorder.create_table()
        datastore.pool.wait()
        yield recorder


def _make_events(originator_id: UUID, count: int) -> list[StoredEvent]:
    return [
        StoredEvent(
            originator_id=originator_id, originator_version=number, topic=EVENT_TYPE, state=_STATE
        )
        for number in range(1, count + 1)
    ]


def _time_calls(
    name: str, items: Sequence[UUID], threads: int, call: Callable[[UUID], None], *, each: int
) -> Figure:
    """What `harness.time_calls` does, with threads as callers."""
    remaining = iter(items)
    taking = threading.Lock()
    latencies_s: list[float] = []

    def call_on() -> None:
        while True:
            with taking:
                item = next(remaining, None)
            if item is None:
                return
            asked_at = time.perf_counter()
            call(item)
            latencies_s.append(time.perf_counter() - asked_at)

    with ThreadPoolExecutor(threads) as executor:
        started_at = time.perf_counter()
        for done in [executor.submit(call_on) for _ in range(threads)]:
            done.result()
        seconds = time.perf_counter() - started_at
    return Figure(
        name=name,
        waiting=threads,
        count=len(items) * each,
        seconds=seconds,
        latencies_s=tuple(latencies_s),
    )


def _fill(bench: Bench, stream: UUID, events: int) -> int:
    """Write a stream of so many events; return the number of the first in the log of all."""
    made = _make_events(stream, events)
    with _open_recorder(bench, threads=1) as recorder:
        # In small parts, because its pipeline comes to a halt over megabytes.
        (first, *_), *_ = [
            recorder.insert_events(made[start : start + BATCH]) or ()
            for start in range(0, events, BATCH)
        ]
        with recorder.datastore.get_connection() as conn:
            conn.execute("vacuum analyze stored_events")
    return first


def select_events(bench: Bench, *, stream: UUID, expected: int) -> Figure:
    """Read all that a stream holds."""
    with _open_recorder(bench, threads=1) as recorder:

        def read_page(after: int) -> tuple[int, int]:
            page = recorder.select_events(stream, gt=after, limit=_PAGE)
            return len(page), page[-1].originator_version if page else after

        return _read_pages(f"{_NAME}, select_events", expected, 0, read_page)


def select_notifications(bench: Bench, *, after: int, expected: int) -> Figure:
    """Read the log of all from a place on."""
    with _open_recorder(bench, threads=1) as recorder:

        def read_page(after: int) -> tuple[int, int]:
            page = recorder.select_notifications(after, _PAGE, inclusive_of_start=False)
            return len(page), page[-1].id if page else after

        return _read_pages(f"{_NAME}, select_notifications", expected, after, read_page)


def _read_pages(
    name: str, expected: int, after: int, read_page: Callable[[int], tuple[int, int]]
) -> Figure:
    """Read page after page; a page says how many events it has, and where the next begins."""
    count, size = 0, _PAGE
    started_at = time.perf_counter()
    while size == _PAGE:
        size, after = read_page(after)
        count += size
    seconds = time.perf_counter() - started_at
    assert count == expected, (count, expected)
    return Figure(name=name, count=count, seconds=seconds)
