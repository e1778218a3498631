"""Declare a hot route to the router too: for the OpenAPI document, and for paths it normalises."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from litestar import Response
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from emberkeep.base.db import Connection
from emberkeep.base.hot import Answer, HotRoute
from emberkeep.base.identity import Principal


def declare_route(route: HotRoute) -> HTTPRouteHandler:
    """Return an ordinary handler that does what the hot lane does, and what is done with a key."""
    answer = _make_answer(route) if route.keyed_handler is None else _make_keyed_answer(route)
    # The type of the body is known only now; the router reads it from here.
    answer.__annotations__["data"] = JSONBody[route.request]
    answer.__name__ = route.path.strip("/").replace("/", "_").replace("-", "_")
    return HTTPRouteHandler(
        route.path,
        http_method=route.method,  # type: ignore[arg-type]
        opt={"permission": route.permission, "idempotent": route.keyed_handler is not None},
        summary=route.summary,
        description=route.description or None,
        tags=list(route.tags),
        status_code=min(route.answers),
        responses={
            status: ResponseSpec(
                data_container=answer_type,
                description=HTTPStatus(status).phrase,
                generate_examples=False,
            )
            for status, answer_type in route.answers.items()
        },
    )(answer)


def _make_answer(route: HotRoute) -> Callable[..., Awaitable[Response[bytes]]]:
    async def answer(
        data: Any,
        principal: NamedDependency[Principal],
        now: NamedDependency[datetime.datetime],
    ) -> Response[bytes]:
        return _respond(await route.handler(principal, data, now))

    return answer


def _make_keyed_answer(route: HotRoute) -> Callable[..., Awaitable[Response[bytes]]]:
    handler = route.keyed_handler
    assert handler is not None

    async def answer(
        data: Any,
        conn: NamedDependency[Connection],
        principal: NamedDependency[Principal],
        now: NamedDependency[datetime.datetime],
    ) -> Response[bytes]:
        return _respond(await handler(conn, principal, data, now))

    return answer


def _respond(said: Answer) -> Response[bytes]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in said.headers}
    return Response(
        said.body, status_code=said.status, headers=headers, media_type="application/json"
    )
