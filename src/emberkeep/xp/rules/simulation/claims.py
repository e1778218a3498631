"""The claims of many players as arrays: what every version of a simulation is replayed over."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Days = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of some players, by player and then by day: 12 bytes each.

    The claims of player i are those from `offsets[i]` to `offsets[i + 1]`. `days` are ordinals of
    reward days, rising for each player; `ats` are microseconds since 1970, in UTC. `excused`, if any,
    are the days since the claim before that do not count as missed.
    """

    offsets: Ints
    days: Days
    ats: Ints
    excused: Days | None = None

    @property
    def players(self) -> int:
        """How many players these are, those without a claim too."""
        return len(self.offsets) - 1

    @property
    def count(self) -> int:
        """How many claims these are."""
        return int(self.offsets[-1] - self.offsets[0])

    def select(self, first: int, end: int) -> Claims:
        """Return the claims of the players from `first` up to `end`; nothing is copied but offsets."""
        low, high = int(self.offsets[first]), int(self.offsets[end])
        return Claims(
            offsets=self.offsets[first : end + 1] - low,
            days=self.days[low:high],
            ats=self.ats[low:high],
            excused=None if self.excused is None else self.excused[low:high],
        )

    def list_blocks(self, *, max_claims: int) -> Iterator[tuple[int, int]]:
        """Yield (first player, end) of blocks with at most so many claims, or a single player."""
        first = 0
        while first < self.players:
            limit = int(self.offsets[first]) + max_claims
            end = int(np.searchsorted(self.offsets, limit, side="right")) - 1
            end = max(end, first + 1)
            yield first, end
            first = end

    def keep(self, is_kept: npt.NDArray[np.bool_]) -> Claims:
        """Return the claims that are marked, of the same players."""
        before = np.concatenate((np.zeros(1, np.int64), np.cumsum(is_kept, dtype=np.int64)))
        return Claims(
            offsets=before[self.offsets],
            days=self.days[is_kept],
            ats=self.ats[is_kept],
            excused=None if self.excused is None else _keep_excused(self.excused, is_kept),
        )


def _keep_excused(excused: Days, is_kept: npt.NDArray[np.bool_]) -> Days:
    """Return the excused days since the last claim that is kept.

    Of a player's first claim that is something else, and nobody asks for it.
    """
    so_far = np.cumsum(excused)[is_kept]
    return np.diff(so_far, prepend=0).astype(np.int32)
