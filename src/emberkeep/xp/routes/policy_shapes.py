"""What the routes of policies share: documents in, versions out, and the reasons of steps."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Response
from litestar.enums import RequestEncodingType
from litestar.params import BodyKwarg, HeaderParameter, QueryParameter

from emberkeep.base.etag import format_etag
from emberkeep.xp.model import PolicyKey, PolicyStatus, PolicyVersion
from emberkeep.xp.service import policies

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
Document = Annotated[
    msgspec.Raw,
    BodyKwarg(
        media_type=RequestEncodingType.JSON,
        title="Policy document",
        description="Multipliers are decimal strings, or numbers with at most four places. Unknown"
        " fields are refused.",
        schema_extra={"type": "object", "required": _REQUIRED},
    ),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The `ETag` of the draft as it was read; none: whatever is there.",
    ),
]
Reason = Annotated[str, QueryParameter(description="Why, for the audit: up to 500 characters.")]
Instant = Annotated[datetime.datetime, msgspec.Meta(tz=True)]


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


def to_shape(version: PolicyVersion) -> VersionShape:
    """Return the version as it is answered with."""
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


def respond(version: PolicyVersion, *, status_code: int = 200) -> Response[VersionShape]:
    """Return the answer that holds the version and its `ETag`."""
    key, number = version.policy.policy_key, version.policy_version
    headers = {"etag": format_etag(version.revision)}
    if status_code == 201:
        headers["location"] = f"/v1/xp/policies/{key}/versions/{number}"
    return Response(to_shape(version), status_code=status_code, headers=headers)
