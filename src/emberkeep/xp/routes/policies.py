"""Policies over HTTP: what there is, what differs, who did what, and what segments get."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import msgspec
from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.xp.model import (
    AuditEntry,
    Difference,
    PolicyKey,
    PolicyOutline,
    PolicyStatus,
    SegmentKey,
    VersionFilter,
)
from emberkeep.xp.routes.policy_shapes import VersionShape, respond, to_shape
from emberkeep.xp.routes.shapes import After, Body, Limit, PolicyPath, Priority, VersionPath
from emberkeep.xp.service import policies
from emberkeep.xp.service.services import XpServices

_TAGS: Final = ["policies"]
_READ: Final = {"permission": Permission.READ_POLICIES}
_WRITE: Final = {"permission": Permission.WRITE_POLICIES}

_Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class SegmentsBody(Body, frozen=True):
    """Which version each segment gets: all of them, in place of those there are.

    Where a player is in several, the highest of `priorities` holds. A segment that is not named there
    keeps its priority; a new one has 0.
    """

    segment_overrides: dict[SegmentKey, _Version]
    reason: str = ""
    priorities: dict[SegmentKey, Priority] | None = None


class SegmentsShape(msgspec.Struct, frozen=True, kw_only=True):
    """Which version each segment of a policy gets; without `priorities` all of them have 0."""

    policy_key: PolicyKey
    segment_overrides: dict[SegmentKey, int]
    priorities: dict[SegmentKey, int] | msgspec.UnsetType = msgspec.UNSET


@get("/v1/xp/policies", opt=_READ, tags=_TAGS, summary="The policies there are, by key")
async def list_policies(
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[PolicyOutline]:
    """With the number of the version that is in force, of the one that waits for its instant
    (`scheduled`, in force from `scheduled_at`), and of the draft.

    Refusals: `request.cursor_invalid` (422).
    """
    return await policies.list_policies(conn, limit=limit, after=after, now=now)


@get(
    "/v1/xp/policies/{policy_key:str}/versions",
    opt=_READ,
    tags=_TAGS,
    summary="The versions of a policy, newest first",
)
async def list_versions(
    policy_key: PolicyPath,
    conn: NamedDependency[Connection],
    status: Annotated[
        PolicyStatus | None, QueryParameter(description="Only versions of this status.")
    ] = None,
    created_by: Annotated[
        str | None, QueryParameter(description="Only versions that this caller has written.")
    ] = None,
    model: Annotated[
        str | None, QueryParameter(description="Only versions of this streak model.")
    ] = None,
    q: Annotated[
        str | None,
        QueryParameter(
            max_length=200,
            description="Only versions with this text, in any case, in their display name, their"
            " description or the label of a boost.",
        ),
    ] = None,
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[VersionShape]:
    """Drafts and archived versions too. Filters can be combined.

    Refusals: `xp.policy_unknown` (404), `request.cursor_invalid` (422).
    """
    versions = await policies.list_versions(
        conn,
        policy_key=PolicyKey(policy_key),
        limit=limit,
        after=after,
        wanted=VersionFilter(status=status, created_by=created_by, model=model, text=q),
    )
    return Page(tuple(to_shape(version) for version in versions.items), versions.next)


@get(
    "/v1/xp/policies/active",
    opt={"permission": Permission.READ_CATALOGUE},
    tags=_TAGS,
    summary="The version of a policy that is in force",
)
async def read_active(
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
    policy_key: Annotated[
        str | None, QueryParameter(description="Which policy; none: the default one.")
    ] = None,
) -> Response[VersionShape]:
    """For players of no segment.

    Refusals: `xp.policy_unknown` (404), `xp.no_policy_in_force` (409).
    """
    key = xp.default_policy_key if policy_key is None else PolicyKey(policy_key)
    return respond(await policies.read_active(conn, policy_key=key, now=now))


@get(
    "/v1/xp/policies/{policy_key:str}/versions/{policy_version:int}",
    opt=_READ,
    tags=_TAGS,
    summary="One version of a policy",
)
async def read_version(
    policy_key: PolicyPath, policy_version: VersionPath, conn: NamedDependency[Connection]
) -> Response[VersionShape]:
    """Its `ETag` is what an edit of a draft names in `If-Match`.

    Refusals: `xp.policy_unknown` (404).
    """
    version = await policies.read_version(
        conn, policy_key=PolicyKey(policy_key), policy_version=policy_version
    )
    return respond(version)


@get(
    "/v1/xp/policies/{policy_key:str}/diff",
    opt=_READ,
    tags=_TAGS,
    summary="How two versions of a policy differ",
)
async def read_difference(
    policy_key: PolicyPath,
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    from_: Annotated[
        int | None,
        QueryParameter(name="from", ge=1, le=2**31 - 1, description="None: the one in force."),
    ] = None,
    to: Annotated[
        int | None,
        QueryParameter(
            ge=1,
            le=2**31 - 1,
            description="None: the draft, or else the one that waits, or else the newest.",
        ),
    ] = None,
) -> Difference:
    """Changed values only, each with its path: rows of the curve by `day_index`, boosts by label,
    tiers by `start_day`, milestones by day. What one version does not have is null.

    Refusals: `xp.policy_unknown` (404); `xp.no_policy_in_force` (409) without `from`.
    """
    return await policies.read_difference(
        conn, policy_key=PolicyKey(policy_key), before=from_, after=to, now=now
    )


@get(
    "/v1/xp/policies/{policy_key:str}/audit",
    opt=_READ,
    tags=_TAGS,
    summary="Every step in the life of a policy, newest first",
)
async def list_audit(
    policy_key: PolicyPath,
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[AuditEntry]:
    """Who took it, when, why, and what it changed. A policy that is gone has its audit still.

    Refusals: `xp.policy_unknown` (404), `request.cursor_invalid` (422).
    """
    return await policies.list_audit(
        conn, policy_key=PolicyKey(policy_key), limit=limit, after=after
    )


async def _to_segments(
    conn: Connection, key: PolicyKey, overrides: dict[SegmentKey, int]
) -> SegmentsShape:
    found = await policies.read_priorities(conn, policy_key=key)
    return SegmentsShape(
        policy_key=key,
        segment_overrides=overrides,
        priorities=found if any(found.values()) else msgspec.UNSET,
    )


@get(
    "/v1/xp/policies/{policy_key:str}/segments",
    opt=_READ,
    tags=_TAGS,
    summary="Which version each segment gets",
)
async def read_segments(policy_key: PolicyPath, conn: NamedDependency[Connection]) -> SegmentsShape:
    """Segments that are not named get the version in force.

    Refusals: `xp.policy_unknown` (404).
    """
    key = PolicyKey(policy_key)
    overrides = await policies.read_overrides(conn, policy_key=key)
    return await _to_segments(conn, key, overrides)


@put(
    "/v1/xp/policies/{policy_key:str}/segments",
    opt=_WRITE,
    tags=_TAGS,
    summary="Say which version each segment gets",
)
async def put_segments(
    policy_key: PolicyPath,
    data: JSONBody[SegmentsBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
) -> SegmentsShape:
    """Holds at once, and takes the place of all overrides of the policy.

    Refusals: `xp.policy_unknown` (404), `xp.segment_override_invalid` and `xp.reason_invalid` (422).
    """
    key = PolicyKey(policy_key)
    overrides = await policies.put_overrides(
        conn,
        policy_key=key,
        overrides=data.segment_overrides,
        reason=data.reason,
        priorities=data.priorities,
        actor=principal.subject,
        now=now,
    )
    return await _to_segments(conn, key, overrides)
