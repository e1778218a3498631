"""The limit of the event store: its rows written and read by SQL alone, with nothing around them.

Writes come from pgbench, which costs next to nothing; a client in Python would cost more than the
server's work. Where the server's binaries have no pgbench, psycopg writes, and the line says so.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg.sql import SQL

from benchmarks.harness import Bench, run
from benchmarks.report import Figure
from emberkeep.base import db, sql

EVENT_TYPE: Final = "LevelCompleted"
EVENT: Final = {
    "player_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "action": "level_completed",
    "level": 42,
    "score": 18350,
    "duration_ms": 93211,
    "currency": "gems",
    "delta": 15,
    "client": "ios-3.14.2",
    "session": "b7e23ec29af2",
}
DATA: Final = json.dumps(EVENT, separators=(",", ":"))
BATCH: Final = 100

_SQL = sql.load("benchmarks", "plain.sql")
_PARAMETER = re.compile(r"%\((\w+)\)s")
_RATE = re.compile(r"^tps = ([0-9.]+) ", re.MULTILINE)
_VALUES: Final = {
    "event_type": EVENT_TYPE,
    "data": DATA,
    "event_types": sql.text_array([EVENT_TYPE] * BATCH),
    "data_array": sql.text_array([DATA] * BATCH),
}
# Part of every name and id, so that no two runs write the same stream.
_runs = itertools.count(1)


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    """A statement that each connection runs so many times, as prepared, in autocommit mode."""

    text: LiteralString
    values: dict[str, str]
    connections: int
    per_connection: int


def append_singly(bench: Bench, *, connections: int) -> Figure:
    """Write one event a transaction, each to a new stream."""
    return _write(bench, "append_event", "plain SQL", connections=connections)


def append_in_batches(bench: Bench, *, connections: int) -> Figure:
    """Write 100 events a transaction, each batch to a new stream."""
    name = f"plain SQL, {BATCH} at once"
    return _write(bench, "append_events", name, connections=connections, each=BATCH)


def call_function(bench: Bench, *, name: str, connections: int) -> Figure:
    """Write the rows of `append_singly` through the store's own append_to_stream."""
    return _write(bench, "call_append_to_stream", name, connections=connections)


def _write(bench: Bench, statement: str, name: str, *, connections: int, each: int = 1) -> Figure:
    transactions = bench.scaled(min(40_000, 5_000 + 3_000 * connections)) // min(each, 10)
    job = _make_job(statement, connections, -(-transactions // connections))
    pgbench = bench.server.bin_dir / "pgbench"
    if pgbench.exists():
        client, seconds = "pgbench", _run_pgbench(pgbench, bench.dsn, job)
    else:
        client, seconds = "psycopg", run(_run_psycopg(bench.dsn, job))
    return Figure(
        name=f"{name} ({client})",
        waiting=connections,
        count=connections * job.per_connection * each,
        seconds=seconds,
    )


def _make_job(statement: str, connections: int, per_connection: int) -> _Job:
    text = _SQL[statement]
    values = {**_VALUES, "run": str(next(_runs))}
    wanted = {name: values[name] for name in _PARAMETER.findall(text) if name in values}
    return _Job(text, wanted, connections, per_connection)


def _run_pgbench(pgbench: Path, dsn: str, job: _Job) -> float:
    """Return the seconds, without those for connecting."""
    done = subprocess.run(
        [
            str(pgbench),
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={job.connections}",
            f"--jobs={min(job.connections, os.cpu_count() or 1)}",
            f"--transactions={job.per_connection}",
            *(f"--define={name}={value}" for name, value in job.values.items()),
            "--define=number=0",
            "--file=-",
            dsn,
        ],
        input="\\set number :number + 1\n" + _PARAMETER.sub(r":\1", job.text) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    rate = _RATE.search(done.stdout)
    assert rate is not None, done.stdout
    return job.connections * job.per_connection / float(rate[1])


async def _run_psycopg(dsn: str, job: _Job) -> float:
    conns = [await db.connect(dsn) for _ in range(job.connections)]

    async def write(conn: db.Connection, client_id: int) -> None:
        for number in range(1, job.per_connection + 1):
            named = {**job.values, "client_id": str(client_id), "number": str(number)}
            await conn.execute(job.text, named, prepare=True)

    started_at = time.perf_counter()
    await asyncio.gather(*(write(conn, client_id) for client_id, conn in enumerate(conns)))
    seconds = time.perf_counter() - started_at
    for conn in conns:
        await conn.close()
    return seconds


def fill_stream(bench: Bench, *, stream_id: str, events: int) -> int:
    """Write a stream of so many events; return the position after which they stand."""
    values = {"stream_id": stream_id, "events": events, "event_type": EVENT_TYPE, "data": DATA}
    with psycopg.connect(bench.dsn, autocommit=True) as conn:
        row = conn.execute(_SQL["read_last_event_id"]).fetchone()
        assert row is not None
        conn.execute(_SQL["create_stream"], values)
        conn.execute(_SQL["fill_stream"], values)
        # Or the first to read would pay for marking the rows as committed.
        conn.execute("vacuum analyze event_store.events")
        return int(row[0])


def copy(bench: Bench, *, form: LiteralString) -> Figure:
    """Load events into one stream by COPY, in the form `text` or `binary`."""
    events = bench.scaled(200_000)
    source, target = (f"copied-{next(_runs)}" for _ in range(2))
    fill_stream(bench, stream_id=source, events=events)
    # The server itself makes what is sent, so that the client only hands it over.
    unload = SQL(
        "copy (select {target}, stream_version, event_type, data from event_store.events"
        " where stream_id = {source} order by stream_version) to stdout (format {form})"
    ).format(target=target, source=source, form=SQL(form))
    load = SQL(
        "copy event_store.events (stream_id, stream_version, event_type, data)"
        " from stdin (format {form})"
    ).format(form=SQL(form))
    with psycopg.connect(bench.dsn, autocommit=True) as conn, conn.cursor() as cursor:
        cursor.execute(_SQL["create_stream"], {"stream_id": target, "events": events})
        with cursor.copy(unload) as rows:
            data = b"".join(bytes(block) for block in rows)
        started_at = time.perf_counter()
        with cursor.copy(load) as into:
            into.write(data)
        seconds = time.perf_counter() - started_at
        assert cursor.rowcount == events
    return Figure(name=f"COPY, {form}", waiting=1, count=events, seconds=seconds)


def select_stream(bench: Bench, *, stream_id: str, events: int) -> Figure:
    """Fetch the rows of a stream, all at once, as tuples."""
    return run(_select(bench, "select_stream", {"stream_id": stream_id, "max_count": events}))


def select_all(bench: Bench, *, after: int, events: int) -> Figure:
    """Fetch the rows after a position, all at once, as tuples."""
    return run(_select(bench, "select_all", {"after": after, "max_count": events}))


async def _select(bench: Bench, statement: str, values: dict[str, str | int]) -> Figure:
    conn = await db.connect(bench.dsn)
    started_at = time.perf_counter()
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(_SQL[statement], values)
        rows = await cursor.fetchall()
    seconds = time.perf_counter() - started_at
    await conn.close()
    assert len(rows) == values["max_count"]
    return Figure(name="plain select, all at once", count=len(rows), seconds=seconds)
