"""One request on its way through the house: who asks, since when, and the transaction it works in."""

from __future__ import annotations

import contextlib
import datetime
from typing import Any, Final

from emberkeep.base.db import Connection, Database
from emberkeep.base.identity import Principal
from emberkeep.web.model import Key

SCOPE_KEY: Final = "emberkeep.exchange"
UNROUTED: Final = "unmatched"

Headers = list[tuple[bytes, bytes]]


class _RolledBack(Exception):
    """Ends a transaction without effect."""


class Work:
    """The connection that one request works on, and the transaction around it, if it may write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stack = contextlib.AsyncExitStack()
        self.key: Key | None = None
        self.conn: Connection | None = None

    async def open(self, *, may_write: bool) -> Connection:
        """Return the connection. A request that only reads runs each statement by itself."""
        lend = self._database.transaction if may_write else self._database.connection
        self.conn = await self._stack.enter_async_context(lend())
        return self.conn

    async def commit(self) -> None:
        """End the transaction; the errors are those of `Database.transaction`."""
        await self._stack.aclose()

    async def roll_back(self) -> None:
        """End the transaction without effect. Never raises: there is an error on its way already."""
        reason = _RolledBack()
        with contextlib.suppress(Exception):
            await self._stack.__aexit__(_RolledBack, reason, None)


class Exchange:
    """What the front and the router know of one request. Not frozen: it is filled in on the way."""

    __slots__ = (
        "authorization",
        "body",
        "code",
        "content_type",
        "idempotency_key",
        "limit_headers",
        "now",
        "principal",
        "request_id",
        "route",
        "started_s",
        "status",
        "work",
    )

    def __init__(
        self, headers: Headers, *, new_request_id: str, now: datetime.datetime, started_s: float
    ) -> None:
        self.request_id = new_request_id
        self.now = now
        self.started_s = started_s
        self.authorization: bytes | None = None
        self.content_type: bytes | None = None
        self.idempotency_key: str | None = None
        self.body = b""
        self.principal: Principal | None = None
        self.limit_headers: tuple[tuple[bytes, bytes], ...] = ()
        self.work: Work | None = None
        self.route = UNROUTED
        self.status = 0
        self.code: str | None = None
        for name, value in headers:
            match name:
                case b"authorization":
                    self.authorization = value
                case b"content-type":
                    self.content_type = value
                case b"idempotency-key":
                    self.idempotency_key = value.decode("latin-1")
                case b"x-request-id" if _is_request_id(value):
                    self.request_id = value.decode("ascii")
                case _:
                    pass


def find_exchange(scope: Any) -> Exchange:
    """Return the exchange that the front put into an ASGI scope."""
    exchange: Exchange = scope[SCOPE_KEY]
    return exchange


_REQUEST_ID_LETTERS: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
)
_MAX_REQUEST_ID: Final = 64


def _is_request_id(value: bytes) -> bool:
    return 1 <= len(value) <= _MAX_REQUEST_ID and _REQUEST_ID_LETTERS.issuperset(value)
