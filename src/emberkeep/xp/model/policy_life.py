"""The life of a policy as operators see it: its steps, who took them, and how two versions differ."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping

from emberkeep.base.errors import Conflict, Invalid
from emberkeep.xp.model.noun import Noun, PolicyKey
from emberkeep.xp.model.policy import Policy, VersionLife


class PolicyStep(enum.StrEnum):
    """What can happen to a version; except for `overridden`, which happens to the policy."""

    CREATED = "created"
    EDITED = "edited"
    DELETED = "deleted"
    PUBLISHED = "published"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    RESUMED = "resumed"
    RETIRED = "retired"
    OVERRIDDEN = "overridden"


class LifeStep(Noun, frozen=True):
    """A step in the life of one version, and what its life is from then on."""

    step: PolicyStep
    life: VersionLife


class AuditEntry(Noun, frozen=True, kw_only=True):
    """A step that was taken. `policy_version` is None where the step was about the whole policy."""

    audit_id: int
    policy_version: int | None
    step: str
    actor: str
    reason: str
    details: Mapping[str, object]
    at: datetime.datetime


class PolicyOutline(Noun, frozen=True, kw_only=True):
    """A policy in a list: which version is in force, which one waits for its instant, which is a draft."""

    policy_key: PolicyKey
    display_name: str
    in_force: int | None
    scheduled: int | None
    scheduled_at: datetime.datetime | None
    draft: int | None
    newest: int


class VersionFilter(Noun, frozen=True, kw_only=True):
    """Which versions a list shows: those that are all of what is not None."""

    status: str | None = None
    created_by: str | None = None
    model: str | None = None
    text: str | None = None


class Change(Noun, frozen=True, rename={"before": "from", "after": "to"}):
    """A value that two documents do not share; None where one of them has nothing there."""

    path: str
    before: object
    after: object


class Difference(Noun, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """How version `after` of a policy differs from version `before`."""

    policy_key: PolicyKey
    before: int
    after: int
    changes: tuple[Change, ...]


class AwardBounds(Noun, frozen=True, kw_only=True):
    """The least and the most that a claim can be paid, and the first streak day that pays it."""

    smallest_xp: int
    smallest_day: int
    largest_xp: int
    largest_day: int


class Validation(Noun, frozen=True, kw_only=True):
    """A document that may become a draft, and what it can pay."""

    policy: Policy
    bounds: AwardBounds


class PolicyNotScheduled(Conflict):
    """Only a publication that still waits for its instant can be cancelled."""

    code = "xp.policy_not_scheduled"


class RollbackImpossible(Conflict):
    """No version was in force before the present one, or the one that is named was never published."""

    code = "xp.rollback_impossible"


class ReasonInvalid(Invalid):
    """The reason of a step is too long, or holds what cannot be stored."""

    code = "xp.reason_invalid"
