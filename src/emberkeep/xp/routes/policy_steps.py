"""The steps in the life of a policy over HTTP: each one audited, with its reason."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, delete, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from emberkeep.base.db import Connection
from emberkeep.base.etag import parse_if_match
from emberkeep.base.identity import Permission, Principal
from emberkeep.xp.model import PolicyKey, SegmentKey
from emberkeep.xp.routes.policy_shapes import (
    Document,
    IfMatch,
    Instant,
    Reason,
    VersionShape,
    respond,
)
from emberkeep.xp.routes.shapes import Body, PolicyPath, Priority, VersionPath
from emberkeep.xp.service import policies
from emberkeep.xp.service.services import XpServices

_TAGS: Final = ["policies"]
_WRITE: Final = {"permission": Permission.WRITE_POLICIES}
_WRITE_ONCE: Final = {"permission": Permission.WRITE_POLICIES, "idempotent": True}

_Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class ReasonBody(Body, frozen=True):
    """Why, for the audit: up to 500 characters."""

    reason: str = ""


class PublishBody(Body, frozen=True):
    """From when on, and which segments get which version. An absent field leaves that as it is."""

    effective_at: Instant | None = None
    segment_overrides: dict[SegmentKey, _Version] | None = None
    priorities: dict[SegmentKey, Priority] | None = None
    reason: str = ""


class RollbackBody(Body, frozen=True):
    """To which version, and from when on. Without them: the one before the present one, and now."""

    to_version: _Version | None = None
    effective_at: Instant | None = None
    reason: str = ""


class AwardShape(msgspec.Struct, frozen=True):
    """What a claim can pay, and the first day of a streak that pays it."""

    xp: int
    streak_day: int


class ValidationShape(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it would be kept, and the bounds of what it can pay."""

    document: dict[str, Any]
    smallest_award: AwardShape
    largest_award: AwardShape


@post(
    "/v1/xp/policies/validate",
    opt={"permission": Permission.READ_POLICIES},
    status_code=200,
    tags=_TAGS,
    summary="Try a policy document; nothing is written",
)
async def validate_document(data: Document, xp: NamedDependency[XpServices]) -> ValidationShape:
    """Answers with the document as it would be kept, and the smallest and the largest award that it
    can come to, every multiplier counted.

    Refusals: `xp.policy_invalid` (422, every error with its path).
    """
    validation = policies.validate_document(bytes(data), max_award_xp=xp.max_award_xp)
    bounds = validation.bounds
    return ValidationShape(
        document=policies.render_policy(validation.policy),
        smallest_award=AwardShape(bounds.smallest_xp, bounds.smallest_day),
        largest_award=AwardShape(bounds.largest_xp, bounds.largest_day),
    )


@post(
    "/v1/xp/policies/{policy_key:str}/versions",
    opt=_WRITE_ONCE,
    tags=_TAGS,
    summary="Write a new draft",
)
async def create_version(
    policy_key: PolicyPath,
    data: Document,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
    reason: Reason = "",
) -> Response[VersionShape]:
    """The body is a policy document. A policy comes to be with its first version, and has at most
    one draft.

    Refusals: `xp.policy_invalid` (422, every error with its path), `xp.policy_key_mismatch` (422),
    `xp.reason_invalid` (422), `xp.draft_exists` (409).
    """
    version = await policies.create_version(
        conn,
        policy_key=PolicyKey(policy_key),
        document=bytes(data),
        max_award_xp=xp.max_award_xp,
        reason=reason,
        actor=principal.subject,
        now=now,
    )
    return respond(version, status_code=201)


@put(
    "/v1/xp/policies/{policy_key:str}/versions/{policy_version:int}",
    opt=_WRITE,
    tags=_TAGS,
    summary="Edit a draft",
)
async def edit_draft(
    policy_key: PolicyPath,
    policy_version: VersionPath,
    data: Document,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
    if_match: IfMatch = None,
    reason: Reason = "",
) -> Response[VersionShape]:
    """The body is the whole document. What was ever published never changes.

    Refusals: `xp.policy_invalid` (422, every error with its path), `xp.policy_key_mismatch` (422),
    `xp.reason_invalid` (422), `xp.policy_unknown` (404), `xp.policy_not_draft` (409),
    `request.stale` (412, with `etag`).
    """
    version = await policies.edit_draft(
        conn,
        policy_key=PolicyKey(policy_key),
        policy_version=policy_version,
        document=bytes(data),
        expected_revision=parse_if_match(if_match),
        max_award_xp=xp.max_award_xp,
        reason=reason,
        actor=principal.subject,
        now=now,
    )
    return respond(version)


@delete(
    "/v1/xp/policies/{policy_key:str}/versions/{policy_version:int}",
    opt=_WRITE,
    tags=_TAGS,
    summary="Delete a draft",
)
async def delete_draft(
    policy_key: PolicyPath,
    policy_version: VersionPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    if_match: IfMatch = None,
    reason: Reason = "",
) -> None:
    """For good; the audit keeps what it said, and its number is not given out again. A policy that
    never had another version is unknown afterwards.

    Refusals: `xp.reason_invalid` (422), `xp.policy_unknown` (404), `xp.policy_not_draft` (409),
    `request.stale` (412, with `etag`).
    """
    await policies.delete_draft(
        conn,
        policy_key=PolicyKey(policy_key),
        policy_version=policy_version,
        expected_revision=parse_if_match(if_match),
        reason=reason,
        actor=principal.subject,
        now=now,
    )


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

    Refusals: `xp.effective_at_invalid`, `xp.segment_override_invalid` and `xp.reason_invalid` (422),
    `xp.policy_unknown` (404), `xp.policy_already_published` (409).
    """
    wish = data or PublishBody()
    version = await policies.publish_version(
        conn,
        policy_key=PolicyKey(policy_key),
        policy_version=policy_version,
        effective_at=wish.effective_at,
        overrides=wish.segment_overrides,
        priorities=wish.priorities,
        reason=wish.reason,
        actor=principal.subject,
        now=now,
    )
    return respond(version)


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
    data: JSONBody[ReasonBody | None] = None,
) -> Response[VersionShape]:
    """Without a successor: claims are refused from now on. A version that still waits for its
    instant is taken back, and what is in force goes on.

    Refusals: `xp.reason_invalid` (422), `xp.policy_unknown` (404), `xp.policy_not_published` (409).
    """
    version = await policies.retire_version(
        conn,
        policy_key=PolicyKey(policy_key),
        policy_version=policy_version,
        reason=(data or ReasonBody()).reason,
        actor=principal.subject,
        now=now,
    )
    return respond(version)


@post(
    "/v1/xp/policies/{policy_key:str}/versions/{policy_version:int}/cancel",
    opt=_WRITE_ONCE,
    status_code=200,
    tags=_TAGS,
    summary="Take back a publication before its instant",
)
async def cancel_version(
    policy_key: PolicyPath,
    policy_version: VersionPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    data: JSONBody[ReasonBody | None] = None,
) -> Response[VersionShape]:
    """It was never in force, and can be published again; what is in force goes on.

    Refusals: `xp.reason_invalid` (422), `xp.policy_unknown` (404), `xp.policy_not_scheduled` (409).
    """
    version = await policies.cancel_version(
        conn,
        policy_key=PolicyKey(policy_key),
        policy_version=policy_version,
        reason=(data or ReasonBody()).reason,
        actor=principal.subject,
        now=now,
    )
    return respond(version)


@post(
    "/v1/xp/policies/{policy_key:str}/rollback",
    opt=_WRITE_ONCE,
    status_code=200,
    tags=_TAGS,
    summary="Put an archived version in force again",
)
async def roll_back_policy(
    policy_key: PolicyPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    data: JSONBody[RollbackBody | None] = None,
) -> Response[VersionShape]:
    """Without `to_version`: the last one that was in force before the present one, so that a second
    rollback undoes the first. A publication that still waits is cancelled.

    Refusals: `xp.effective_at_invalid` and `xp.reason_invalid` (422), `xp.policy_unknown` (404),
    `xp.policy_already_published` and `xp.rollback_impossible` (409).
    """
    wish = data or RollbackBody()
    version = await policies.roll_back_policy(
        conn,
        policy_key=PolicyKey(policy_key),
        to_version=wish.to_version,
        effective_at=wish.effective_at,
        reason=wish.reason,
        actor=principal.subject,
        now=now,
    )
    return respond(version)
