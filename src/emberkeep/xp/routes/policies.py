"""Policies over HTTP: documents in versions."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import BodyKwarg, HeaderParameter, JSONBody, QueryParameter

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.etag import format_etag, parse_if_match
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.xp.model import PolicyKey, PolicyStatus, PolicyVersion, SegmentKey
from emberkeep.xp.routes.shapes import After, Body, Limit, PolicyPath, VersionPath
from emberkeep.xp.service import policies
from emberkeep.xp.service.services import XpServices

_TAGS: Final = ["policies"]
_READ: Final = {"permission": Permission.READ_POLICIES}
_WRITE: Final = {"permission": Permission.WRITE_POLICIES}
_WRITE_ONCE: Final = {"permission": Permission.WRITE_POLICIES, "idempotent": True}

_REQUIRED: Final = [
    "policy_key",
    "display_name",
    "base_xp_amount",
    "currency",
    "claim_window",
    "grace",
    "streak_model",
    "streak_curve",
]
# Read as text by the slice itself, which names every error at once and keeps decimals exact.
_Document = Annotated[
    msgspec.Raw,
    BodyKwarg(
        media_type=RequestEncodingType.JSON,
        title="Policy document",
        description="Multipliers are decimal strings, or numbers with at most four places. Unknown"
        " fields are refused.",
        schema_extra={"type": "object", "required": _REQUIRED},
    ),
]
_Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
_IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The `ETag` of the draft as it was read; none: overwrite whatever is there.",
    ),
]


class VersionShape(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a policy: in force from `effective_at` until `superseded_at`."""

    policy_key: PolicyKey
    policy_version: int
    status: PolicyStatus
    effective_at: datetime.datetime | None
    superseded_at: datetime.datetime | None
    published_at: datetime.datetime | None
    created_at: datetime.datetime
    created_by: str
    document: dict[str, Any]


class PublishBody(Body, frozen=True):
    """From when on, and which segments get which version. An absent field leaves that as it is."""

    effective_at: Annotated[datetime.datetime, msgspec.Meta(tz=True)] | None = None
    segment_overrides: dict[SegmentKey, _Version] | None = None


class SegmentsBody(Body, frozen=True):
    """Which version each segment gets: all of them, in place of those there are."""

    segment_overrides: dict[SegmentKey, _Version]


class SegmentsShape(msgspec.Struct, frozen=True, kw_only=True):
    """Which version each segment of a policy gets."""

    policy_key: PolicyKey
    segment_overrides: dict[SegmentKey, int]


def _to_shape(version: PolicyVersion) -> VersionShape:
    return VersionShape(
        policy_key=version.policy.policy_key,
        policy_version=version.policy_version,
        status=version.status,
        effective_at=version.effective_at,
        superseded_at=version.superseded_at,
        published_at=version.published_at,
        created_at=version.created_at,
        created_by=version.created_by,
        document=policies.render_policy(version.policy),
    )


def _respond(version: PolicyVersion, *, status_code: int = 200) -> Response[VersionShape]:
    key, number = version.policy.policy_key, version.policy_version
    headers = {"etag": format_etag(version.revision)}
    if status_code == 201:
        headers["location"] = f"/v1/xp/policies/{key}/versions/{number}"
    return Response(_to_shape(version), status_code=status_code, headers=headers)


@post(
    "/v1/xp/policies/{policy_key:str}/versions",
    opt=_WRITE_ONCE,
    tags=_TAGS,
    summary="Write a new draft",
)
async def create_version(
    policy_key: PolicyPath,
    data: _Document,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> Response[VersionShape]:
    """The body is a policy document. A policy comes to be with its first version, and has at most
    one draft.

    Refusals: `xp.policy_invalid` (422, every error with its path), `xp.policy_key_mismatch` (422),
    `xp.draft_exists` (409).
    """
    version = await policies.create_version(
        conn,
        policy_key=PolicyKey(policy_key),
        document=bytes(data),
        max_award_xp=xp.max_award_xp,
        actor=principal.subject,
        now=now,
    )
    return _respond(version, status_code=201)


@get(
    "/v1/xp/policies/{policy_key:str}/versions",
    opt=_READ,
    tags=_TAGS,
    summary="The versions of a policy, newest first",
)
async def list_versions(
    policy_key: PolicyPath,
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[VersionShape]:
    """Drafts and archived versions too.

    Refusals: `xp.policy_unknown` (404), `request.cursor_invalid` (422).
    """
    versions = await policies.list_versions(
        conn, policy_key=PolicyKey(policy_key), limit=limit, after=after
    )
    return Page(tuple(_to_shape(version) for version in versions.items), versions.next)


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
    return _respond(await policies.read_active(conn, policy_key=key, now=now))


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
    return _respond(version)


@put(
    "/v1/xp/policies/{policy_key:str}/versions/{policy_version:int}",
    opt=_WRITE,
    tags=_TAGS,
    summary="Edit a draft",
)
async def edit_draft(
    policy_key: PolicyPath,
    policy_version: VersionPath,
    data: _Document,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
    if_match: _IfMatch = None,
) -> Response[VersionShape]:
    """The body is the whole document. What was ever published never changes.

    Refusals: `xp.policy_invalid` (422, every error with its path), `xp.policy_key_mismatch` (422),
    `xp.policy_unknown` (404), `xp.policy_not_draft` (409), `request.stale` (412, with `etag`).
    """
    version = await policies.edit_draft(
        conn,
        policy_key=PolicyKey(policy_key),
        policy_version=policy_version,
        document=bytes(data),
        expected_revision=parse_if_match(if_match),
        max_award_xp=xp.max_award_xp,
        actor=principal.subject,
        now=now,
    )
    return _respond(version)


@post(
    "/v1/xp/policies/{policy_key:str}/versions/{policy_version:int}/publish",
    opt=_WRITE_ONCE,
    status_code=200,
    tags=_TAGS,
    summary="Publish a draft, or an archived version again",
)
async def publish_version(
    policy_key: PolicyPath,
    policy_version: VersionPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    data: JSONBody[PublishBody | None] = None,
) -> Response[VersionShape]:
    """In force from `effective_at`, or now. Until then the predecessor is, and a publication that
    still waits is replaced. `segment_overrides` hold at once.

    Refusals: `xp.effective_at_invalid` and `xp.segment_override_invalid` (422),
    `xp.policy_unknown` (404), `xp.policy_already_published` (409).
    """
    wish = data or PublishBody()
    version = await policies.publish_version(
        conn,
        policy_key=PolicyKey(policy_key),
        policy_version=policy_version,
        effective_at=wish.effective_at,
        overrides=wish.segment_overrides,
        actor=principal.subject,
        now=now,
    )
    return _respond(version)


@post(
    "/v1/xp/policies/{policy_key:str}/versions/{policy_version:int}/retire",
    opt=_WRITE_ONCE,
    status_code=200,
    tags=_TAGS,
    summary="Take the published version out of force",
)
async def retire_version(
    policy_key: PolicyPath,
    policy_version: VersionPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
) -> Response[VersionShape]:
    """Without a successor: claims are refused from now on. A version that still waits for its
    instant is taken back, and what is in force goes on.

    Refusals: `xp.policy_unknown` (404), `xp.policy_not_published` (409).
    """
    version = await policies.retire_version(
        conn,
        policy_key=PolicyKey(policy_key),
        policy_version=policy_version,
        actor=principal.subject,
        now=now,
    )
    return _respond(version)


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
    return SegmentsShape(policy_key=key, segment_overrides=overrides)


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

    Refusals: `xp.policy_unknown` (404), `xp.segment_override_invalid` (422).
    """
    key = PolicyKey(policy_key)
    overrides = await policies.put_overrides(
        conn,
        policy_key=key,
        overrides=data.segment_overrides,
        actor=principal.subject,
        now=now,
    )
    return SegmentsShape(policy_key=key, segment_overrides=overrides)
