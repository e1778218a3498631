"""Two server processes on one database: whoever is asked, and whoever dies, a day is paid once."""

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
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from emberkeep.base import clock
from emberkeep.base.config import Secret
from emberkeep.base.identity import Principal, Role
from emberkeep.base.postgres import ensure_database, run_embedded
from emberkeep.migrate.service import apply_migrations
from emberkeep.web.auth import Keys, make_token
from tests.claiming import KEY, LONG_AGO, World, assert_clean, make_policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


HOST = "127.0.0.1"
SECRET = secrets.token_urlsafe(48)
PATIENCE_S = 60
CONNECTIONS = 250  # To each server.
CLAIMS = 1000


class Reply(NamedTuple):
    """An answer: its status and body."""

    status: int
    body: dict[str, Any]


class Server:
    """A process of `emberkeep serve`."""

    def __init__(self, dsn: str) -> None:
        self.port = _find_port()
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("emberkeep"), "serve", "--port", str(self.port)],
            env={
                **os.environ,
                "EMBERKEEP_DATABASE_URL": dsn,
                "EMBERKEEP_SECRET_KEY": SECRET,
                "EMBERKEEP_DEFAULT_POLICY_KEY": KEY,
                "EMBERKEEP_LOG_LEVEL": "error",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def await_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the server has ended"
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with connected(self) as client:
                    if (await client.call("GET", "/health/ready")).status == 200:
                        return
            await asyncio.sleep(0.05)
        raise TimeoutError("the server is not ready")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _find_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


class Client:
    """One connection, which asks one thing at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def claim(self, player_id: str) -> Reply:
        return await self.call("POST", "/v1/daily-login/claim", {"player_id": player_id})

    async def call(self, method: str, path: str, body: object = None) -> Reply:
        """:raises OSError, asyncio.IncompleteReadError: when the server goes away"""
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self._writer.write(head.encode() + content)
        await self._writer.drain()
        status = int((await self._reader.readuntil(b"\r\n")).split()[1])
        length = 0
        while (line := await self._reader.readuntil(b"\r\n")) != b"\r\n":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return Reply(status, json.loads(await self._reader.readexactly(length)))


@contextlib.asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(HOST, server.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def _make_token() -> str:
    return make_token(
        Keys(Secret(SECRET)),
        Principal("two-servers", Role.SERVICE),
        token_id="two-servers",
        ttl=datetime.timedelta(hours=1),
        now=clock.read_now(),
    )


TOKEN = _make_token()


@pytest.fixture
async def dsn(server_dir: Path) -> AsyncIterator[str]:
    """A durable database, because servers refuse to serve from another."""
    with run_embedded(data_dir=server_dir / "d") as server:
        ensure_database(server.dsn, "servers")
        dsn = server.dsn_for("servers")
        await apply_migrations(dsn, now=LONG_AGO)
        World(dsn).publish(make_policy())
        yield dsn


@pytest.fixture
async def servers(dsn: str) -> AsyncIterator[list[Server]]:
    """Two servers that are ready."""
    started = [Server(dsn) for _ in range(2)]
    try:
        for server in started:
            await server.await_ready()
        yield started
    finally:
        for server in started:
            server.kill()


@pytest.fixture
def world(dsn: str) -> Iterator[World]:
    """The tables behind the servers; clean afterwards."""
    yield World(dsn)
    assert_clean(dsn)


async def test_of_a_thousand_requests_over_two_servers_one_is_paid(
    world: World, servers: list[Server]
) -> None:
    world.add_players("p")
    start = asyncio.Event()

    async def ask(server: Server) -> list[Reply]:
        async with connected(server) as client:
            await start.wait()
            return [await client.claim("p") for _ in range(CLAIMS // CONNECTIONS // 2)]

    asking = [asyncio.create_task(ask(s)) for s in servers for _ in range(CONNECTIONS)]
    await asyncio.sleep(0.5)  # All of them are connected.
    start.set()
    replies = [reply for replies in await asyncio.gather(*asking) for reply in replies]
    assert Counter((reply.status, reply.body["status"]) for reply in replies) == {
        (201, "NEW"): 1,
        (200, "ALREADY_CLAIMED"): CLAIMS - 1,
    }
    figures = {json.dumps({**reply.body, "status": None}) for reply in replies}
    assert len(figures) == 1
    trail = world.read_trail("p")
    assert [receipt for _, _, receipt in trail.awards] == [replies[0].body["receipt_id"]]
    assert (len(trail.ledger), len(trail.events), trail.balance.current) == (1, 1, 100)


async def test_a_server_that_is_killed_takes_no_acknowledged_claim_along(
    world: World, servers: list[Server]
) -> None:
    await _claim_until_a_server_dies(world, servers, prefix="k", players=2000, after=400)


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(40))
async def test_servers_that_are_killed_take_no_acknowledged_claim_along(
    world: World, servers: list[Server], round_: int
) -> None:
    await _claim_until_a_server_dies(
        world, servers, prefix=f"k{round_}-", players=2000, after=50 * round_
    )


async def _claim_until_a_server_dies(
    world: World, servers: list[Server], *, prefix: str, players: int, after: int
) -> None:
    ids = [f"{prefix}{number}" for number in range(players)]
    world.add_players(*ids)
    told: dict[str, Reply] = {}
    repeated: dict[str, Reply] = {}
    doomed, survivor = servers

    async def claim_some(mine: list[str]) -> None:
        """Claim at the server that will die, and where it does not answer at the other."""
        async with connected(doomed) as first, connected(survivor) as second:
            for player in mine:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    told[player] = await first.claim(player)
                repeated[player] = await second.claim(player)

    claiming = [asyncio.create_task(claim_some(ids[n::40])) for n in range(40)]
    async with asyncio.timeout(PATIENCE_S):
        while len(told) < after:
            await asyncio.sleep(0.001)
    await asyncio.to_thread(doomed.kill)
    await asyncio.gather(*claiming)
    assert after <= len(told) < players
    assert len(repeated) == players
    for player, reply in told.items():
        assert (reply.status, reply.body["status"]) == (201, "NEW")
        assert {**repeated[player].body, "status": "NEW"} == reply.body
    # What the dead server wrote without saying so is found; all else is paid by the other one.
    awards = world.execute(
        "select external_user_id, receipt_id::text from xp.xp_awards join xp.xp_users"
        " using (user_id) where external_user_id = any(%s)",
        ids,
    )
    assert dict(awards) == {p: reply.body["receipt_id"] for p, reply in repeated.items()}
