"""Seasons over HTTP."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.etag import format_etag, parse_if_match
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.xp.model import (
    CatalogueStep,
    CatalogueSubject,
    Season,
    SeasonId,
    SeasonOutlook,
    SeasonSpan,
)
from emberkeep.xp.routes.shapes import After, Body, IfMatch, Limit, ReasonQuery
from emberkeep.xp.service import seasons
from emberkeep.xp.service.catalogue_history import list_steps
from emberkeep.xp.service.services import XpServices

_TAGS: Final = ["seasons"]
_READ: Final = {"permission": Permission.READ_CATALOGUE}
_WRITE: Final = {"permission": Permission.WRITE_SEASONS}

_SeasonPath = Annotated[str, PathParameter(description="The season's name.")]
_At = Annotated[
    str | None,
    QueryParameter(description="Seen from this instant; none: now."),
]
_TimeZone = Annotated[
    str, QueryParameter(description="Whose reward day it is: an Area/Location name, or UTC.")
]


class SeasonBody(Body, frozen=True):
    """A season of the reward days from `start_date` to `end_date`, both included."""

    season_id: str
    start_date: datetime.date
    end_date: datetime.date
    display_name: str | None = None
    reason: str = ""


class SeasonEdit(Body, frozen=True):
    """What a season is to be. A display name that is not given stays as it is."""

    start_date: datetime.date
    end_date: datetime.date
    display_name: str | None = None
    reason: str = ""


def _respond(season: Season, *, status_code: int = 200) -> Response[Season]:
    headers = {"etag": format_etag(seasons.find_tag(season))}
    if status_code == 201:
        headers["location"] = f"/v1/xp/seasons/{season.season_id}"
    return Response(season, status_code=status_code, headers=headers)


async def _find_day(
    xp: XpServices, conn: Connection, at: datetime.datetime, time_zone: str
) -> datetime.date:
    return seasons.find_day(
        at=at,
        time_zone=time_zone,
        version=await xp.find_default_version(conn, now=at),
        server_zone=xp.server_zone,
    )


@get("/v1/xp/seasons", opt=_READ, tags=_TAGS, summary="The calendar of seasons, in order")
async def list_seasons(
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
    when: Annotated[
        SeasonSpan | None, QueryParameter(description="Only those that lie so; none: all.")
    ] = None,
    time_zone: _TimeZone = "UTC",
) -> Page[Season]:
    """Seasons are few: the calendar is one page.

    Refusals: `xp.time_zone_unknown` (422).
    """
    day = await _find_day(xp, conn, now, time_zone)
    return Page(tuple(await seasons.list_seasons(conn, span=when, day=day)), None)


@get("/v1/xp/seasons/current", opt=_READ, tags=_TAGS, summary="The season now, and the next one")
async def read_outlook(
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
    at: _At = None,
    time_zone: _TimeZone = "UTC",
) -> SeasonOutlook:
    """Seasons are made of reward days: which one it is depends on the zone, and on when the default
    policy has a day begin.

    Refusals: `xp.question_invalid`, `xp.time_zone_unknown` and `xp.instant_out_of_range` (422).
    """
    instant = now if at is None else seasons.read_instant(at)
    return await seasons.read_outlook(conn, day=await _find_day(xp, conn, instant, time_zone))


@get("/v1/xp/seasons/{season_id:str}", opt=_READ, tags=_TAGS, summary="One season of the calendar")
async def read_season(
    season_id: _SeasonPath, conn: NamedDependency[Connection]
) -> Response[Season]:
    """Its `ETag` is what a change names in `If-Match`.

    Refusals: `xp.season_unknown` (404).
    """
    return _respond(await seasons.read_season(conn, season_id=SeasonId(season_id)))


@get(
    "/v1/xp/seasons/{season_id:str}/audit",
    opt={"permission": Permission.READ_POLICIES},
    tags=_TAGS,
    summary="Every step in the life of a season, newest first",
)
async def list_season_audit(
    season_id: _SeasonPath,
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[CatalogueStep]:
    """Who took it, when, why, and what it changed. A season that is gone has its audit still.

    Refusals: `request.cursor_invalid` (422).
    """
    return await list_steps(
        conn,
        subject=CatalogueSubject.SEASON,
        subject_key=season_id,
        limit=limit,
        after=after,
    )


@post(
    "/v1/xp/seasons",
    opt={**_WRITE, "idempotent": True},
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
        reason=data.reason,
        now=now,
    )
    return _respond(season, status_code=201)


@put("/v1/xp/seasons/{season_id:str}", opt=_WRITE, tags=_TAGS, summary="Change a season to come")
async def edit_season(
    season_id: _SeasonPath,
    data: JSONBody[SeasonEdit],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    if_match: IfMatch = None,
) -> Response[Season]:
    """Only while its first day has begun nowhere on earth: the earliest zone is UTC+14.

    Refusals: `xp.season_invalid` (422), `xp.season_unknown` (404), `request.stale` (412, with
    `etag`); `xp.season_begun`, `xp.season_overlap` and `xp.season_over` (409).
    """
    season = await seasons.edit_season(
        conn,
        season=Season(
            season_id=SeasonId(season_id),
            display_name=data.display_name,
            start_date=data.start_date,
            end_date=data.end_date,
        ),
        expected_tag=parse_if_match(if_match),
        actor=principal.subject,
        reason=data.reason,
        now=now,
    )
    return _respond(season)


@delete(
    "/v1/xp/seasons/{season_id:str}", opt=_WRITE, tags=_TAGS, summary="Take a season to come away"
)
async def delete_season(
    season_id: _SeasonPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    reason: ReasonQuery = "",
    if_match: IfMatch = None,
) -> None:
    """Only while its first day has begun nowhere on earth, and nobody was granted XP of it.

    Refusals: `xp.season_invalid` (422), `xp.season_unknown` (404), `request.stale` (412, with
    `etag`); `xp.season_begun` and `xp.season_in_use` (409).
    """
    await seasons.delete_season(
        conn,
        season_id=SeasonId(season_id),
        expected_tag=parse_if_match(if_match),
        actor=principal.subject,
        reason=reason,
        now=now,
    )
