"""The nouns of XP: plain frozen values, and the slice's errors."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from typing import Annotated, Final, NewType

import msgspec

from emberkeep.base.errors import Conflict, Invalid, NotFound, Unavailable

PlayerId = NewType("PlayerId", str)
"""The caller's own id of a player: `xp_users.external_user_id`."""

UserId = NewType("UserId", int)
"""Our surrogate for it: `xp_users.user_id`. It never leaves the house."""

PolicyKey = NewType("PolicyKey", str)
SegmentKey = NewType("SegmentKey", str)
SeasonId = NewType("SeasonId", str)

SCALE: Final = 10_000
"""Multipliers are whole ten-thousandths: 1.5 is 15_000. XP never meets a binary float."""

# What a policy document may hold is said once, on the fields: `rules/document.py` reads documents
# by these bounds and finds in `extra` what they cannot say.
_MAX_INT4: Final = 2**31 - 1
_SCALED: Final = {"is_scaled": True}
_MAX_MULTIPLIER: Final = 10_000 * SCALE - 1

Count = Annotated[int, msgspec.Meta(ge=0, le=_MAX_INT4)]
PositiveCount = Annotated[int, msgspec.Meta(ge=1, le=_MAX_INT4)]
Multiplier = Annotated[int, msgspec.Meta(ge=0, le=_MAX_MULTIPLIER, extra=_SCALED)]
PositiveMultiplier = Annotated[int, msgspec.Meta(ge=1, le=_MAX_MULTIPLIER, extra=_SCALED)]
BoostMultiplier = Annotated[int, msgspec.Meta(ge=SCALE, le=_MAX_MULTIPLIER, extra=_SCALED)]
Share = Annotated[int, msgspec.Meta(ge=0, le=SCALE, extra=_SCALED)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_SLUG: Final = msgspec.Meta(
    pattern="^[a-z0-9]+(-[a-z0-9]+)*$",
    max_length=64,
    extra={"must": "be a lower-case slug, such as daily-login, of at most 64 characters"},
)
Currency = Annotated[
    str, msgspec.Meta(pattern="^[A-Z]{2,8}$", extra={"must": "be 2 to 8 capital letters"})
]


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


class Noun(msgspec.Struct, frozen=True, gc=False):
    """A frozen value. Made ten times as fast as a dataclass, and the claim path counts.

    The garbage collector passes it over: frozen values cannot form cycles, and a walk over the
    receipts that a process remembers would hold up every claim meanwhile.
    """


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

    policy_key: Annotated[PolicyKey, _SLUG]
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


class Season(Noun, frozen=True, kw_only=True):
    """The reward days from `start_date` to `end_date`, both included."""

    season_id: Annotated[SeasonId, msgspec.Meta(min_length=1, max_length=64)]
    start_date: datetime.date
    end_date: datetime.date
    display_name: Name | None = None


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

    `multiplier_ppt` is curve times model times boost, in parts per 10**12 (`SCALE` cubed).
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


class PlayerState(Noun, frozen=True, kw_only=True):
    """Everything that a claim of one player is decided from."""

    user_id: UserId
    player_id: PlayerId
    reward_tz: str
    next_reward_tz: str | None = None
    next_reward_tz_at: datetime.datetime | None = None
    segment_key: SegmentKey | None = None
    streak: StreakState
    balance: Balance


LocalClock = int | str
"""Minutes east of UTC, or the name of a time zone."""


class ClaimRequest(Noun, frozen=True, kw_only=True):
    """A player's wish to be paid for the reward day that holds `at`.

    `now` decides which policy is in force; it is `at` except where a history is replayed. A
    replayed claim names the clock its day is read from; otherwise that is the player's zone.
    """

    player_id: PlayerId
    policy_key: PolicyKey
    at: datetime.datetime
    now: datetime.datetime
    local_clock: LocalClock | None = None


class StreakFigures(Noun, frozen=True, kw_only=True):
    """The streak as a receipt shows it."""

    current: int
    longest: int
    grace_used: int


class BalanceFigures(Noun, frozen=True, kw_only=True):
    """The balance right after the claim."""

    current: int
    lifetime: int
    seasonal: int


class Explanation(Noun, frozen=True, kw_only=True):
    """Why a claim paid what it paid: every factor, and what happened to the streak."""

    streak: StreakChange
    missed_days: int
    base_xp_amount: int
    curve_day_index: int
    curve_multiplier: str
    model_multiplier: str
    boost_label: str | None
    boost_multiplier: str
    additive_bonus_xp: int
    season_id: SeasonId | None


class Award(Noun, frozen=True, kw_only=True):
    """What one claim came to. It never changes, so every retry shows the same figures."""

    receipt_id: str
    reward_day: datetime.date
    claimed_at: datetime.datetime
    xp_awarded: int
    streak: StreakFigures
    policy_key: PolicyKey
    policy_version: int
    segment: SegmentKey | None
    milestones: tuple[Milestone, ...]
    balance: BalanceFigures
    explain: Explanation


class Receipt(Noun, frozen=True, kw_only=True):
    """The answer to a claim."""

    status: ClaimStatus
    receipt_id: str
    player_id: PlayerId
    reward_day_id: datetime.date
    xp_awarded: int
    streak: StreakFigures
    policy_key: PolicyKey
    policy_version: int
    segment: SegmentKey | None
    milestones: tuple[Milestone, ...]
    balance: BalanceFigures
    next_boundary_at: datetime.datetime
    explain: Explanation


class Player(Noun, frozen=True, kw_only=True):
    """A player as XP knows them. `next_time_zone` holds from `next_time_zone_at` on.

    `external_user_id` is `player_id` under the name that the tables give it.
    """

    player_id: PlayerId
    external_user_id: PlayerId
    time_zone: str
    next_time_zone: str | None
    next_time_zone_at: datetime.datetime | None
    segment_key: SegmentKey | None
    attributes: Mapping[str, object]
    created_at: datetime.datetime
    updated_at: datetime.datetime


class PlayerWish(Noun, frozen=True, kw_only=True):
    """What a player is to be. UNSET leaves a present player as it is, None takes the value away."""

    player_id: PlayerId
    time_zone: str
    segment_key: SegmentKey | msgspec.UnsetType | None = msgspec.UNSET
    attributes: Mapping[str, object] | msgspec.UnsetType = msgspec.UNSET


class ZoneChange(Noun, frozen=True, kw_only=True):
    """A reward time zone, and from when on it holds."""

    time_zone: str
    effective_at: datetime.datetime


class Standing(Noun, frozen=True, kw_only=True):
    """Where a player stands now: balance and streak."""

    player_id: PlayerId
    balance: Balance
    streak: StreakFigures
    last_reward_day_id: datetime.date | None


class GrantWish(Noun, frozen=True, kw_only=True):
    """XP that is to be given, or taken where `amount` is negative, and for what."""

    player_id: PlayerId
    amount: int
    reason: str
    metadata: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])
    season_id: SeasonId | None = None


class LedgerEntry(Noun, frozen=True, kw_only=True):
    """One row of the ledger; `correlation_id` is the receipt of what caused it."""

    ledger_id: int
    amount: int
    reason: str
    correlation_id: str
    policy_key: PolicyKey
    policy_version: int
    season_id: SeasonId | None
    metadata: Mapping[str, object]
    created_at: datetime.datetime


class Grant(Noun, frozen=True, kw_only=True):
    """A grant that was written, and the balance right after it."""

    player_id: PlayerId
    entry: LedgerEntry
    balance: Balance


class TimelineKind(enum.StrEnum):
    """What kind of fact stands on a player's timeline."""

    AWARD = "award"
    LEDGER = "ledger"
    TIME_ZONE_CHANGE = "time_zone_change"


class TimelineItem(Noun, frozen=True, kw_only=True):
    """One fact of a player's life in XP; `detail` holds the figures of its kind."""

    at: datetime.datetime
    kind: TimelineKind
    item_id: int
    detail: Mapping[str, object]


class VersionLife(Noun, frozen=True, kw_only=True):
    """When a policy version was, is or will be in force: in [effective_at, superseded_at)."""

    policy_version: int
    status: PolicyStatus
    revision: int
    effective_at: datetime.datetime | None = None
    superseded_at: datetime.datetime | None = None
    published_at: datetime.datetime | None = None


class Eligibility(Noun, frozen=True, kw_only=True):
    """What a claim would come to now. `reason` says why it would not be paid."""

    player_id: PlayerId
    eligible: bool
    reason: str | None
    reward_day_id: datetime.date
    projected_xp: int
    streak_preview: StreakFigures
    next_boundary_at: datetime.datetime
    policy_key: PolicyKey
    policy_version: int
    notes: tuple[str, ...]


class ProjectedDay(Noun, frozen=True, kw_only=True):
    """What a reward day would pay if it is claimed at `claimable_at`, and so are those before it."""

    reward_day_id: datetime.date
    claimable_at: datetime.datetime
    xp_awarded: int
    streak: StreakFigures
    policy_version: int
    segment: SegmentKey | None
    milestones: tuple[Milestone, ...]
    explain: Explanation
    notes: tuple[str, ...]


class Projection(Noun, frozen=True, kw_only=True):
    """The days to come, one after the other; fewer than asked for where no policy is in force."""

    player_id: PlayerId
    policy_key: PolicyKey
    days: tuple[ProjectedDay, ...]
    total_xp: int


class Totals(Noun, frozen=True, kw_only=True):
    """How much there is of everything; days are reward-day ids, None while nobody has claimed."""

    players: int
    claims: int
    xp: int
    first_day: str | None
    last_day: str | None


class LongestStreak(Noun, frozen=True, kw_only=True):
    """One player's best."""

    player_id: PlayerId
    longest_streak: int
    current_balance: int


class MilestoneCount(Noun, frozen=True, kw_only=True):
    """How many players have unlocked a milestone."""

    day: int
    reward_type: str
    reward_value: str
    players: int


class Summary(Noun, frozen=True, kw_only=True):
    """What happened so far, over all players."""

    totals: Totals
    longest_streaks: tuple[LongestStreak, ...]
    milestones: tuple[MilestoneCount, ...]


class PolicyInvalid(Invalid):
    """The policy document breaks one or more rules; `errors` names all of them."""

    code = "xp.policy_invalid"


class HistoryInvalid(Invalid):
    """The reward days or seasons cannot be read, or are not in order."""

    code = "xp.history_invalid"


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


class ActivityInvalid(Invalid):
    """A login history cannot be read; `errors` names the lines."""

    code = "xp.activity_invalid"


class PlayerInvalid(Invalid):
    """The player's id, segment or attributes cannot be accepted; `errors` names each."""

    code = "xp.player_invalid"


class TimeZoneCooldown(Conflict):
    """The reward time zone was changed too recently; `opens_at` is when the next change may be."""

    code = "xp.time_zone_cooldown"


class GrantInvalid(Invalid):
    """The amount, reason, metadata or season of a grant cannot be accepted."""

    code = "xp.grant_invalid"


class BalanceLimit(Conflict):
    """The credit would take the balance past 2^53 - 1, where JSON numbers stop being exact."""

    code = "xp.balance_limit"


class PlayerBusy(Unavailable):
    """Others changed the same rows each time this was tried; nothing was written."""

    code = "xp.player_busy"


class PolicyKeyMismatch(Invalid):
    """The document's `policy_key` is not the one in the path."""

    code = "xp.policy_key_mismatch"


class DraftExists(Conflict):
    """This policy has a draft already: edit it, or publish it."""

    code = "xp.draft_exists"


class PolicyNotDraft(Conflict):
    """Only a draft can be edited: what was ever published never changes."""

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


class SeasonInvalid(Invalid):
    """The season's name or dates cannot be used."""

    code = "xp.season_invalid"


class SeasonExists(Conflict):
    """There is a season of this name already."""

    code = "xp.season_exists"


class SeasonOverlap(Conflict):
    """Another season has some of these days."""

    code = "xp.season_overlap"


class SeasonOver(Conflict):
    """Players have claimed since the season would have ended: their streaks cannot be told anew."""

    code = "xp.season_over"


class SeasonUnknown(NotFound):
    """No season has this name."""

    code = "xp.season_unknown"
