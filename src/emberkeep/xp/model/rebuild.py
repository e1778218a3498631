"""Balances and streaks that are folded from their history again, and what that would change."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from emberkeep.xp.model.ledger import Balance
from emberkeep.xp.model.noun import Noun, PlayerId
from emberkeep.xp.model.streak import StreakState


class RebuildTarget(enum.StrEnum):
    """What is folded again."""

    STREAKS = "streaks"
    BALANCES = "balances"


class KeptStreak(Noun, frozen=True, kw_only=True):
    """A streak as it lies in the table, where it may be damaged: its last day is any text."""

    current_streak: int
    longest_streak: int
    grace_used: int
    last_reward_day_id: str | None
    model_state: Mapping[str, object] | None
    """None where it cannot be read."""
    action_count: int


class RebuiltStreak(Noun, frozen=True, kw_only=True):
    """A streak that was not what its history makes it; without `before` there was none."""

    player_id: PlayerId
    before: KeptStreak | None
    after: StreakState


class RebuiltBalance(Noun, frozen=True, kw_only=True):
    """A balance that was not what its ledger adds up to; without `before` there was none."""

    player_id: PlayerId
    before: Balance | None
    after: Balance


class RebuildReport(Noun, frozen=True, kw_only=True):
    """What a rebuild looked at, and what it changed, or would have.

    `streaks`, `balances` and `unreadable` name the first of them only: the counts are of all.
    """

    what: RebuildTarget
    is_dry_run: bool
    players: int
    changed: int
    streaks: tuple[RebuiltStreak, ...]
    balances: tuple[RebuiltBalance, ...]
    unreadable_players: int
    unreadable: tuple[PlayerId, ...]
