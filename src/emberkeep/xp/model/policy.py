"""What a policy says, its versions, and what can be wrong with either."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated

import msgspec

from emberkeep.base.errors import Conflict, Invalid, NotFound
from emberkeep.xp.model.noun import (
    SLUG,
    BoostMultiplier,
    Count,
    Currency,
    Multiplier,
    Name,
    Noun,
    PolicyKey,
    PositiveCount,
    PositiveMultiplier,
    SegmentKey,
    Share,
)


class AnchorStrategy(enum.StrEnum):
    """Whose clock a reward day follows."""

    ANCHOR_TIMEZONE = "AnchorTimezone"
    FIXED_UTC = "FixedUtc"
    SERVER_LOCAL = "ServerLocal"


class PolicyStatus(enum.StrEnum):
    """Where a policy version stands in its life."""

    DRAFT = "Draft"
    PUBLISHED = "Published"
    ARCHIVED = "Archived"


class ClaimWindow(Noun, frozen=True, kw_only=True):
    """When a reward day begins, and for how long it can be claimed."""

    start_minutes: Annotated[int, msgspec.Meta(ge=0, le=1439)]
    duration_hours: Annotated[int, msgspec.Meta(ge=1, le=24)]
    anchor_strategy: AnchorStrategy
    min_cooldown_hours: Annotated[int, msgspec.Meta(ge=1, le=24)] | None = None


class Grace(Noun, frozen=True, kw_only=True):
    """How many missed days are forgiven, in all and at one time."""

    allowed_misses: Count
    window_days: Count


class FreezeRule(Noun, frozen=True, kw_only=True):
    """How many freezes a player can hold, and how many claims in a row earn one; 0: only granted.

    A freeze is spent by itself on a missed day, before grace.
    """

    max_held: Annotated[int, msgspec.Meta(ge=1, le=100)]
    earned_every_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 0


class PauseRule(Noun, frozen=True, kw_only=True):
    """For how long a player may pause a streak, and how long it takes until the next pause."""

    max_days: Annotated[int, msgspec.Meta(ge=1, le=366)]
    cooldown_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 0


class StreakModel(Noun, frozen=True):
    """The parameters of one way to count a streak; `rules/streak_models.py` says how it counts.

    The set is open: a new model is one subclass and one registered function. The name of the
    subclass is the `type` of the policy document.
    """


class PlateauCap(StreakModel, frozen=True, kw_only=True):
    """The day stops at `plateau_day`, from where on the multiplier holds."""

    plateau_day: PositiveCount
    plateau_multiplier: PositiveMultiplier


class WeeklyCycleReset(StreakModel, frozen=True, kw_only=True):
    """Days count from 1 to 7 and begin again."""


class DecayCurve(StreakModel, frozen=True, kw_only=True):
    """A missed day costs a share of the streak instead of all of it."""

    decay_percent: Share
    grace_day: Count


class Tier(Noun, frozen=True, kw_only=True):
    """The days from `start_day` to `end_day`, both included."""

    start_day: PositiveCount
    end_day: PositiveCount
    bonus_multiplier: PositiveMultiplier


class TieredSeasonalReset(StreakModel, frozen=True, kw_only=True):
    """Multipliers by tier; a season's end starts the streak over."""

    tiers: Annotated[tuple[Tier, ...], msgspec.Meta(max_length=1000)]


class Milestone(Noun, frozen=True, kw_only=True):
    """What reaching `day` unlocks, once in a player's life per policy key."""

    day: PositiveCount
    reward_type: Name
    reward_value: Name


class MilestoneMetaReward(StreakModel, frozen=True, kw_only=True):
    """Rewards beside XP on certain days."""

    milestones: Annotated[tuple[Milestone, ...], msgspec.Meta(max_length=1000)]


class CurveRow(Noun, frozen=True, kw_only=True):
    """What the streak day `day_index + 1`, and those up to the next row, pay."""

    day_index: Count
    multiplier: Multiplier
    additive_bonus_xp: Count
    cap_next_day: bool = False


class SeasonalBoost(
    Noun,
    frozen=True,
    kw_only=True,
    rename={"start_at": "start_utc", "end_at": "end_utc"},
):
    """A multiplier for claims in [start_at, end_at)."""

    label: Name
    multiplier: BoostMultiplier
    start_at: datetime.datetime
    end_at: datetime.datetime


class Preview(Noun, frozen=True, kw_only=True):
    """What a preview of this policy shows when it is not told otherwise."""

    sample_window_days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 14
    default_segment: Annotated[SegmentKey, msgspec.Meta(min_length=1, max_length=64)] | None = None


class Policy(Noun, frozen=True, kw_only=True, cache_hash=True):
    """A valid policy document. Multipliers and `decay_percent` are scaled by `SCALE`.

    The hash is kept because the claim path looks up what it prepared for a policy by its value.
    """

    policy_key: Annotated[PolicyKey, SLUG]
    display_name: Name
    description: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    base_xp_amount: PositiveCount
    currency: Currency
    claim_window: ClaimWindow
    grace: Grace
    streak_model: StreakModel
    streak_curve: Annotated[tuple[CurveRow, ...], msgspec.Meta(min_length=1, max_length=1000)]
    seasonal_boosts: Annotated[tuple[SeasonalBoost, ...], msgspec.Meta(max_length=1000)] = ()
    preview: Preview = Preview()
    freezes: FreezeRule | None = None
    pause: PauseRule | None = None


class PolicyVersion(Noun, frozen=True, kw_only=True):
    """One version of a policy, and where it stands in its life.

    `revision` counts the edits of the draft; from its publication on it stays what it is.
    """

    policy: Policy
    policy_version: int
    status: PolicyStatus
    revision: int = 1
    effective_at: datetime.datetime | None = None
    superseded_at: datetime.datetime | None = None
    published_at: datetime.datetime | None = None
    created_at: datetime.datetime
    created_by: str


class VersionLife(Noun, frozen=True, kw_only=True):
    """When a policy version was, is or will be in force: in [effective_at, superseded_at)."""

    policy_version: int
    status: PolicyStatus
    revision: int
    effective_at: datetime.datetime | None = None
    superseded_at: datetime.datetime | None = None
    published_at: datetime.datetime | None = None


class PolicyInvalid(Invalid):
    """The policy document breaks one or more rules; `errors` names all of them."""

    code = "xp.policy_invalid"


class PolicyUnknown(NotFound):
    """No policy, or no version of it, has this name."""

    code = "xp.policy_unknown"


class PolicyNotInForce(Conflict):
    """No published version of this policy is in force at that instant."""

    code = "xp.no_policy_in_force"


class PolicyKeyMismatch(Invalid):
    """The document's `policy_key` is not the one in the path."""

    code = "xp.policy_key_mismatch"


class DraftExists(Conflict):
    """This policy has a draft already: edit it, or publish it."""

    code = "xp.draft_exists"


class PolicyNotDraft(Conflict):
    """Only a draft can be edited or deleted: what was ever published never changes."""

    code = "xp.policy_not_draft"


class PolicyAlreadyPublished(Conflict):
    """This version is the published one already."""

    code = "xp.policy_already_published"


class PolicyNotPublished(Conflict):
    """Only the published version of a policy can be retired."""

    code = "xp.policy_not_published"


class EffectiveAtInvalid(Invalid):
    """A publication takes effect now or within ten years, never in the past."""

    code = "xp.effective_at_invalid"


class SegmentOverrideInvalid(Invalid):
    """A segment's name cannot be used, or its version was never published."""

    code = "xp.segment_override_invalid"
