"""Declare a hot route to the router too: for the OpenAPI document, and for paths it normalises."""

from __future__ import annotations

import datetime
from http import HTTPStatus
from typing import Any

from litestar import Response
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from emberkeep.base.hot import HotRoute
from emberkeep.base.identity import Principal


def declare_route(route: HotRoute) -> HTTPRouteHandler:
    """Return an ordinary handler that does what the hot lane does."""

    async def answer(
        data: Any,
        principal: NamedDependency[Principal],
        now: NamedDependency[datetime.datetime],
    ) -> Response[bytes]:
        said = await route.handler(principal, data, now)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in said.headers}
        return Response(
            said.body, status_code=said.status, headers=headers, media_type="application/json"
        )

    # The type of the body is known only now; the router reads it from here.
    answer.__annotations__["data"] = JSONBody[route.request]
    answer.__name__ = route.path.strip("/").replace("/", "_").replace("-", "_")
    return HTTPRouteHandler(
        route.path,
        http_method=route.method,  # type: ignore[arg-type]
        opt={"permission": route.permission},
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
