"""The one way in: request id, hot lane, size limit, error table, metrics, access line.

A single flat layer around the router, because each further one would cost every request. Nothing
leaves before the request's transaction has ended.
"""

from __future__ import annotations

import asyncio
import datetime
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

import msgspec
import structlog
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from emberkeep.base.errors import FieldError, Invalid
from emberkeep.base.hot import Answer, HotRoute
from emberkeep.web import errors, idempotency
from emberkeep.web.body import Disconnected, decode, read_body
from emberkeep.web.errors import Problem, RouteUnknown
from emberkeep.web.exchange import SCOPE_KEY, UNROUTED, Exchange, Headers
from emberkeep.web.gate import Gate, require_json, require_principal
from emberkeep.web.metrics import Metrics

_log = structlog.get_logger(__name__)

_JSON: Final = (b"content-type", b"application/json")
# What no body at all stands for on a hot route, in either lane.
_NO_BODY: Final = b"{}"
# Answers hold what only the caller may see, and are data: nothing in them is ever a page.
SECURITY_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_ENDED: Final = asyncio.Event()
_ENDED.set()
_ERROR_FROM: Final = 400
_CLIENT_GONE: Final = 499


class Front:
    """The outermost ASGI application."""

    def __init__(
        self,
        router: ASGIApp,
        *,
        hot_routes: Sequence[HotRoute],
        gate: Gate,
        metrics: Metrics,
        read_now: Callable[[], datetime.datetime],
        max_body_bytes: int,
    ) -> None:
        self._router = router
        self._hot = {(route.method, route.path): _HotLane(route) for route in hot_routes}
        self._gate = gate
        self._metrics = metrics
        self._read_now = read_now
        self._max_body_bytes = max_body_bytes
        self._stopping = asyncio.Event()

    def begin_stop(self) -> None:
        """End the answers that would go on for ever; all others are given to their end."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; anything but HTTP goes on to the router as it is."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        exchange = Exchange(
            cast("Headers", scope["headers"]),
            new_request_id=secrets.token_hex(8),
            now=self._read_now(),
            started_s=time.perf_counter(),
        )
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        self._metrics.in_flight.inc()
        try:
            lane = self._hot.get((scope["method"], scope["path"]))
            if lane is None or lane.must_keep(exchange):
                await self._route(exchange, scope, receive, send)
            else:
                await self._answer_hot(lane, exchange, scope, receive, send)
        except Disconnected:
            exchange.status = _CLIENT_GONE
        finally:
            self._metrics.in_flight.dec()
            self._note(exchange, scope["method"])

    async def _answer_hot(
        self,
        lane: _HotLane,
        exchange: Exchange,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
    ) -> None:
        exchange.route = lane.route.path
        try:
            answer = await self._call_hot(lane, exchange, scope, receive)
        except Disconnected:
            raise
        except Exception as e:  # noqa: BLE001 - the edge: every failure becomes an answer here.
            await _send_problem(exchange, explain(e, exchange), send)
            return
        exchange.status = answer.status
        headers = [_JSON, *answer.headers]
        await _send(exchange, answer.status, headers, answer.body, send)

    async def _call_hot(
        self, lane: _HotLane, exchange: Exchange, scope: HTTPScope, receive: Receive
    ) -> Answer:
        self._gate.admit(exchange, lane.route.permission)
        principal = require_principal(exchange)
        exchange.body = await read_body(scope, receive, max_bytes=self._max_body_bytes)
        require_json(exchange)
        data = decode(lane.decoder, exchange.body or _NO_BODY)
        return await lane.route.handler(principal, data, exchange.now)

    async def _route(
        self, exchange: Exchange, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        # A HEAD is a GET whose body the server leaves out; the router need not know.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        routed = cast("HTTPScope", {**scope, "method": method, SCOPE_KEY: exchange})
        outbox = _Outbox(exchange, send)
        try:
            _refuse_unclear(scope)
            exchange.body = await read_body(scope, receive, max_bytes=self._max_body_bytes)
            if not exchange.body and (method, scope["path"].rstrip("/")) in self._hot:
                exchange.body = _NO_BODY
            # The headers are all that a HEAD wants: an answer without an end has none left to give.
            ending = _ENDED if scope["method"] == "HEAD" else self._stopping
            inbox = _Inbox(exchange.body, receive, ending)
            await self._router(routed, inbox.receive, outbox.send)
            await outbox.finish()
        except Disconnected:
            raise
        except Exception as e:  # noqa: BLE001 - the edge: every failure becomes an answer here.
            await outbox.fail(explain(e, exchange))
        except BaseException:
            await outbox.abandon()
            raise
        finally:
            exchange.route = cast("dict[str, str]", routed).get("path_template", UNROUTED)

    def _note(self, exchange: Exchange, method: str) -> None:
        """Count the request and write its access line, which holds no id of a player."""
        seconds = time.perf_counter() - exchange.started_s
        self._metrics.count(method, exchange.route, exchange.status, seconds)
        _log.info(
            "request",
            method=method,
            route=exchange.route,
            status=exchange.status,
            ms=round(seconds * 1000, 2),
            role=exchange.principal.role.value if exchange.principal else None,
            code=exchange.code,
        )


class _HotLane:
    """A hot route and the decoder that was made for it once."""

    __slots__ = ("decoder", "route")

    def __init__(self, route: HotRoute) -> None:
        self.route = route
        self.decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(route.request)

    def must_keep(self, exchange: Exchange) -> bool:
        """Say whether the answer must be kept for a retry, which takes the router's way."""
        return exchange.idempotency_key is not None and self.route.keyed_handler is not None


class _Outbox:
    """Holds an answer back until the transaction it speaks of has ended.

    A request that opened none, a tail for instance, is sent as it comes.
    """

    def __init__(self, exchange: Exchange, send: Send) -> None:
        self._exchange = exchange
        self._send = send
        self._has_begun = False
        self._has_ended = False
        self._headers: Headers = []
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        """Take one message of the router's answer."""
        if message["type"] == "http.response.start":
            self._exchange.status = message["status"]
            self._headers = [(bytes(n).lower(), bytes(v)) for n, v in message["headers"]]
        elif message["type"] == "http.response.body":
            if self._exchange.work is not None:
                self._body += message["body"]
                return
            await self._begin()
            self._has_ended = not message.get("more_body", False)
            await self._send(message)

    async def finish(self) -> None:
        """End the transaction as the answer's status says, then let the answer go."""
        work = self._exchange.work
        if work is None:
            if self._has_begun and not self._has_ended:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        body = bytes(self._body)
        if self._exchange.status >= _ERROR_FROM:
            await work.roll_back()
        else:
            if work.key is not None and work.conn is not None:
                await idempotency.keep_answer(
                    work.conn,
                    key=work.key,
                    status=self._exchange.status,
                    headers=self._headers,
                    body=body,
                )
            await work.commit()
        await self._begin()
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def fail(self, problem: Problem) -> None:
        """Undo everything and say why, unless part of an answer has left already."""
        await self.abandon()
        if not self._has_begun:
            await _send_problem(self._exchange, problem, self._send)

    async def abandon(self) -> None:
        """Undo everything and say nothing."""
        if self._exchange.work is not None:
            await self._exchange.work.roll_back()

    async def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            await _send_start(self._exchange, self._exchange.status, self._headers, self._send)


class _Inbox:
    """Gives the body that was read; then says when the client has gone, or the answer must end.

    Only an answer without an end asks for the latter.
    """

    def __init__(self, body: bytes, receive: Receive, ending: asyncio.Event) -> None:
        self._messages: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]
        self._receive = receive
        self._ending = ending

    async def receive(self) -> Any:
        """Return the next message."""
        if self._messages:
            return self._messages.pop()
        gone = asyncio.ensure_future(self._receive())
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait({gone, ending}, return_when=asyncio.FIRST_COMPLETED)
            return {"type": "http.disconnect"} if ending.done() else gone.result()
        finally:
            gone.cancel()
            ending.cancel()


def explain(error: Exception, exchange: Exchange) -> Problem:
    """Return the problem document of `error`; log it, once and with its traceback, if it is a bug."""
    anticipated = errors.translate(error)
    if anticipated is None:
        _log.error("bug", exc_info=error)
        problem = errors.describe_bug(exchange.request_id)
    else:
        problem = errors.describe(anticipated, exchange.request_id)
    exchange.code = problem.code
    return problem


def _refuse_unclear(scope: HTTPScope) -> None:
    """Refuse a target that names what cannot be kept, or that could be read as another one."""
    path, query = scope["path"], scope["query_string"]
    # The one character that JSON, HTTP and Python know, and PostgreSQL does not.
    if "\0" in path:
        raise Invalid("the path holds NUL", (FieldError("path", "holds the character NUL"),))
    if b"%00" in query:
        raise Invalid("the query holds NUL", (FieldError("query", "holds the character NUL"),))
    # Bytes that are no text have all been read as this one sign: several ids would be one.
    if "\ufffd" in path and not _is_text(scope["raw_path"]):
        raise Invalid("the path is not UTF-8", (FieldError("path", "is not UTF-8"),))
    if b"%" in query and not _is_text(query):
        raise Invalid("the query is not UTF-8", (FieldError("query", "is not UTF-8"),))
    # The router would leave the empty id out, and take what follows for the id.
    if "//" in path:
        raise RouteUnknown("there is nothing under this path")


def _is_text(encoded: bytes) -> bool:
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return True


async def _send_problem(exchange: Exchange, problem: Problem, send: Send) -> None:
    exchange.status = problem.status
    await _send(exchange, problem.status, [*problem.headers], problem.body, send)


async def _send(exchange: Exchange, status: int, headers: Headers, body: bytes, send: Send) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await _send_start(exchange, status, headers, send)
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _send_start(exchange: Exchange, status: int, headers: Headers, send: Send) -> None:
    said = {name for name, _ in headers}
    headers.append((b"x-request-id", exchange.request_id.encode()))
    headers.extend(exchange.limit_headers)
    # A page may say something else about itself than an answer of the API.
    headers.extend(header for header in SECURITY_HEADERS if header[0] not in said)
    await send({"type": "http.response.start", "status": status, "headers": headers})
