"""Who gains and who loses by a version: block by block, without keeping the players."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from emberkeep.xp.model import Comparison, PlayerChange, PlayerId, ShareCount
from emberkeep.xp.rules.simulation.claims import Ints

LARGEST_SHOWN: Final = 10

_EDGES_PERCENT: Final = (-50, -25, -10, -5, 0, 5, 10, 25, 50, 100)


class Comparing:
    """The difference between a version and the baseline, over the blocks so far."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._gaining = self._losing = self._unchanged = 0
        self._gained = self._lost = 0
        self._shares = np.zeros(len(_EDGES_PERCENT) + 1, np.int64)
        self._gains: list[PlayerChange] = []
        self._losses: list[PlayerChange] = []

    def add(self, baseline: Ints, other: Ints, players: Sequence[PlayerId]) -> None:
        """Take in the XP of a block's players under both."""
        change = other - baseline
        is_gain, is_loss = change > 0, change < 0
        self._gaining += int(np.count_nonzero(is_gain))
        self._losing += int(np.count_nonzero(is_loss))
        self._unchanged += int(np.count_nonzero((change == 0) & (baseline > 0)))
        self._gained += int(change[is_gain].sum())
        self._lost -= int(change[is_loss].sum())
        self._add_shares(baseline, change)
        for largest, sign in ((self._gains, 1), (self._losses, -1)):
            for place in _find_largest(change * sign):
                largest.append(
                    PlayerChange(
                        player_id=players[place],
                        baseline_xp=int(baseline[place]),
                        xp=int(other[place]),
                        change_xp=int(change[place]),
                    )
                )
            largest.sort(key=lambda found: (-abs(found.change_xp), found.player_id))
            del largest[LARGEST_SHOWN:]

    def _add_shares(self, baseline: Ints, change: Ints) -> None:
        has_changed = change != 0
        baseline, scaled = baseline[has_changed], change[has_changed] * 100
        below = [int(np.count_nonzero(scaled < edge * baseline)) for edge in _EDGES_PERCENT]
        self._shares += np.diff([0, *below, len(scaled)])

    def conclude(self) -> Comparison:
        """Return what was found."""
        ends = (None, *_EDGES_PERCENT, None)
        return Comparison(
            name=self._name,
            players_gaining=self._gaining,
            players_losing=self._losing,
            players_unchanged=self._unchanged,
            xp_gained=self._gained,
            xp_lost=self._lost,
            shares=tuple(
                ShareCount(from_percent=ends[i], to_percent=ends[i + 1], players=count)
                for i, count in enumerate(self._shares.tolist())
            ),
            largest_gains=tuple(self._gains),
            largest_losses=tuple(self._losses),
        )


def _find_largest(change: Ints) -> list[int]:
    """Return the places of the largest positive changes: enough of them to choose from.

    All that are as large as the last of them are among them, so that the choice does not depend on
    how the players were cut into blocks.
    """
    if len(change) <= LARGEST_SHOWN:
        return np.flatnonzero(change > 0).tolist()
    least = max(1, int(np.partition(change, -LARGEST_SHOWN)[-LARGEST_SHOWN]))
    return np.flatnonzero(change >= least).tolist()
