"""One player's streak, folded from what happened: claims, and the actions right behind them. Pure.

Verification and rebuilds fold with this, and with the rules that claims and actions were decided by.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from emberkeep.xp.model import (
    KeptStreak,
    Policy,
    PolicyKey,
    Season,
    Step,
    StreakDeed,
    StreakState,
)
from emberkeep.xp.rules import streak
from emberkeep.xp.rules.streak_action import apply_deed

Policies = Mapping[tuple[PolicyKey, int], Policy]
"""Every policy version that can be read."""


class StreakFold:
    """A streak, as far as its history was told; `state` is None once that could not be read."""

    def __init__(
        self, policies: Policies, seasons: Sequence[Season], *, opening: StreakState
    ) -> None:
        """Begin with `opening`; before the first claim that is an empty state.

        :param opening: the streak right behind the claim of its last day; what was done to it before
            that claim is part of it already
        """
        self.state: StreakState | None = opening
        self._opening_day_id = _to_day_id(opening.last_reward_day) or ""
        self._policies = policies
        self._seasons = seasons

    def claim(
        self, *, day_id: str, at: datetime.datetime, policy_key: PolicyKey, policy_version: int
    ) -> Step | None:
        """Take in the claim of `day_id`; return what it comes to, or None if that cannot be told."""
        policy = self._policies.get((policy_key, policy_version))
        day = _parse_day(day_id)
        if self.state is None or policy is None or day is None:
            self.state = None
            return None
        last_day = self.state.last_reward_day
        if last_day is not None and day <= last_day:
            self.state = None
            return None
        step = streak.advance(
            policy,
            self.state,
            day=day,
            at=at,
            has_season_ended=streak.has_season_ended(self._seasons, last_day, day),
        )
        self.state = step.state
        return step

    def act(self, deed: StreakDeed, *, after_day_id: str | None) -> None:
        """Take in what was done to the streak behind the claim of `after_day_id`."""
        if self.state is not None and (after_day_id or "") >= self._opening_day_id:
            self.state = apply_deed(self.state, deed)


def is_as_folded(kept: KeptStreak | None, folded: StreakState) -> bool:
    """Say whether the streak in the table is the one that its history makes."""
    return (
        kept is not None
        and kept.current_streak == folded.current_streak
        and kept.longest_streak == folded.longest_streak
        and kept.grace_used == folded.grace_used
        and kept.last_reward_day_id == _to_day_id(folded.last_reward_day)
        and kept.model_state == folded.model_state
    )


def _to_day_id(day: datetime.date | None) -> str | None:
    return None if day is None else day.isoformat()


def _parse_day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None
