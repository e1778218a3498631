"""Is it alive, can it work, how is it doing: what load balancers and monitors ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from emberkeep.base.figures import Figure
from emberkeep.base.identity import Permission
from emberkeep.web import metrics as prometheus
from emberkeep.web.metrics import Metrics

_PUBLIC: Final = {"permission": Permission.PUBLIC}
_TAGS: Final = ["health"]


class Health(msgspec.Struct, frozen=True):
    """What a probe is answered when all is well."""

    status: str


def make_health_routes(
    *,
    metrics: Metrics,
    check_ready: Callable[[], Awaitable[None]],
    measure: Callable[[], Awaitable[Sequence[Figure]]],
) -> list[HTTPRouteHandler]:
    """Return the routes that anybody may call, and that tell nothing about anyone."""

    @get("/health/live", opt=_PUBLIC, tags=_TAGS, summary="Is the process alive?")
    async def show_live() -> Health:
        """Answers as long as the process can answer at all. Restart it if this fails."""
        return Health("live")

    @get("/health/ready", opt=_PUBLIC, tags=_TAGS, summary="Can it do its work?")
    async def show_ready() -> Health:
        """Asks the database, and whether its schema is the one this version needs.

        Send no requests here while this fails.
        """
        await check_ready()
        return Health("ready")

    @get(
        "/metrics",
        opt=_PUBLIC,
        tags=_TAGS,
        summary="Figures for Prometheus",
        media_type="text/plain",
    )
    async def show_metrics() -> Response[bytes]:
        """Request durations by route and status, requests under way, and the process itself; and how
        the event store is doing: its horizon, open appends, and how far each subscription is behind.
        """
        figures = await measure()
        return Response(metrics.render(figures), media_type=prometheus.CONTENT_TYPE)

    return [show_live, show_ready, show_metrics]
