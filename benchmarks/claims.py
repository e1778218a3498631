"""Claims a second and how long one waits, next to the same rows written in bulk by SQL."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from pathlib import Path

import psycopg

from benchmarks import report
from benchmarks.harness import run, time_calls
from benchmarks.report import Figure
from emberkeep.base import clock, sql
from emberkeep.base.config import Secret
from emberkeep.base.db import connect_for_batches, open_database
from emberkeep.base.identity import Principal, Role
from emberkeep.web.auth import Keys, make_token
from emberkeep.xp.model import ClaimStatus, PlayerId, PolicyKey
from emberkeep.xp.service.desk import ClaimDesk

_HERE = Path(__file__).parent
_SQL = sql.load("benchmarks", "bulk.sql")
_KEY = secrets.token_urlsafe(48)
POLICY_KEY = PolicyKey("bench")
_WAITING = (1, 16, 64, 256)
_BULK_CLAIMS = 50_000
_START_TIMEOUT_S = 60.0


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


def measure(dsn: str, *, players: int, scale: float, with_http: bool) -> Iterator[Figure]:
    """Create the players and yield the figures; the bulk over one connection is the limit."""
    report.say(f"creating {players:,} players")
    with psycopg.connect(dsn, autocommit=True) as conn:
        fill(conn, players)
    for figure in _measure(dsn, Players(dsn), scale=scale, with_http=with_http):
        yield report.said(figure, "claims")


def fill(conn: psycopg.Connection, players: int) -> None:
    """Create the policy and so many players."""
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
    yield run(_claim_singly(dsn, players.take(round(2_000 * scale))))
    for waiting in _WAITING:
        claims = round(min(60_000, 2_000 + 1_500 * waiting) * scale)
        yield from run(_claim_in_process(dsn, players.take(claims), waiting))
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
    plural = "s" if connections > 1 else ""
    return Figure(
        name=f"bulk SQL, {connections} connection{plural}",
        count=claims,
        seconds=seconds,
        is_limit=connections == 1,
    )


async def _claim_singly(dsn: str, players: list[str]) -> Figure:
    conn = await connect_for_batches(dsn)

    async def claim(player: str) -> None:
        await conn.execute(
            "select bench_claim(%s, %s, %s)", (player, clock.read_now(), clock.new_id())
        )

    figure = await time_calls("one function call a claim", players, 1, claim)
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
                player_id=PlayerId(player), policy_key=POLICY_KEY, now=clock.read_now()
            )
            assert receipt.status is expected, receipt

        first = await time_calls(
            "in process, first", players, waiting, lambda p: claim(p, ClaimStatus.NEW)
        )
        again = await time_calls(
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
        uncached = await time_calls(
            "in process, repeat, not cached",
            players,
            waiting,
            lambda p: claim(p, ClaimStatus.ALREADY_CLAIMED),
        )
        await cold.stop()
    return [first, again, uncached]


@contextlib.contextmanager
def _serve(dsn: str, processes: int) -> Generator[list[int]]:
    """Run as many server processes, each on a port of its own."""
    ports = [_find_port() for _ in range(processes)]
    environ = {
        **os.environ,
        "EMBERKEEP_DATABASE_URL": dsn,
        "EMBERKEEP_SECRET_KEY": _KEY,
        "EMBERKEEP_DEFAULTPOLICY_KEY": POLICY_KEY,
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
        yield Figure(
            name=f"{name}, {kind}",
            waiting=waiting,
            count=len(players),
            seconds=result["seconds"],
            latencies_s=tuple(result["latencies_s"]),
        )
