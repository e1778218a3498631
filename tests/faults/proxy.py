"""A proxy between a client and PostgreSQL that cuts exactly where a commit is decided.

It reads the frames of protocol 3 and nothing more. What commits is a COMMIT, or the Sync that ends
a pipeline in which something was written outside a transaction: our implicit transaction ends there.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from emberkeep.base.postgres.model import SOCKET_NAME, SOCKET_PORT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

_PROTOCOL_3 = 3
_LENGTH_BYTES = 4
# Types of messages, from the chapter "Message Formats" of PostgreSQL's manual.
_PARSE, _BIND, _QUERY, _SYNC = b"P", b"B", b"Q", b"S"
_READY, _NOTIFICATION = b"Z", b"A"
# What the server says when it is ready, and no transaction is open.
_IDLE = b"I"
# What tells a statement that writes.
WRITES = (
    b"insert into xp.xp_awards",
    b".append_batch(",
    b".append_to_streams(",
    b".acknowledge_events(",
)


class Cut(enum.Enum):
    """Where a commit's connection is cut."""

    BEFORE = "the commit never reaches the server"
    AFTER = "the server has committed, and its reply is lost"


@dataclasses.dataclass
class Faults:
    """What goes wrong from now on; may be changed at any time.

    `cut` happens to a commit with the probability `share`; at most `most` times. A commit is one of
    a statement that holds one of `writes`, or of a transaction. `is_hasty`: where the reply is to
    be lost, the connection is cut the moment that the commit is on its way.
    """

    cut: Cut | None = None
    share: float = 1.0
    most: int = 1_000_000
    writes: Sequence[bytes] = WRITES
    is_hasty: bool = False
    delay_s: float = 0.0
    commit_delay_s: float = 0.0
    is_black_hole: bool = False
    is_deaf: bool = False
    """Whether notifications are lost."""
    refuses: bytes = b""
    """Whose start holds this, such as the name of an application, is not let through."""
    refusals: int = 0
    round_trips: int = 0
    commits: int = 0
    cuts: int = 0
    rng: random.Random = dataclasses.field(default_factory=lambda: random.Random(0))  # noqa: S311

    links: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)

    def cut_all(self) -> int:
        """Cut every connection there is; return how many."""
        for link in self.links:
            link.cancel()
        return len(self.links)

    def choose_cut(self) -> Cut | None:
        """Decide the fate of one commit."""
        self.commits += 1
        if self.cut is None or self.cuts >= self.most or self.rng.random() >= self.share:
            return None
        self.cuts += 1
        return self.cut


@contextlib.asynccontextmanager
async def run_proxy(dsn: str, faults: Faults) -> AsyncGenerator[str]:
    """Run a proxy before the server of `dsn`, and lend the connection string that leads to it."""
    directory = Path(tempfile.mkdtemp(prefix="ek-proxy-"))  # Short: it names a socket.
    upstream = Path(str(conninfo_to_dict(dsn)["host"])) / SOCKET_NAME
    links = faults.links

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        links.add(link)
        try:
            await _Link(reader, writer, faults).run(upstream)
        except asyncio.CancelledError:
            pass  # The end of the proxy, or of all connections.
        finally:
            links.discard(link)
            writer.transport.abort()

    server = await asyncio.start_unix_server(serve, directory / SOCKET_NAME)
    try:
        yield make_conninfo(dsn, host=str(directory), port=SOCKET_PORT)
    finally:
        server.close()
        for link in list(links):
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)
        shutil.rmtree(directory)


class _Severed(Exception):
    """The fault has struck: both ends are to be cut."""


class _Link:
    """One connection of a client, and the one to the server that it stands for."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: Faults
    ) -> None:
        self._from_client, self._to_client = reader, writer
        self._faults = faults
        self._writes_by_name: dict[bytes, bool] = {}
        self._is_writing = False
        self._is_in_transaction = False
        # How many answers to a Sync or Query are under way, and after how many of them to cut.
        self._under_way = 0
        self._cut_after: int | None = None

    async def run(self, upstream: Path) -> None:
        try:
            from_server, to_server = await asyncio.open_unix_connection(upstream)
        except OSError:
            return  # The server is down; so are we.
        tasks = [
            asyncio.create_task(self._forward_requests(to_server)),
            asyncio.create_task(self._forward_answers(from_server)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_server.transport.abort()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _forward_requests(self, to_server: asyncio.StreamWriter) -> None:
        await self._forward_start(to_server)
        while True:
            kind, frame = await _read_message(self._from_client)
            await self._suffer()
            cut = None
            if self._commits(kind, frame):
                await asyncio.sleep(self._faults.commit_delay_s * self._faults.rng.random())
                cut = self._faults.choose_cut()
            if cut is Cut.BEFORE:
                raise _Severed
            if cut is Cut.AFTER:
                self._cut_after = self._under_way + 1
            if kind in (_SYNC, _QUERY):
                self._faults.round_trips += 1
                self._under_way += 1
            to_server.write(kind + frame)
            await to_server.drain()
            if cut is Cut.AFTER and self._faults.is_hasty:
                raise _Severed

    async def _forward_start(self, to_server: asyncio.StreamWriter) -> None:
        """Forward the messages before the protocol's own, which have no type."""
        while True:
            head = await self._from_client.readexactly(_LENGTH_BYTES)
            body = await self._from_client.readexactly(int.from_bytes(head) - _LENGTH_BYTES)
            if self._faults.refuses and self._faults.refuses in body:
                self._faults.refusals += 1
                raise _Severed
            to_server.write(head + body)
            await to_server.drain()
            if int.from_bytes(body[:2]) == _PROTOCOL_3:
                return

    def _commits(self, kind: bytes, frame: bytes) -> bool:
        """Say whether this message commits what was written."""
        body = frame[_LENGTH_BYTES:]
        if kind == _PARSE:
            name, statement, *_ = body.split(b"\0", 2)
            self._writes_by_name[name] = any(write in statement for write in self._faults.writes)
        elif kind == _BIND:
            _, name, *_ = body.split(b"\0", 2)
            self._is_writing |= self._writes_by_name.get(name, False)
        elif kind == _SYNC:
            was_writing, self._is_writing = self._is_writing, False
            return was_writing and not self._is_in_transaction
        return kind == _QUERY and body.lower().startswith(b"commit")

    async def _forward_answers(self, from_server: asyncio.StreamReader) -> None:
        authentication = True
        while True:
            kind, frame = await _read_message(from_server)
            await self._suffer()
            if kind == _READY:
                self._is_in_transaction = frame[_LENGTH_BYTES:] != _IDLE
            if kind == _NOTIFICATION and self._faults.is_deaf:
                continue
            if kind == _READY and authentication:
                authentication = False
            elif kind == _READY:
                self._under_way -= 1
                if self._cut_after is not None:
                    self._cut_after -= 1
                    if self._cut_after == 0:
                        raise _Severed
            if self._cut_after is None:
                self._to_client.write(kind + frame)
                await self._to_client.drain()

    async def _suffer(self) -> None:
        if self._faults.delay_s:
            await asyncio.sleep(self._faults.delay_s * self._faults.rng.random())
        while self._faults.is_black_hole:
            await asyncio.sleep(0.005)


async def _read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return a message's type, and its length and body."""
    kind = await reader.readexactly(1)
    head = await reader.readexactly(_LENGTH_BYTES)
    return kind, head + await reader.readexactly(int.from_bytes(head) - _LENGTH_BYTES)
