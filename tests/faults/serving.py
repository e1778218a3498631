"""Processes of `emberkeep serve`, and a client of theirs."""

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emberkeep.base import clock
from emberkeep.base.config import Secret
from emberkeep.base.identity import Principal, Role
from emberkeep.web.auth import Keys, make_token
from tests.claiming import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST = "127.0.0.1"
SECRET = secrets.token_urlsafe(48)
PATIENCE_S = 60


class Reply(NamedTuple):
    """An answer: its status and body."""

    status: int
    body: dict[str, Any]


class Server:
    """A process of `emberkeep serve`."""

    def __init__(self, dsn: str, **settings: str) -> None:
        self.port = _find_port()
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("emberkeep"), "serve", "--port", str(self.port)],
            env={
                **os.environ,
                "EMBERKEEP_DATABASE_URL": dsn,
                "EMBERKEEP_SECRET_KEY": SECRET,
                "EMBERKEEP_DEFAULT_POLICY_KEY": KEY,
                "EMBERKEEP_LOG_LEVEL": "error",
                **settings,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def await_ready(self) -> None:
        """Return once the server can do its work."""
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
        """Kill it as a crash would."""
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
        """Claim the present day of that player."""
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
    """Lend a connection to the server."""
    reader, writer = await asyncio.open_connection(HOST, server.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def _make_token() -> str:
    return make_token(
        Keys(Secret(SECRET)),
        Principal("tests", Role.ADMIN),
        token_id="tests",
        ttl=datetime.timedelta(hours=1),
        now=clock.read_now(),
    )


TOKEN = _make_token()
