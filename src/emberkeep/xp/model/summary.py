"""What happened so far, over all players."""

from __future__ import annotations

from emberkeep.xp.model.noun import Noun, PlayerId


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
