"""Segments of players: who belongs to one by name or by rule, and which of them decided a claim."""

from __future__ import annotations

import datetime
import enum

from emberkeep.base.errors import Conflict, Invalid, NotFound
from emberkeep.xp.model.noun import Noun, PlayerId, PolicyKey, SegmentKey


class Segment(Noun, frozen=True, kw_only=True):
    """A named set of players: those put into it, and those for whom `rule` is true.

    Players whose own `segment_key` names it belong to it too, and to segments that are kept nowhere.
    """

    segment_key: SegmentKey
    display_name: str
    description: str
    rule: str | None
    revision: int
    created_at: datetime.datetime
    created_by: str
    updated_at: datetime.datetime
    updated_by: str


class SegmentWish(Noun, frozen=True, kw_only=True):
    """What a segment is to be."""

    segment_key: SegmentKey
    display_name: str
    description: str = ""
    rule: str | None = None


class SegmentReason(enum.StrEnum):
    """Why a player is in a segment; or, for RULE_FAILED, why that could not be told."""

    SEGMENT_KEY = "segment_key"
    MEMBER = "member"
    RULE = "rule"
    RULE_FAILED = "rule_failed"


class SegmentChoice(Noun, frozen=True, kw_only=True):
    """Which segment's override decided a claim, or whose rule failed so that none did.

    `failure` names the kind of failure, never a player's values.
    """

    segment: SegmentKey
    reason: SegmentReason
    priority: int
    failure: str | None = None


class Override(Noun, frozen=True, kw_only=True):
    """The version that the players of a segment get. The highest `priority` wins."""

    segment_key: SegmentKey
    policy_version: int
    priority: int = 0


class Membership(Noun, frozen=True, kw_only=True):
    """That a player is in a segment now, and why; or that its rule failed for them."""

    segment_key: SegmentKey
    reason: SegmentReason
    failure: str | None = None


class PlayerSegments(Noun, frozen=True, kw_only=True):
    """The segments a player is in now, and the version of one policy that this comes to.

    `policy_version` is None where no version of the policy is in force.
    """

    player_id: PlayerId
    segments: tuple[Membership, ...]
    policy_key: PolicyKey
    policy_version: int | None
    decided_by: SegmentChoice | None


class SegmentEstimate(Noun, frozen=True, kw_only=True):
    """How many players a segment has, from a sample taken by chance.

    With 95 % certainty between `low` and `high`; exact where the sample is everybody. `failed`
    counts those of the sample for whom the rule failed.
    """

    players: int
    sampled: int
    matched: int
    failed: int
    estimate: int
    low: int
    high: int
    is_exact: bool
    sample: tuple[PlayerId, ...]


class SegmentMember(Noun, frozen=True, kw_only=True):
    """A player who was put into a segment, whatever its rule says."""

    player_id: PlayerId
    added_at: datetime.datetime
    added_by: str


class MemberRefusal(Noun, frozen=True, kw_only=True):
    """Why one player of a batch was not taken into a segment."""

    player_id: PlayerId
    code: str
    message: str


class MemberChanges(Noun, frozen=True, kw_only=True):
    """What a batch did to the members of a segment: `changed` were added, or taken out."""

    segment_key: SegmentKey
    changed: int
    unchanged: int
    errors: tuple[MemberRefusal, ...]


class SegmentInvalid(Invalid):
    """The segment's name, text or rule cannot be accepted; `errors` names each, rules by position."""

    code = "xp.segment_invalid"


class SegmentUnknown(NotFound):
    """No segment has this key."""

    code = "xp.segment_unknown"


class SegmentInUse(Conflict):
    """A policy has an override for this segment: take it away first. `policies` names them."""

    code = "xp.segment_in_use"


class MembersInvalid(Invalid):
    """A batch of players cannot be taken: too many, or none."""

    code = "xp.members_invalid"


class EstimateInvalid(Invalid):
    """An estimate is of one rule or of one segment, over a sample within the bounds."""

    code = "xp.estimate_invalid"
