"""`make bench`: claims a second and how long one waits, next to the same rows written in bulk.

The database is an embedded PostgreSQL with its default durability and a million players, made for
the run and thrown away. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import datetime
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from pathlib import Path

import psycopg
import uvloop
from rich.console import Console
from rich.table import Table

from emberkeep.base import clock, sql
from emberkeep.base.config import Secret
from emberkeep.base.db import connect_for_batches, open_database
from emberkeep.base.identity import Principal, Role
from emberkeep.base.postgres import EmbeddedServer, ensure_database, run_embedded
from emberkeep.migrate.service import apply_migrations
from emberkeep.web.auth import Keys, make_token
from emberkeep.xp.model import ClaimStatus, PlayerId, PolicyKey
from emberkeep.xp.service.desk import ClaimDesk

_HERE = Path(__file__).parent
_SQL = sql.load("benchmarks", "bulk.sql")
_KEY = secrets.token_urlsafe(48)
_POLICY_KEY = PolicyKey("bench")
_WAITING = (1, 16, 64, 256)
_BULK_CLAIMS = 50_000
# Taken anew before each group of lines, because a machine is not equally fast all the time.
_CEILING = "bulk SQL, 1 connection"
_START_TIMEOUT_S = 60.0

# The durability is the default; the sizes are what one gives a server for a million players: room
# for their rows in memory, and WAL files that are used again instead of made.
_SIZES = {"shared_buffers": "1GB", "min_wal_size": "2GB", "max_wal_size": "4GB"}

Claim = Callable[[str], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: how many a second, and how long each waited."""

    name: str
    waiting: int
    claims: int
    seconds: float
    latencies_s: tuple[float, ...] = ()

    @property
    def per_second(self) -> float:
        return self.claims / self.seconds

    def percentile_ms(self, percent: int) -> str:
        if not self.latencies_s:
            return ""
        ordered = sorted(self.latencies_s)
        return f"{ordered[(len(ordered) - 1) * percent // 100] * 1000:.1f}"


class Players:
    """Hands out players who have not claimed yet, each once, in an order of chance."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._next = 1

    def take(self, count: int) -> list[str]:
        """Return the next `count` players' ids."""
        first, last = self.take_range(count)
        with psycopg.connect(self._dsn) as conn:
            rows = conn.execute(
                "select external_user_id from bench_player"
                " where ordinal >= %s and ordinal < %s order by ordinal",
                (first, last),
            ).fetchall()
        assert len(rows) == count, "the players are used up: fewer claims, or more players"
        return [row[0] for row in rows]

    def take_range(self, count: int) -> tuple[int, int]:
        """Return the ordinals [first, last) of the next `count` players."""
        first, self._next = self._next, self._next + count
        return first, self._next


def main() -> None:
    """Run all measurements and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--players", type=int, default=1_000_000)
    parser.add_argument("--scale", type=float, default=1.0, help="of the claims of each line")
    parser.add_argument("--skip-http", action="store_true")
    asked = parser.parse_args()
    with _database(asked.players) as (server, dsn):
        players = Players(dsn)
        figures = list(_measure(dsn, players, scale=asked.scale, with_http=not asked.skip_http))
        _print(figures, server, asked.players)


@contextlib.contextmanager
def _database(players: int) -> Generator[tuple[EmbeddedServer, str]]:
    directory = Path(tempfile.mkdtemp(prefix="emberkeep-bench-"))
    directory.chmod(0o711)  # As root the server is another user, who must get to its data.
    try:
        with run_embedded(data_dir=directory / "data", options=_SIZES) as server:
            ensure_database(server.dsn, "bench")
            dsn = server.dsn_for("bench")
            asyncio.run(apply_migrations(dsn, now=clock.read_now()))
            _say(f"creating {players:,} players")
            with psycopg.connect(dsn, autocommit=True) as conn:
                _fill(conn, players)
            yield server, dsn
    finally:
        time.sleep(2.0)  # The server stops by itself when its last client has gone.
        shutil.rmtree(directory, ignore_errors=True)


def _fill(conn: psycopg.Connection, players: int) -> None:
    for name in ("create_policy", "create_version", "create_curve", "publish_version"):
        conn.execute(_SQL[name])
    conn.execute(_SQL["create_players"], {"players": players})
    for name in ("shuffle_players", "index_players"):
        conn.execute(_SQL[name])
    conn.execute((_HERE / "single.sql").read_text("utf-8").encode())
    conn.execute("vacuum analyze")
    conn.execute("checkpoint")


def _measure(dsn: str, players: Players, *, scale: float, with_http: bool) -> Iterator[Figure]:
    bulk = round(_BULK_CLAIMS * scale)
    yield _run_bulk(dsn, players, connections=2, claims=bulk)
    yield _run_bulk(dsn, players, connections=1, claims=bulk)
    yield from _run(_claim_singly(dsn, players.take(round(2_000 * scale))))
    for waiting in _WAITING:
        claims = round(min(60_000, 2_000 + 1_500 * waiting) * scale)
        yield from _run(_claim_in_process(dsn, players.take(claims), waiting))
    if with_http:
        for processes in (1, 2):
            yield _run_bulk(dsn, players, connections=1, claims=bulk)
            with _serve(dsn, processes) as ports:
                for waiting in _WAITING:
                    claims = round(min(30_000, 1_000 + 1_000 * waiting) * scale)
                    yield from _claim_over_http(ports, players.take(claims), waiting)


def _run_bulk(dsn: str, players: Players, *, connections: int, claims: int) -> Figure:
    async def write(first: int, last: int) -> None:
        async with await psycopg.AsyncConnection.connect(dsn) as conn:
            values = {"first": first, "last": last, "reward_day_id": "2026-01-01"}
            await conn.execute(_SQL["insert_claims"], values)
            await conn.execute(_SQL["insert_events"], values)

    async def write_all() -> float:
        ranges = [players.take_range(claims // connections) for _ in range(connections)]
        started_at = time.perf_counter()
        await asyncio.gather(*(write(first, last) for first, last in ranges))
        return time.perf_counter() - started_at

    seconds = asyncio.run(write_all())
    name = _CEILING if connections == 1 else f"bulk SQL, {connections} connections"
    return _said(Figure(name=name, waiting=0, claims=claims, seconds=seconds))


async def _claim_singly(dsn: str, players: list[str]) -> Figure:
    conn = await connect_for_batches(dsn)

    async def claim(player: str) -> None:
        await conn.execute(
            "select bench_claim(%s, %s, %s)", (player, clock.read_now(), clock.new_id())
        )

    figure = await _time("one function call a claim", players, 1, claim)
    await conn.close()
    return figure


async def _claim_in_process(dsn: str, players: list[str], waiting: int) -> list[Figure]:
    async with open_database(dsn, connections=2) as database:
        desk = ClaimDesk(
            database,
            writer_connections=2,
            max_batch_claims=512,
            receipt_cache_size=200_000,
            server_zone="UTC",
        )
        await desk.start()

        async def claim(player: str, expected: ClaimStatus) -> None:
            receipt = await desk.claim(
                player_id=PlayerId(player), policy_key=_POLICY_KEY, now=clock.read_now()
            )
            assert receipt.status is expected, receipt

        first = await _time(
            "in process, first", players, waiting, lambda p: claim(p, ClaimStatus.NEW)
        )
        again = await _time(
            "in process, repeat", players, waiting, lambda p: claim(p, ClaimStatus.ALREADY_CLAIMED)
        )
        await desk.stop()
        cold = ClaimDesk(
            database,
            writer_connections=2,
            max_batch_claims=512,
            receipt_cache_size=0,
            server_zone="UTC",
        )
        await cold.start()
        desk = cold
        uncached = await _time(
            "in process, repeat, not cached",
            players,
            waiting,
            lambda p: claim(p, ClaimStatus.ALREADY_CLAIMED),
        )
        await cold.stop()
    return [first, again, uncached]


async def _time(name: str, players: list[str], waiting: int, claim: Claim) -> Figure:
    """Let `waiting` callers claim for the players, each the next when its own was answered."""
    remaining = iter(players)
    latencies_s: list[float] = []

    async def call() -> None:
        for player in remaining:
            asked_at = time.perf_counter()
            await claim(player)
            latencies_s.append(time.perf_counter() - asked_at)

    started_at = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(waiting)))
    seconds = time.perf_counter() - started_at
    return _said(
        Figure(
            name=name,
            waiting=waiting,
            claims=len(players),
            seconds=seconds,
            latencies_s=tuple(latencies_s),
        )
    )


@contextlib.contextmanager
def _serve(dsn: str, processes: int) -> Generator[list[int]]:
    """Run as many server processes, each on a port of its own."""
    ports = [_find_port() for _ in range(processes)]
    environ = {
        **os.environ,
        "EMBERKEEP_DATABASE_URL": dsn,
        "EMBERKEEP_SECRET_KEY": _KEY,
        "EMBERKEEP_DEFAULT_POLICY_KEY": _POLICY_KEY,
        "EMBERKEEP_LOG_LEVEL": "error",
    }
    command = [str(Path(sys.executable).with_name("emberkeep")), "serve", "--port"]
    servers = [
        subprocess.Popen([*command, str(port)], env=environ, stdout=subprocess.DEVNULL)
        for port in ports
    ]
    try:
        for port in ports:
            _wait_until_ready(port)
        yield ports
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait()


def _find_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1)
            return
        time.sleep(0.05)
    raise TimeoutError(f"no server on port {port}")


def _claim_over_http(ports: list[int], players: list[str], waiting: int) -> Iterator[Figure]:
    principal = Principal("bench", Role.SERVICE)
    token = make_token(
        Keys(Secret(_KEY)),
        principal,
        token_id="bench",  # noqa: S106 -- A name, not a secret.
        ttl=datetime.timedelta(hours=1),
        now=clock.read_now(),
    )
    name = f"HTTP, {len(ports)} server{'s' if len(ports) > 1 else ''}"
    for kind, status in (("first", "201"), ("repeat", "200")):
        job = {"token": token, "players": players, "ports": ports, "connections": waiting}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load"],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=True,
        )
        result = json.loads(done.stdout)
        assert result["statuses"] == {status: len(players)}, result["statuses"]
        yield _said(
            Figure(
                name=f"{name}, {kind}",
                waiting=waiting,
                claims=len(players),
                seconds=result["seconds"],
                latencies_s=tuple(result["latencies_s"]),
            )
        )


def _run(work: Awaitable[Figure | list[Figure]]) -> Iterable[Figure]:
    async def wait() -> Figure | list[Figure]:
        return await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(wait())
    return result if isinstance(result, list) else [result]


def _say(text: str) -> None:
    Console(stderr=True).print(f"[dim]{text}[/dim]", highlight=False)


def _said(figure: Figure) -> Figure:
    _say(f"{figure.name}, {figure.waiting} waiting: {figure.per_second:,.0f} claims/s")
    return figure


def _print(figures: list[Figure], server: EmbeddedServer, players: int) -> None:
    table = Table(
        title=f"{players:,} players, PostgreSQL {server.version}, {os.cpu_count()} cores;"
        " ratio to the bulk load over one connection above it"
    )
    for column in ("", "waiting", "claims/s", "ratio", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "" else "right")
    ceiling = 0.0
    for figure in figures:
        if figure.name == _CEILING:
            ceiling = figure.per_second
        table.add_row(
            figure.name,
            str(figure.waiting or ""),
            f"{figure.per_second:,.0f}",
            f"{figure.per_second / ceiling:.2f}" if ceiling else "",
            *(figure.percentile_ms(percent) for percent in (50, 95, 99)),
            end_section=figure.name == _CEILING,
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
