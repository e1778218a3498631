"""The nouns of XP: plain frozen values, and the slice's errors."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from typing import Final, NewType

import msgspec

from emberkeep.base.errors import Conflict, Invalid, NotFound

PlayerId = NewType("PlayerId", str)
"""The caller's own id of a player: `xp_users.external_user_id`."""

UserId = NewType("UserId", int)
"""Our surrogate for it: `xp_users.user_id`. It never leaves the house."""

PolicyKey = NewType("PolicyKey", str)
SegmentKey = NewType("SegmentKey", str)
SeasonId = NewType("SeasonId", str)

SCALE: Final = 10_000
"""Multipliers are whole ten-thousandths: 1.5 is 15_000. XP never meets a binary float."""


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


class ClaimStatus(enum.StrEnum):
    """What a claim came to, when it was not refused."""

    NEW = "NEW"
    ALREADY_CLAIMED = "ALREADY_CLAIMED"


class Noun(msgspec.Struct, frozen=True):
    """A frozen value. Made ten times as fast as a dataclass, and the claim path counts."""


class ClaimWindow(Noun, frozen=True, kw_only=True):
    """When a reward day begins, and for how long it can be claimed."""

    start_minutes: int
    duration_hours: int
    anchor_strategy: AnchorStrategy
    min_cooldown_hours: int | None = None


class Grace(Noun, frozen=True, kw_only=True):
    """How many missed days are forgiven, in all and at one time."""

    allowed_misses: int
    window_days: int


class StreakModel(Noun, frozen=True):
    """The parameters of one way to count a streak; `rules/streak_models.py` says how it counts.

    The set is open: a new model is one subclass and one registered function. The name of the
    subclass is the `type` of the policy document.
    """


class PlateauCap(StreakModel, frozen=True, kw_only=True):
    """The day stops at `plateau_day`, from where on the multiplier holds."""

    plateau_day: int
    plateau_multiplier: int


class WeeklyCycleReset(StreakModel, frozen=True, kw_only=True):
    """Days count from 1 to 7 and begin again."""


class DecayCurve(StreakModel, frozen=True, kw_only=True):
    """A missed day costs a share of the streak instead of all of it."""

    decay_percent: int
    grace_day: int


class Tier(Noun, frozen=True, kw_only=True):
    """The days from `start_day` to `end_day`, both included."""

    start_day: int
    end_day: int
    bonus_multiplier: int


class TieredSeasonalReset(StreakModel, frozen=True, kw_only=True):
    """Multipliers by tier; a season's end starts the streak over."""

    tiers: tuple[Tier, ...]


class Milestone(Noun, frozen=True, kw_only=True):
    """What reaching `day` unlocks, once in a player's life per policy key."""

    day: int
    reward_type: str
    reward_value: str


class MilestoneMetaReward(StreakModel, frozen=True, kw_only=True):
    """Rewards beside XP on certain days."""

    milestones: tuple[Milestone, ...]


class CurveRow(Noun, frozen=True, kw_only=True):
    """What the streak day `day_index + 1`, and those up to the next row, pay."""

    day_index: int
    multiplier: int
    additive_bonus_xp: int
    cap_next_day: bool = False


class SeasonalBoost(Noun, frozen=True, kw_only=True):
    """A multiplier for claims in [start_at, end_at)."""

    label: str
    multiplier: int
    start_at: datetime.datetime
    end_at: datetime.datetime


class Preview(Noun, frozen=True, kw_only=True):
    """What a preview of this policy shows when it is not told otherwise."""

    sample_window_days: int = 14
    default_segment: SegmentKey | None = None


class Policy(Noun, frozen=True, kw_only=True, cache_hash=True):
    """A valid policy document. Multipliers and `decay_percent` are scaled by `SCALE`.

    The hash is kept because the claim path looks up what it prepared for a policy by its value.
    """

    policy_key: PolicyKey
    display_name: str
    description: str
    base_xp_amount: int
    currency: str
    claim_window: ClaimWindow
    grace: Grace
    streak_model: StreakModel
    streak_curve: tuple[CurveRow, ...]
    seasonal_boosts: tuple[SeasonalBoost, ...] = ()
    preview: Preview = Preview()


class PolicyVersion(Noun, frozen=True, kw_only=True):
    """One version of a policy, and where it stands in its life."""

    policy: Policy
    policy_version: int
    status: PolicyStatus
    effective_at: datetime.datetime | None = None
    superseded_at: datetime.datetime | None = None
    published_at: datetime.datetime | None = None
    created_at: datetime.datetime
    created_by: str


class Season(Noun, frozen=True, kw_only=True):
    """The reward days from `start_date` to `end_date`, both included."""

    season_id: SeasonId
    start_date: datetime.date
    end_date: datetime.date


class StreakState(Noun, frozen=True, kw_only=True):
    """What the engine remembers of one player between two claims.

    `model_state` is a JSON object; `{"milestones": {policy_key: [day, …]}}` are those unlocked.
    """

    current_streak: int = 0
    longest_streak: int = 0
    grace_used: int = 0
    last_reward_day: datetime.date | None = None
    model_state: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])


class StreakChange(enum.StrEnum):
    """Why the streak stands where it stands after a claim."""

    STARTED = "started"
    ADVANCED = "advanced"
    GRACED = "graced"
    DECAYED = "decayed"
    HELD = "held"
    RESTARTED = "restarted"
    SEASON_RESET = "season_reset"
    CYCLE_RESET = "cycle_reset"


class Step(Noun, frozen=True, kw_only=True):
    """What one claim does to a streak, and what it pays.

    `multiplier_ppt` is curve × model × boost in parts per 10¹² (three factors of `SCALE`).
    """

    state: StreakState
    change: StreakChange
    effective_day: int
    missed_days: int
    grace_applied: bool
    curve_day_index: int
    curve_multiplier: int
    model_multiplier: int
    boost: SeasonalBoost | None
    multiplier_ppt: int
    additive_bonus_xp: int
    xp_awarded: int
    milestones: tuple[Milestone, ...]


class RewardDay(Noun, frozen=True, kw_only=True):
    """One reward day of one zone: claimable in [opens_at, closes_at); the next begins at `next_at`."""

    day: datetime.date
    opens_at: datetime.datetime
    closes_at: datetime.datetime
    next_at: datetime.datetime


class Balance(Noun, frozen=True, kw_only=True):
    """A player's XP: what can be spent, what was ever earned, and what this season brought."""

    current: int = 0
    lifetime: int = 0
    seasonal: int = 0
    season_id: SeasonId | None = None


class PolicyInvalid(Invalid):
    """The policy document breaks one or more rules; `errors` names all of them."""

    code = "xp.policy_invalid"


class TimeZoneUnknown(Invalid):
    """Not a canonical Area/Location name of the tz database."""

    code = "xp.time_zone_unknown"


class InstantOutOfRange(Invalid):
    """No reward day is kept for this instant: it lies at the very edge of the calendar."""

    code = "xp.instant_out_of_range"


class UtcOffsetInvalid(Invalid):
    """Not an offset from UTC: 24 hours or more."""

    code = "xp.utc_offset_invalid"


class PlayerUnknown(NotFound):
    """No player has this id."""

    code = "xp.player_unknown"


class PolicyUnknown(NotFound):
    """No policy, or no version of it, has this name."""

    code = "xp.policy_unknown"


class PolicyNotInForce(Conflict):
    """No published version of this policy is in force at that instant."""

    code = "xp.no_policy_in_force"


class WindowClosed(Conflict):
    """The reward day's claim window has closed; `opens_at` is when the next one opens."""

    code = "xp.window_closed"


class CooldownRunning(Conflict):
    """The last claim is too recent; the answer carries its receipt."""

    code = "xp.cooldown"


class InsufficientBalance(Conflict):
    """The debit would take the balance below zero; nothing was written."""

    code = "xp.insufficient_balance"
