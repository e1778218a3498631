"""A streak between two claims, and what one claim does to it."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping

import msgspec

from emberkeep.base.errors import Invalid
from emberkeep.xp.model.noun import Noun
from emberkeep.xp.model.policy import Milestone, SeasonalBoost


class StreakState(Noun, frozen=True, kw_only=True):
    """What the engine remembers of one player between two claims.

    `model_state` is a JSON object, of which a player has only what is not empty:
    `{"milestones": {policy_key: [day, …]}}` are those unlocked, `"freezes"` how many are held,
    `"freeze_progress"` the claims since the last was earned, and `"excused"` the
    `[first day, last day]` ranges that do not count as missed.
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
    EXCUSED = "excused"
    FROZEN = "frozen"
    GRACED = "graced"
    DECAYED = "decayed"
    HELD = "held"
    RESTARTED = "restarted"
    SEASON_RESET = "season_reset"
    CYCLE_RESET = "cycle_reset"


class Step(Noun, frozen=True, kw_only=True):
    """What one claim does to a streak, and what it pays.

    `missed_days` are those without a claim that were not excused.
    `multiplier_ppt` is curve times model times boost, in parts per 10**12 (`SCALE` cubed).
    """

    state: StreakState
    change: StreakChange
    effective_day: int
    missed_days: int
    excused_days: int
    freezes_used: int
    grace_applied: bool
    curve_day_index: int
    curve_multiplier: int
    model_multiplier: int
    boost: SeasonalBoost | None
    multiplier_ppt: int
    additive_bonus_xp: int
    xp_awarded: int
    milestones: tuple[Milestone, ...]


class HistoryInvalid(Invalid):
    """The reward days or seasons cannot be read, or are not in order."""

    code = "xp.history_invalid"
