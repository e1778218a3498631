"""Seasons over HTTP."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter

from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.xp.model import Season, SeasonId
from emberkeep.xp.routes.shapes import Body
from emberkeep.xp.service import seasons

_TAGS: Final = ["seasons"]
_READ: Final = {"permission": Permission.READ_CATALOGUE}


class SeasonBody(Body, frozen=True):
    """A season of the reward days from `start_date` to `end_date`, both included."""

    season_id: str
    start_date: datetime.date
    end_date: datetime.date
    display_name: str | None = None


@get("/v1/xp/seasons", opt=_READ, tags=_TAGS, summary="The calendar of seasons, in order")
async def list_seasons(conn: NamedDependency[Connection]) -> Page[Season]:
    """Seasons are few: the calendar is one page."""
    return Page(tuple(await seasons.list_seasons(conn)), None)


@get("/v1/xp/seasons/{season_id:str}", opt=_READ, tags=_TAGS, summary="One season of the calendar")
async def read_season(
    season_id: Annotated[str, PathParameter(description="The season's name.")],
    conn: NamedDependency[Connection],
) -> Season:
    """Refusals: `xp.season_unknown` (404)."""
    return await seasons.read_season(conn, season_id=SeasonId(season_id))


@post(
    "/v1/xp/seasons",
    opt={"permission": Permission.WRITE_SEASONS, "idempotent": True},
    tags=_TAGS,
    summary="Add a season to the calendar",
)
async def create_season(
    data: JSONBody[SeasonBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
) -> Response[Season]:
    """Seasons never overlap. One that players have claimed past already cannot be added.

    Refusals: `xp.season_invalid` (422); `xp.season_exists`, `xp.season_overlap` and
    `xp.season_over` (409).
    """
    season = await seasons.create_season(
        conn,
        season=Season(
            season_id=SeasonId(data.season_id),
            display_name=data.display_name,
            start_date=data.start_date,
            end_date=data.end_date,
        ),
        actor=principal.subject,
        now=now,
    )
    headers = {"location": f"/v1/xp/seasons/{season.season_id}"}
    return Response(season, status_code=201, headers=headers)
