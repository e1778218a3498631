"""The application: the slices' routes behind the front. It does not start with a route left open."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from litestar import Litestar, Request, Response
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import LitestarException, MethodNotAllowedException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute
from prometheus_client.registry import Collector

from emberkeep.base import clock
from emberkeep.base.db import Connection, Database
from emberkeep.base.figures import Figure
from emberkeep.base.hot import HotRoute
from emberkeep.base.identity import Permission, Principal
from emberkeep.web import body, docs, errors, hot, idempotency, openapi, routes
from emberkeep.web.auth import Authenticator, Keys
from emberkeep.web.errors import MethodRefused
from emberkeep.web.exchange import Exchange, Work, find_exchange
from emberkeep.web.front import Front, explain
from emberkeep.web.gate import Gate, require_json, require_principal
from emberkeep.web.idempotency import Replayed
from emberkeep.web.limits import RateLimit
from emberkeep.web.metrics import Metrics

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Under these names a handler asks for the transaction that keeps its answer.
_TRANSACTIONS: Final = frozenset({"conn", "keyed_conn"})
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


async def _measure_nothing() -> Sequence[Figure]:
    return ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the front needs of the house.

    `provided` are the objects that handlers ask for by parameter name, such as a slice's services.
    `check_ready` raises an anticipated failure while the service cannot do its work. `measure`
    returns what is to be told to a monitor, and never raises; `collectors` count by themselves.
    """

    keys: Keys
    database: Database
    check_ready: Callable[[], Awaitable[None]]
    measure: Callable[[], Awaitable[Sequence[Figure]]] = _measure_nothing
    collectors: Sequence[Collector] = ()
    routes: Sequence[HTTPRouteHandler] = ()
    hot_routes: Sequence[HotRoute] = ()
    provided: Mapping[str, object] = dataclasses.field(default_factory=dict[str, object])
    requests_per_minute: int = 0
    max_body_bytes: int = body.MAX_BODY_BYTES
    read_now: Callable[[], datetime.datetime] = clock.read_now


class RouteUnsafe(Exception):
    """A route is declared in a way that could let the wrong caller in, or act twice."""


def make_app(services: Services) -> Front:
    """Return the ASGI application that serves the given routes.

    :raises RouteUnsafe: if a route names no permission, or is idempotent outside a transaction
    """
    metrics = Metrics(services.collectors)
    gate = Gate(Authenticator(services.keys), RateLimit(services.requests_per_minute))
    router = _make_router(services, gate, metrics)
    for path, handler in _list_handlers(router):
        _check_handler(path, handler)
    return Front(
        router,
        hot_routes=services.hot_routes,
        gate=gate,
        metrics=metrics,
        read_now=services.read_now,
        max_body_bytes=services.max_body_bytes,
    )


def _make_router(services: Services, gate: Gate, metrics: Metrics) -> Litestar:
    def admit(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        # Only the router's own answers to OPTIONS have none: any other would not have started.
        permission = handler.opt.get("permission", Permission.PUBLIC)
        gate.admit(find_exchange(connection.scope), permission)

    dependencies = _provide(services)
    handlers = [
        *services.routes,
        *(hot.declare_route(route) for route in services.hot_routes),
        *routes.make_health_routes(
            metrics=metrics, check_ready=services.check_ready, measure=services.measure
        ),
    ]
    document = openapi.render_document(handlers, dependencies)
    return Litestar(
        route_handlers=[*handlers, *docs.make_routes(document)],
        guards=[admit],
        dependencies=dependencies,
        exception_handlers={Exception: _answer_failure},
        request_class=_StrictRequest,
        openapi_config=None,
        logging_config=None,
    )


class _StrictRequest(Request[Any, Any, Any]):
    """Decodes a body straight into the handler's type: unlike the framework, without guessing.

    The text "5" is no number here, and a decimal never passes through a binary float.
    """

    async def json(self) -> Any:
        exchange = find_exchange(self.scope)
        require_json(exchange)
        return body.decode(_find_decoder(self.route_handler), exchange.body)


def _find_decoder(handler: BaseRouteHandler) -> msgspec.json.Decoder[Any]:
    decoder = handler.opt.get("decoder")
    if decoder is None:
        data = handler.parsed_fn_signature.parameters["data"]
        decoder = handler.opt["decoder"] = msgspec.json.Decoder(data.annotation)
    return cast("msgspec.json.Decoder[Any]", decoder)


def _provide(services: Services) -> dict[str, Provide]:
    """Return what a handler may ask for by name, beside what is `provided`.

    `keyed_conn` is for one that needs the transaction `conn` only to keep its answer: None unless
    the request brings an `Idempotency-Key`.
    """

    async def provide_conn(request: Request[Any, Any, Any]) -> Connection:
        exchange = find_exchange(request.scope)
        exchange.work = Work(services.database)
        conn = await exchange.work.open(may_write=request.method not in _SAFE_METHODS)
        if request.route_handler.opt.get("idempotent") and exchange.idempotency_key is not None:
            await _take_key(conn, request, exchange, exchange.idempotency_key)
        return conn

    async def provide_keyed_conn(request: Request[Any, Any, Any]) -> Connection | None:
        is_keyed = find_exchange(request.scope).idempotency_key is not None
        return await provide_conn(request) if is_keyed else None

    def provide_request_id(request: Request[Any, Any, Any]) -> str:
        return find_exchange(request.scope).request_id

    def provide_principal(request: Request[Any, Any, Any]) -> Principal:
        return require_principal(find_exchange(request.scope))

    def provide_now(request: Request[Any, Any, Any]) -> datetime.datetime:
        return find_exchange(request.scope).now

    return {
        "conn": Provide(provide_conn),
        "keyed_conn": Provide(provide_keyed_conn),
        "request_id": Provide(provide_request_id, sync_to_thread=False),
        "principal": Provide(provide_principal, sync_to_thread=False),
        "now": Provide(provide_now, sync_to_thread=False),
        **{name: _provide_value(value) for name, value in services.provided.items()},
    }


def _provide_value(value: object) -> Provide:
    def provide() -> Any:
        return value

    return Provide(provide, sync_to_thread=False)


async def _take_key(
    conn: Connection, request: Request[Any, Any, Any], exchange: Exchange, text: str
) -> None:
    work = exchange.work
    assert work is not None
    query = request.scope["query_string"]
    key = idempotency.make_key(
        subject=require_principal(exchange).subject,
        idempotency_key=text,
        method=request.method,
        target=request.scope["path"] + (f"?{query.decode('latin-1')}" if query else ""),
        body=exchange.body,
    )
    await idempotency.begin(conn, key=key, now=exchange.now)
    work.key = key


def _answer_failure(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer whatever a handler, or the framework around it, raised."""
    if isinstance(error, Replayed):
        return _replay(error)
    exchange = find_exchange(request.scope)
    if isinstance(error, MethodNotAllowedException):
        error = MethodRefused(
            "this path does not answer to this method", allowed=_list_methods(request)
        )
    problem = explain(error, exchange)
    return Response(
        problem.body,
        status_code=problem.status,
        media_type=errors.CONTENT_TYPE.decode(),
        headers={name.decode(): value.decode() for name, value in problem.headers[1:]},
    )


def _replay(replayed: Replayed) -> Response[bytes]:
    headers = dict(replayed.answer.headers)
    return Response(
        replayed.answer.body,
        status_code=replayed.answer.status,
        media_type=headers.pop("content-type", "application/json"),
        headers={**headers, "idempotency-replayed": "true"},
    )


def _list_methods(request: Request[Any, Any, Any]) -> tuple[str, ...]:
    """Return the methods that the request's path answers to."""
    router = request.app.asgi_router
    allowed: list[str] = []
    for method in _METHODS:
        try:
            router.handle_routing(path=request.scope["path"], method=method)
        except LitestarException:
            continue
        allowed.append(method)
    return tuple(allowed)


def _list_handlers(app: Litestar) -> list[tuple[str, HTTPRouteHandler]]:
    """Return every handler with its path, but the answers to OPTIONS, which the router adds."""
    return [
        (route.path, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.http_methods != {"OPTIONS"}
    ]


def _check_handler(path: str, handler: HTTPRouteHandler) -> None:
    if not isinstance(handler.opt.get("permission"), Permission):
        raise RouteUnsafe(f"{path} declares no permission: opt={{'permission': Permission.…}}")
    if handler.opt.get("idempotent") and not _TRANSACTIONS.intersection(
        handler.parsed_fn_signature.parameters
    ):
        raise RouteUnsafe(f"{path} is idempotent, but does not work in the transaction `conn`")
