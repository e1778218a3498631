"""Claims in the order in which many players are replayed at once: everybody's first, second, …

Turn k holds the k-th claim of every player who has as many. Players stand in order of their number
of claims, most first, so that the players of a turn are the first ones of the turn before, and one
step of all of them is one operation on arrays that lie side by side.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from emberkeep.xp.model import Season
from emberkeep.xp.rules.simulation.claims import Claims, Days, Ints

SEASON_ENDED: Final = 1
"""The flag of a claim since whose predecessor a season has ended."""

EXCUSED: Final = 2
"""The flag of a claim since whose predecessor some days were excused."""

FLAG_BITS: Final = 2


class Buffers:
    """Arrays that are used again: fresh memory costs several times what is computed in it."""

    def __init__(self) -> None:
        self._arrays: dict[str, Ints] = {}

    def lend(self, name: str, size: int) -> Ints:
        """Return `size` numbers of any value, which the next loan of this name writes over."""
        array = self._arrays.get(name)
        if array is None or len(array) < size:
            array = self._arrays[name] = np.empty(size, np.int64)
        return array[:size]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """The claims of a block by turn. Turn k is what lies from `starts[k]` to `starts[k + 1]`.

    `places` says where each stands in the block's claims, `players` which player each column is.
    `gaps` are days since the player's claim before, without those that were excused, and 0 for a
    first claim; `flags` say what else happened meanwhile, see `SEASON_ENDED`.
    """

    starts: list[int]
    players: Ints
    places: Ints
    days: Ints
    gaps: Ints
    flags: Ints | None = None

    @property
    def spans(self) -> Iterator[tuple[int, int]]:
        """The (start, end) of each turn."""
        return itertools.pairwise(self.starts)


def lay_out(offsets: Ints, buffers: Buffers) -> tuple[list[int], Ints, Ints]:
    """Return starts, players and places of turns, see `Turns`; `offsets` begin at 0."""
    counts = np.diff(offsets)
    players = np.argsort(-counts, kind="stable")
    # How many players have more than k claims.
    sizes = len(counts) - np.cumsum(np.bincount(counts))[:-1]
    starts = [0, *np.cumsum(sizes).tolist()]
    places = buffers.lend("places", int(offsets[-1]))
    first = offsets[:-1][players]
    for turn, (start, end) in enumerate(itertools.pairwise(starts)):
        np.add(first[: end - start], turn, out=places[start:end])
    return starts, players, places


def take_turns(claims: Claims, seasons: Sequence[Season], buffers: Buffers) -> Turns:
    """Return the claims of a block, whose offsets begin at 0, by turn.

    :raises AssertionError: when a player's days do not rise
    """
    starts, players, places = lay_out(claims.offsets, buffers)
    days = _gather(claims.days, places, buffers)
    gaps = _compare_turns(starts, days, buffers.lend("gaps", claims.count))
    assert not days.size or gaps[starts[1] :].min(initial=1) > 0, "the days of a player rise"
    flags = _flag_seasons(starts, days, seasons, buffers) if seasons else None
    if claims.excused is not None:
        flags = _excuse(gaps, claims.excused[places], flags)
    return Turns(
        starts=starts,
        players=players,
        places=places,
        days=days,
        gaps=gaps,
        flags=flags,
    )


def _gather(values: Days, places: Ints, buffers: Buffers) -> Ints:
    # Widened first: numpy gathers fast only into memory of the type that it gathers from.
    wide = buffers.lend("wide", len(values))
    np.copyto(wide, values)
    return wide.take(places, out=buffers.lend("days", len(values)), mode="clip")


def _compare_turns(starts: list[int], values: Ints, out: Ints) -> Ints:
    """Return by how much each value is larger than the same player's one turn before, or 0."""
    out[: starts[1] if len(starts) > 1 else 0] = 0
    before = 0
    for start, end in itertools.pairwise(starts[1:]):
        np.subtract(values[start:end], values[before : before + end - start], out=out[start:end])
        before = start
    return out


def _flag_seasons(
    starts: list[int], days: Ints, seasons: Sequence[Season], buffers: Buffers
) -> Ints:
    """Say of each claim whether a season's last day lies between it and the one before."""
    ends = np.array(sorted(season.end_date.toordinal() for season in seasons), np.int64)
    lowest = int(days.min(initial=1))
    ended_before = np.searchsorted(ends, np.arange(lowest, int(days.max(initial=1)) + 1))
    ended = ended_before.astype(np.int64)[days - lowest]
    flags = _compare_turns(starts, ended, buffers.lend("flags", len(days)))
    return np.minimum(flags, SEASON_ENDED, out=flags)


def _excuse(gaps: Ints, excused: Days, flags: Ints | None) -> Ints:
    """Take excused days out of `gaps` and return the flags with that of those claims."""
    # What was excused before a first claim is nothing that it could have missed.
    excused_days = np.where(gaps > 0, excused, 0).astype(np.int64)
    gaps -= excused_days
    assert gaps.min(initial=0) >= 0, "excused days lie between claims"
    flagged = np.where(excused_days > 0, EXCUSED, 0).astype(np.int64)
    return flagged if flags is None else flagged | flags
