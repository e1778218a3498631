"""Segments over HTTP: what they are, who is in them, and how many that is."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import msgspec
from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter

from emberkeep.base import clock, page
from emberkeep.base.db import Connection
from emberkeep.base.etag import format_etag, parse_if_match
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.xp.model import (
    CatalogueStep,
    CatalogueSubject,
    MemberChanges,
    PlayerId,
    PlayerSegments,
    PolicyKey,
    Segment,
    SegmentEstimate,
    SegmentKey,
    SegmentMember,
    SegmentWish,
)
from emberkeep.xp.routes.shapes import After, Body, IfMatch, Limit, PlayerPath, ReasonQuery
from emberkeep.xp.service import membership, segments
from emberkeep.xp.service.catalogue_history import list_steps
from emberkeep.xp.service.membership import DEFAULT_SAMPLE, MAX_SAMPLE
from emberkeep.xp.service.segments import MAX_MEMBERS
from emberkeep.xp.service.services import XpServices

_TAGS: Final = ["segments"]
_READ: Final = {"permission": Permission.READ_POLICIES}
_WRITE: Final = {"permission": Permission.WRITE_POLICIES}
_WRITE_ONCE: Final = {"permission": Permission.WRITE_POLICIES, "idempotent": True}

_SegmentPath = Annotated[
    str, PathParameter(description="The segment's key, such as `new-players`.")
]


class SegmentBody(Body, frozen=True):
    """What a segment is to be; `rule` is an expression in CEL, null for members by hand only.

    `reason` is kept in the audit.
    """

    display_name: str
    description: str = ""
    rule: str | None = None
    reason: str = ""


class MembersBody(Body, frozen=True):
    """Players to put into a segment."""

    player_ids: Annotated[list[PlayerId], msgspec.Meta(min_length=1, max_length=MAX_MEMBERS)]
    reason: str = ""


class EstimateBody(Body, frozen=True):
    """A rule that is not kept yet, or a segment that is; and how many players are asked at most."""

    rule: str | None = None
    segment_key: SegmentKey | None = None
    sample: Annotated[int, msgspec.Meta(ge=1, le=MAX_SAMPLE)] = DEFAULT_SAMPLE


def _respond(segment: Segment, *, is_new: bool = False) -> Response[Segment]:
    headers = {"etag": format_etag(segment.revision)}
    if is_new:
        headers["location"] = f"/v1/xp/segments/{segment.segment_key}"
    return Response(segment, status_code=201 if is_new else 200, headers=headers)


@get("/v1/xp/segments", opt=_READ, tags=_TAGS, summary="All segments, by key")
async def list_segments(conn: NamedDependency[Connection]) -> Page[Segment]:
    """Segments are few: they are one page."""
    return Page(tuple(await segments.list_segments(conn)), None)


@get("/v1/xp/segments/{segment_key:str}", opt=_READ, tags=_TAGS, summary="One segment")
async def read_segment(
    segment_key: _SegmentPath, conn: NamedDependency[Connection]
) -> Response[Segment]:
    """Its `ETag` is what an edit names in `If-Match`.

    Refusals: `xp.segment_unknown` (404).
    """
    return _respond(await segments.read_segment(conn, segment_key=SegmentKey(segment_key)))


@put(
    "/v1/xp/segments/{segment_key:str}",
    opt=_WRITE,
    tags=_TAGS,
    summary="Create a segment, or write over it",
    responses={
        201: ResponseSpec(Segment, description="The segment is new", generate_examples=False)
    },
)
async def put_segment(
    segment_key: _SegmentPath,
    data: JSONBody[SegmentBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    if_match: IfMatch = None,
) -> Response[Segment]:
    """201 for a new segment, 200 for one that was there. Claims follow the new rule at once.

    Refusals: `xp.segment_invalid` (422, every mistake of the rule with its line and column),
    `xp.reason_invalid` (422), `request.stale` (412, with `etag`).
    """
    segment, is_new = await segments.put_segment(
        conn,
        wish=SegmentWish(
            segment_key=SegmentKey(segment_key),
            display_name=data.display_name,
            description=data.description,
            rule=data.rule,
        ),
        expected_revision=parse_if_match(if_match),
        actor=principal.subject,
        reason=data.reason,
        now=now,
    )
    return _respond(segment, is_new=is_new)


@delete(
    "/v1/xp/segments/{segment_key:str}",
    opt=_WRITE,
    tags=_TAGS,
    summary="Take a segment away",
)
async def delete_segment(
    segment_key: _SegmentPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    if_match: IfMatch = None,
    reason: ReasonQuery = "",
) -> None:
    """And who was put into it. What was paid because of it stays as it is.

    Refusals: `xp.segment_unknown` (404), `xp.segment_in_use` (409, with the `policies` that have an
    override for it), `request.stale` (412, with `etag`), `xp.reason_invalid` (422).
    """
    await segments.delete_segment(
        conn,
        segment_key=SegmentKey(segment_key),
        expected_revision=parse_if_match(if_match),
        actor=principal.subject,
        reason=reason,
        now=now,
    )


@get(
    "/v1/xp/segments/{segment_key:str}/audit",
    opt=_READ,
    tags=_TAGS,
    summary="Every step in the life of a segment, newest first",
)
async def list_segment_audit(
    segment_key: _SegmentPath,
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[CatalogueStep]:
    """Who took it, when, why, and what it changed. A segment that is gone has its audit still.

    Refusals: `request.cursor_invalid` (422).
    """
    return await list_steps(
        conn,
        subject=CatalogueSubject.SEGMENT,
        subject_key=segment_key,
        limit=limit,
        after=after,
    )


@get(
    "/v1/xp/segments/{segment_key:str}/members",
    opt=_READ,
    tags=_TAGS,
    summary="Who was put into a segment",
)
async def list_members(
    segment_key: _SegmentPath,
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[SegmentMember]:
    """By hand, whatever its rule says; whom a rule has, an estimate shows.

    Refusals: `xp.segment_unknown` (404), `request.cursor_invalid` (422).
    """
    return await segments.list_members(
        conn, segment_key=SegmentKey(segment_key), limit=limit, after=after
    )


@post(
    "/v1/xp/segments/{segment_key:str}/members",
    opt=_WRITE_ONCE,
    status_code=200,
    tags=_TAGS,
    summary="Put players into a segment",
)
async def add_members(
    segment_key: _SegmentPath,
    data: JSONBody[MembersBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
) -> MemberChanges:
    """Players that are not known are listed in `errors`; all others are taken.

    Refusals: `xp.segment_unknown` (404), `xp.members_invalid` and `xp.reason_invalid` (422).
    """
    return await segments.add_members(
        conn,
        segment_key=SegmentKey(segment_key),
        player_ids=data.player_ids,
        actor=principal.subject,
        reason=data.reason,
        now=now,
    )


@delete(
    "/v1/xp/segments/{segment_key:str}/members",
    opt=_WRITE,
    status_code=200,
    tags=_TAGS,
    summary="Take players out of a segment",
)
async def remove_members(
    segment_key: _SegmentPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    player_id: Annotated[
        list[str], QueryParameter(description="Whom; once for each.", min_items=1, max_items=200)
    ],
    reason: ReasonQuery = "",
) -> MemberChanges:
    """Its rule may have them all the same. Players that are not known are listed in `errors`.

    Refusals: `xp.segment_unknown` (404), `xp.members_invalid` and `xp.reason_invalid` (422).
    """
    return await segments.remove_members(
        conn,
        segment_key=SegmentKey(segment_key),
        player_ids=[PlayerId(named) for named in player_id],
        actor=principal.subject,
        reason=reason,
        now=now,
    )


@post(
    "/v1/xp/segments/estimate",
    opt=_READ,
    status_code=200,
    tags=_TAGS,
    summary="How many players a rule or a segment has",
)
async def estimate_size(
    data: JSONBody[EstimateBody],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
) -> SegmentEstimate:
    """From a sample of players taken by chance, with bounds that hold 19 times out of 20; exact when
    there are no more players than the sample has. Nothing is written.

    Refusals: `xp.estimate_invalid` and `xp.segment_invalid` (422), `xp.segment_unknown` (404).
    """
    return await membership.estimate_size(
        conn,
        rule=data.rule,
        segment_key=data.segment_key,
        sample=data.sample,
        seed=clock.new_id().int,
        now=now,
    )


@get(
    "/v1/players/{player_id:str}/segments",
    opt=_READ,
    tags=_TAGS,
    summary="Which segments a player is in now",
)
async def read_player_segments(
    player_id: PlayerPath,
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
    policy_key: Annotated[
        str | None, QueryParameter(description="Of which policy; none: the default one.")
    ] = None,
) -> PlayerSegments:
    """Why they are, and which version of a policy this comes to, as a claim now would be decided.

    Refusals: `xp.player_unknown` and `xp.policy_unknown` (404).
    """
    return await membership.read_player_segments(
        conn,
        player_id=PlayerId(player_id),
        policy_key=xp.default_policy_key if policy_key is None else PolicyKey(policy_key),
        catalogue=await xp.read_catalogue(conn),
        now=now,
    )
