"""Claims: what is asked, what is paid, why, and what would be."""

from __future__ import annotations

import datetime
import enum

from emberkeep.base.errors import Conflict, Invalid
from emberkeep.xp.model.ledger import BalanceFigures, StreakFigures
from emberkeep.xp.model.level import LevelFigures
from emberkeep.xp.model.noun import Noun, PlayerId, PolicyKey, SeasonId, SegmentKey
from emberkeep.xp.model.policy import Milestone
from emberkeep.xp.model.segment import SegmentChoice
from emberkeep.xp.model.streak import StreakChange


class ClaimStatus(enum.StrEnum):
    """What a claim came to, when it was not refused."""

    NEW = "NEW"
    ALREADY_CLAIMED = "ALREADY_CLAIMED"


class RewardDay(Noun, frozen=True, kw_only=True):
    """One reward day of one zone: claimable in [opens_at, closes_at); the next begins at `next_at`."""

    day: datetime.date
    opens_at: datetime.datetime
    closes_at: datetime.datetime
    next_at: datetime.datetime


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


class Explanation(Noun, frozen=True, kw_only=True):
    """Why a claim paid what it paid: every factor, and what happened to the streak.

    `chosen_by` says which segment chose the policy version, or that a rule failed, so that the
    version in force decided.
    """

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
    excused_days: int = 0
    freezes_used: int = 0
    freezes_held: int = 0
    chosen_by: SegmentChoice | None = None


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
    level: LevelFigures | None = None
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
    level: LevelFigures | None
    next_boundary_at: datetime.datetime
    explain: Explanation


class Eligibility(Noun, frozen=True, kw_only=True):
    """What a claim at `at` would come to. `reason` says why it would not be paid.

    `level` is the one after it, or the present one where nothing would be paid.
    """

    player_id: PlayerId
    at: datetime.datetime
    eligible: bool
    reason: str | None
    reward_day_id: datetime.date
    projected_xp: int
    streak_preview: StreakFigures
    next_boundary_at: datetime.datetime
    policy_key: PolicyKey
    policy_version: int
    level: LevelFigures | None
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
    level: LevelFigures | None
    explain: Explanation
    notes: tuple[str, ...]


class Projection(Noun, frozen=True, kw_only=True):
    """The days to come, one after the other; fewer than asked for where no policy is in force.

    `player_id` is None for a player who is made up.
    """

    player_id: PlayerId | None
    policy_key: PolicyKey
    days: tuple[ProjectedDay, ...]
    total_xp: int


class InstantOutOfRange(Invalid):
    """No reward day is kept for this instant: it lies at the very edge of the calendar."""

    code = "xp.instant_out_of_range"


class UtcOffsetInvalid(Invalid):
    """Not an offset from UTC: 24 hours or more."""

    code = "xp.utc_offset_invalid"


class WindowClosed(Conflict):
    """The reward day's claim window has closed; `opens_at` is when the next one opens."""

    code = "xp.window_closed"


class CooldownRunning(Conflict):
    """The last claim is too recent; the answer carries its receipt."""

    code = "xp.cooldown"


class ActivityInvalid(Invalid):
    """A login history cannot be read; `errors` names the lines."""

    code = "xp.activity_invalid"
