"""What changes a streak beside claims: freezes, pauses, repairs, and days that a journey left out."""

from __future__ import annotations

import datetime
import enum

from emberkeep.base.errors import Conflict, Invalid
from emberkeep.xp.model.noun import Noun, PlayerId


class StreakActionKind(enum.StrEnum):
    """What was done to a streak."""

    FREEZES_GRANTED = "freezes_granted"
    PAUSED = "paused"
    RESUMED = "resumed"
    REPAIRED = "repaired"
    DAYS_SKIPPED = "days_skipped"
    DAYS_RESTORED = "days_restored"


class DayRange(Noun, frozen=True):
    """The reward days from the first to the last, both included."""

    first_day: datetime.date
    last_day: datetime.date


class StreakDeed(Noun, frozen=True, kw_only=True):
    """What is to be done to a streak: what its kind does not need is None.

    `freezes` are how many more the player holds, or fewer. From `first_day` to `last_day` the days
    do not count as missed; after a resumption, or where they are restored, they count again.
    """

    kind: StreakActionKind
    freezes: int | None = None
    streak_day: int | None = None
    first_day: datetime.date | None = None
    last_day: datetime.date | None = None


class StreakAction(StreakDeed, frozen=True, kw_only=True):
    """A deed that was done: by whom, why, and behind which claim.

    `after_reward_day_id` is the last day that had been claimed by then. `correlation_id` is the
    cause: the same for every retry.
    """

    action_id: int
    after_reward_day_id: datetime.date | None
    reason: str
    actor: str
    correlation_id: str
    created_at: datetime.datetime


class PauseWish(Noun, frozen=True, kw_only=True):
    """A pause up to `last_day`; without a first day it begins as soon as it can."""

    last_day: datetime.date
    first_day: datetime.date | None = None


class RepairWish(Noun, frozen=True, kw_only=True):
    """What a streak is to be, and the missed days that are not to count, either or both."""

    streak_day: int | None = None
    excuse_from: datetime.date | None = None
    excuse_to: datetime.date | None = None


class FreezeFigures(Noun, frozen=True, kw_only=True):
    """How many freezes a player holds, of how many, and how many claims the next one is away.

    `max_held` is None where the policy in force has no freezes: those held are kept, and not spent.
    """

    held: int
    max_held: int | None
    claims_to_next: int | None


class PauseFigures(Noun, frozen=True, kw_only=True):
    """A pause that runs, or is to come."""

    first_day: datetime.date
    last_day: datetime.date
    is_running: bool


class StreakStanding(Noun, frozen=True, kw_only=True):
    """A streak as it stands, and what keeps it through days without a claim."""

    player_id: PlayerId
    current: int
    longest: int
    grace_used: int
    last_reward_day_id: datetime.date | None
    today: datetime.date
    freezes: FreezeFigures
    pause: PauseFigures | None


class StreakActionInvalid(Invalid):
    """The amount, days or reason of a streak action cannot be accepted; `errors` names each."""

    code = "xp.streak_action_invalid"


class FreezesOff(Conflict):
    """The policy in force has no freezes."""

    code = "xp.freezes_off"


class FreezesFull(Conflict):
    """The player holds as many freezes as the policy allows; nothing was granted."""

    code = "xp.freezes_full"


class NoFreezesHeld(Conflict):
    """The player holds no freeze that could be taken."""

    code = "xp.no_freezes_held"


class PauseOff(Conflict):
    """The policy in force has no pauses."""

    code = "xp.pause_off"


class PauseRunning(Conflict):
    """The streak is paused, or is to be: resume it first."""

    code = "xp.pause_running"


class PauseCooldown(Conflict):
    """The last pause is too recent; `earliest_day` is when the next can begin."""

    code = "xp.pause_cooldown"


class PauseRefused(Conflict):
    """The pause would be longer than the policy allows, or cover a day that is claimed or over."""

    code = "xp.pause_refused"


class NotPaused(Conflict):
    """The streak is not paused, and no pause is to come."""

    code = "xp.not_paused"


class RepairRefused(Conflict):
    """There is no streak, the policy never counts that far, or the days were not missed."""

    code = "xp.repair_refused"


class CorrelationReused(Conflict):
    """This correlation id stands for another action."""

    code = "xp.correlation_reused"
