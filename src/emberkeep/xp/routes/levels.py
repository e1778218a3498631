"""Level curves over HTTP."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import msgspec
from litestar import Response, delete, get, put
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import BodyKwarg

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.etag import format_etag, parse_if_match
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.xp.model import CatalogueStep, CatalogueSubject, LevelCurve, PolicyKey
from emberkeep.xp.routes.shapes import After, IfMatch, Limit, PolicyPath, ReasonQuery
from emberkeep.xp.service import levels
from emberkeep.xp.service.catalogue_history import list_steps

_TAGS: Final = ["levels"]
_WRITE: Final = {"permission": Permission.WRITE_POLICIES}

# Read as text by the slice itself, which names every error at once.
_Document = Annotated[
    msgspec.Raw,
    BodyKwarg(
        media_type=RequestEncodingType.JSON,
        title="Level curve",
        description="`thresholds` ascend: the n-th is the lifetime XP with which level n + 1"
        " begins. `reason` is for the audit.",
        schema_extra={
            "type": "object",
            "required": ["thresholds"],
            "additionalProperties": False,
            "properties": {
                "thresholds": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1000,
                    "items": {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
                },
                "reason": {"type": "string", "maxLength": 500},
            },
        },
    ),
]


class LevelCurveShape(msgspec.Struct, frozen=True, kw_only=True):
    """Where the levels of a policy begin: level 1 at 0 XP, level n + 1 at the n-th threshold."""

    policy_key: PolicyKey
    thresholds: tuple[int, ...]


def _respond(curve: LevelCurve, *, is_new: bool = False) -> Response[LevelCurveShape]:
    return Response(
        LevelCurveShape(policy_key=curve.policy_key, thresholds=curve.thresholds),
        status_code=201 if is_new else 200,
        headers={"etag": format_etag(curve.revision)},
    )


@get(
    "/v1/xp/policies/{policy_key:str}/levels",
    opt={"permission": Permission.READ_CATALOGUE},
    tags=_TAGS,
    summary="Where the levels of a policy begin",
)
async def read_levels(
    policy_key: PolicyPath, conn: NamedDependency[Connection]
) -> Response[LevelCurveShape]:
    """Its `ETag` is what a change names in `If-Match`.

    Refusals: `xp.level_curve_unknown` (404).
    """
    return _respond(await levels.read_curve(conn, policy_key=PolicyKey(policy_key)))


@put(
    "/v1/xp/policies/{policy_key:str}/levels",
    opt=_WRITE,
    tags=_TAGS,
    summary="Say where the levels of a policy begin",
)
async def put_levels(
    policy_key: PolicyPath,
    data: _Document,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    if_match: IfMatch = None,
) -> Response[LevelCurveShape]:
    """Creates the level curve (201), or takes the place of the one there is (200). Players are
    announced only levels above the highest that they ever were, with their next claim or grant.

    Refusals: `xp.level_curve_invalid` (422, every error with its path), `xp.policy_unknown` (404),
    `request.stale` (412, with `etag`).
    """
    curve, is_new = await levels.put_curve(
        conn,
        policy_key=PolicyKey(policy_key),
        document=bytes(data),
        expected_revision=parse_if_match(if_match),
        actor=principal.subject,
        now=now,
    )
    return _respond(curve, is_new=is_new)


@delete(
    "/v1/xp/policies/{policy_key:str}/levels",
    opt=_WRITE,
    tags=_TAGS,
    summary="Take the levels of a policy away",
)
async def delete_levels(
    policy_key: PolicyPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    reason: ReasonQuery = "",
    if_match: IfMatch = None,
) -> None:
    """What was announced stays announced, under whatever curve comes next.

    Refusals: `xp.level_curve_invalid` (422), `xp.policy_unknown` and `xp.level_curve_unknown`
    (404), `request.stale` (412, with `etag`).
    """
    await levels.delete_curve(
        conn,
        policy_key=PolicyKey(policy_key),
        expected_revision=parse_if_match(if_match),
        actor=principal.subject,
        reason=reason,
        now=now,
    )


@get(
    "/v1/xp/policies/{policy_key:str}/levels/audit",
    opt={"permission": Permission.READ_POLICIES},
    tags=_TAGS,
    summary="Every step in the life of a level curve, newest first",
)
async def list_level_audit(
    policy_key: PolicyPath,
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[CatalogueStep]:
    """Who took it, when, why, and what it changed. A curve that is gone has its audit still.

    Refusals: `request.cursor_invalid` (422).
    """
    return await list_steps(
        conn,
        subject=CatalogueSubject.LEVEL_CURVE,
        subject_key=policy_key,
        limit=limit,
        after=after,
    )
