"""What the claims of a replay add up to: whole numbers, by day, by award and by length of streak."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np

from emberkeep.xp.model import Milestone, StreakChange
from emberkeep.xp.rules.simulation.automaton import Node
from emberkeep.xp.rules.simulation.claims import Ints


class DailyTotals:
    """XP and claims of each reward day, from `first_day` on: ordinals."""

    def __init__(self) -> None:
        self.first_day = 0
        self._xp = np.zeros(0, np.int64)
        self._claims = np.zeros(0, np.int64)

    def add(self, days: Ints, xp: Ints) -> None:
        """Take in claims, in any order."""
        if not len(days):
            return
        lowest, highest = int(days.min()), int(days.max())
        self._make_room(lowest, highest)
        places = days - lowest
        counts = np.bincount(places)
        span = slice(lowest - self.first_day, highest + 1 - self.first_day)
        np.add.at(self._xp[span], places, xp)
        self._claims[span] += counts

    def _make_room(self, lowest: int, highest: int) -> None:
        if not len(self._xp):
            self.first_day = lowest
        before = max(0, self.first_day - lowest)
        after = max(0, highest + 1 - self.first_day - len(self._xp))
        if before or after:
            self.first_day -= before
            self._xp = np.pad(self._xp, (before, after))
            self._claims = np.pad(self._claims, (before, after))

    def list_days(self) -> list[tuple[int, int, int]]:
        """Return (day, XP, claims) of each day that was claimed, in order."""
        return [
            (self.first_day + place, int(self._xp[place]), int(self._claims[place]))
            for place in np.flatnonzero(self._claims).tolist()
        ]


@dataclasses.dataclass(slots=True)
class Tally:
    """Counts of claims by what they came to; `streaks` by effective day, `awards` by XP."""

    players: int = 0
    claims: int = 0
    xp: int = 0
    grace_days: int = 0
    freezes_used: int = 0
    freezes_earned: int = 0
    changes: Counter[StreakChange] = dataclasses.field(default_factory=Counter)
    streaks: Counter[int] = dataclasses.field(default_factory=Counter)
    awards: Counter[int] = dataclasses.field(default_factory=Counter)
    milestones: Counter[Milestone] = dataclasses.field(default_factory=Counter)
    daily: DailyTotals = dataclasses.field(default_factory=DailyTotals)

    def add_counts(self, counts: Ints, xp: Ints, nodes: Sequence[Node]) -> None:
        """Take in how many claims led to each node, by kind of boost, and what those pay."""
        for kind, place in np.argwhere(counts).tolist():
            self._add(int(counts[kind, place]), int(xp[kind, place]), nodes[place])

    def _add(self, count: int, xp: int, node: Node) -> None:
        assert node.change is not None, "nobody claims and has never claimed"
        self.claims += count
        self.xp += count * xp
        self.grace_days += count * node.grace_days
        self.freezes_used += count * node.freezes_used
        self.freezes_earned += count * node.freezes_earned
        self.changes[node.change] += count
        self.streaks[node.state.current_streak] += count
        self.awards[xp] += count
        for milestone in node.milestones:
            self.milestones[milestone] += count
