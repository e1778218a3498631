"""A client that reads server-sent events as they come, without a network between."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from emberkeep.base.identity import Role
from tests.http.notes_app import Reply, make_test_token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.http.xp.api import Api

_PATIENCE_S = 10


class Message(msgspec.Struct, frozen=True):
    """One message of the stream; a comment has a text only."""

    id: str | None = None
    event: str | None = None
    data: Any = None
    comment: str | None = None


class Tail:
    """The client's end of one request."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.task: asyncio.Task[None] | None = None
        self._is_asked = False
        self._is_gone = asyncio.Event()
        self._unread = b""

    async def receive(self) -> Any:
        """Give the server the empty body, then nothing until the client goes away."""
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._is_gone.wait()
        return {"type": "http.disconnect"}

    def go_away(self) -> None:
        """Close the connection."""
        self._is_gone.set()

    async def read_start(self) -> None:
        """Read status and headers."""
        message = await self._next()
        assert message["type"] == "http.response.start"
        self.status = message["status"]
        self.headers = {n.decode(): v.decode("latin-1") for n, v in message["headers"]}

    async def read_message(self) -> Message | None:
        """Return the next message; None at the end of the answer."""
        while b"\n\n" not in self._unread:
            message = await self._next()
            self._unread += message["body"]
            if not message.get("more_body"):
                return None
        text, self._unread = self._unread.split(b"\n\n", 1)
        return _parse(text.decode())

    async def read_events(self, count: int) -> list[Message]:
        """Return so many messages, comments left out."""
        found: list[Message] = []
        while len(found) < count:
            message = await self.read_message()
            assert message is not None, f"it ended after {found}"
            if message.comment is None:
                found.append(message)
        return found

    async def read_rest(self) -> Reply:
        """Return the whole answer, if it is not a tail."""
        body = b""
        while True:
            message = await self._next()
            body += message["body"]
            if not message.get("more_body"):
                return Reply(self.status, self.headers, body)

    async def _next(self) -> Any:
        async with asyncio.timeout(_PATIENCE_S):
            return await self.sent.get()


def _parse(text: str) -> Message:
    if text.startswith(":"):
        return Message(comment=text[1:].strip())
    fields = dict(line.split(": ", 1) for line in text.split("\n"))
    return Message(fields.get("id"), fields.get("event"), msgspec.json.decode(fields["data"]))


@contextlib.asynccontextmanager
async def open_tail(
    api: Api, target: str, *, method: str = "GET", headers: dict[str, str] | None = None
) -> AsyncGenerator[Tail]:
    """Ask for a tail; the client has gone when the block ends, and the server must notice."""
    path, _, query = target.partition("?")
    given = {
        "accept": "text/event-stream",
        "authorization": f"Bearer {make_test_token(Role.OPERATOR)}",
    } | (headers or {})
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(n.encode(), v.encode("latin-1")) for n, v in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    tail = Tail()
    tail.task = asyncio.create_task(api.app(scope, tail.receive, tail.sent.put))
    try:
        await tail.read_start()
        yield tail
    finally:
        tail.go_away()
        async with asyncio.timeout(_PATIENCE_S):
            await tail.task
