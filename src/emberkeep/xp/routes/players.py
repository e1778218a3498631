"""Players over HTTP."""

from __future__ import annotations

import datetime
from typing import Any, Final

import msgspec
from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from emberkeep.base import clock, page
from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.xp.model import Player, PlayerId, PlayerWish, SegmentKey, ZoneChange, ZoneRequest
from emberkeep.xp.routes.shapes import After, Body, Limit, PlayerPath, find_player
from emberkeep.xp.service import players
from emberkeep.xp.service.services import XpServices
from emberkeep.xp.service.streak_deeds import Cause

_TAGS: Final = ["players"]


class PlayerBody(Body, frozen=True):
    """What a player is to be. What is not there stays as it is; null takes the segment away."""

    time_zone: str
    segment_key: SegmentKey | msgspec.UnsetType | None = msgspec.UNSET
    attributes: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class ZoneBody(Body, frozen=True):
    """The reward time zone that is wanted."""

    time_zone: str


def _make_cause(principal: Principal, now: datetime.datetime) -> Cause:
    return Cause(correlation_id=clock.new_id(), actor=principal.subject, now=now)


@put(
    "/v1/players/{player_id:str}",
    opt={"permission": Permission.WRITE_PLAYER},
    tags=_TAGS,
    summary="Create a player, or change what is known of them",
    responses={201: ResponseSpec(Player, description="The player is new", generate_examples=False)},
)
async def put_player(
    player_id: PlayerPath,
    data: JSONBody[PlayerBody],
    principal: NamedDependency[Principal],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> Response[Player]:
    """201 for a new player, 200 for one that was there. `time_zone` is a canonical Area/Location
    name of the tz database, or `UTC`.

    Another `time_zone` for a present player is a change of the reward time zone, under the same
    rules: it holds from the next boundary on, and is refused within the cooldown of the last one.
    A refused call changes nothing else either.

    Refusals: `xp.time_zone_cooldown` (409, with `opens_at`), `xp.time_zone_limit` (409, with
    `opens_at` and the season's `limit`), `xp.time_zone_unknown` (422, with `use` where the name is a
    link), `xp.player_invalid` (422).
    """
    wish = PlayerWish(
        player_id=PlayerId(player_id),
        time_zone=data.time_zone,
        segment_key=data.segment_key,
        attributes=data.attributes,
    )
    # Not the request's transaction, which a refusal would end: a refusal is kept.
    async with xp.database.connection() as conn:
        player, is_new = await players.put_player(
            conn,
            wish=wish,
            rule=await xp.find_zone_rule(conn, now=now),
            cause=_make_cause(principal, now),
        )
    xp.desk.forget(wish.player_id)
    return Response(player, status_code=201 if is_new else 200)


@get(
    "/v1/players/{player_id:str}",
    opt={"permission": Permission.READ_PLAYER},
    tags=_TAGS,
    summary="Read a player",
)
async def read_player(
    player_id: PlayerPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
) -> Player:
    """The player as XP knows them.

    Refusals: `xp.player_unknown` (404).
    """
    return await players.read_player(conn, player_id=find_player(principal, player_id), now=now)


@put(
    "/v1/players/{player_id:str}/reward-time-zone",
    opt={"permission": Permission.CHANGE_TIME_ZONE},
    tags=_TAGS,
    summary="Change the time zone that reward days follow",
)
async def change_time_zone(
    player_id: PlayerPath,
    data: JSONBody[ZoneBody],
    principal: NamedDependency[Principal],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> ZoneChange:
    """Holds from `effective_at` on, the old zone's next boundary, so that no day is lost or doubled.
    A day that the journey leaves out, over the date line, does not count as missed.

    Refusals: `xp.time_zone_cooldown` (409, with `opens_at`), `xp.time_zone_limit` (409, with
    `opens_at` and the season's `limit`), `xp.player_unknown` (404), `xp.time_zone_unknown` (422,
    with `use` where the name is a link).
    """
    player = find_player(principal, player_id)
    # Not the request's transaction, which a refusal would end: a refusal is kept.
    async with xp.database.connection() as conn:
        change = await players.change_time_zone(
            conn,
            player_id=player,
            wanted=data.time_zone,
            rule=await xp.find_zone_rule(conn, now=now),
            cause=_make_cause(principal, now),
        )
    xp.desk.forget(player)
    return change


@get(
    "/v1/players/{player_id:str}/time-zone-changes",
    opt={"permission": Permission.READ_PLAYER},
    tags=_TAGS,
    summary="Every request for another reward time zone, newest first",
)
async def list_time_zone_changes(
    player_id: PlayerPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[ZoneRequest]:
    """Granted and refused ones; those that asked for the zone that held anyway are not kept.

    Refusals: `xp.player_unknown` (404), `request.cursor_invalid` (422).
    """
    return await players.list_zone_changes(
        conn, player_id=find_player(principal, player_id), limit=limit, after=after
    )
