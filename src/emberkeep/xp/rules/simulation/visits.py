"""A login history as arrays: of every player the first visit of each reward day, 25 bytes each."""

from __future__ import annotations

import datetime
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    ActivityInvalid,
    ClaimWindow,
    LocalClock,
    PlayerId,
    Refusals,
    RewardDay,
)
from emberkeep.xp.rules.activity import Visit, read_visits
from emberkeep.xp.rules.simulation.admission import admit_visits
from emberkeep.xp.rules.simulation.claims import Claims, Ints
from emberkeep.xp.rules.simulation.pays import to_microseconds
from emberkeep.xp.rules.simulation.simulator import Chunk

MAX_PLAYER_DAYS: Final = 8_000_000
"""From so many on, over all windows, players are replayed and forgotten when the next one comes.

So many take less than 600 MB while they are put in order.
"""

_ROOM: Final = 250_000


class _Visits:
    """The visits under one window, in the order in which they were read."""

    def __init__(self) -> None:
        self._players = array("i")
        self._days = array("i")
        self._clocks = array("i")
        self._ats = array("q")
        self._are_open = array("b")
        self._kept = 0

    def __len__(self) -> int:
        return len(self._players)

    def add(self, player: int, day: int, clock: int, at: int, *, is_open: bool) -> None:
        """Take in a visit."""
        self._players.append(player)
        self._days.append(day)
        self._clocks.append(clock)
        self._ats.append(at)
        self._are_open.append(is_open)

    def is_full(self) -> bool:
        """Say whether it is time to drop the visits that were not the first of their day."""
        return len(self) > 2 * self._kept + _ROOM

    def keep_first(self, clocks: Sequence[LocalClock]) -> None:
        """Keep the first visit of each player and day, by player, instant and day.

        Of two at one instant it is the one whose clock comes first by its name, as in
        `activity.find_visits`: the order of the lines has no say.
        """
        players, days, ats = _view(self._players), _view(self._days), _view(self._ats)
        rank = np.argsort(np.argsort(np.array([str(clock) for clock in clocks], np.str_)))
        order = np.lexsort((rank[_view(self._clocks)], ats, days, players))
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = (np.diff(players[order]) != 0) | (np.diff(days[order]) != 0)
        kept = order[is_first]
        kept = kept[np.lexsort((days[kept], ats[kept], players[kept]))]
        for name in ("_players", "_days", "_clocks", "_ats", "_are_open"):
            values: array[int] = getattr(self, name)
            setattr(self, name, array(values.typecode, _view(values)[kept].tobytes()))
        self._kept = len(kept)

    def admit(self, players: int, window: ClaimWindow) -> tuple[Claims, Refusals]:
        """Return the claims that these visits make, after `keep_first`."""
        offsets = np.searchsorted(_view(self._players), np.arange(players + 1))
        visits = Claims(
            offsets=offsets.astype(np.int64),
            days=_view(self._days).astype(np.int32),
            ats=_view(self._ats),
        )
        return admit_visits(visits, _view(self._are_open).astype(np.bool_), window)


def _view(values: array[int]) -> Ints:
    return np.frombuffer(values, dtype=values.typecode)


class _Reading:
    """The players that are being read, and their visits under every window."""

    def __init__(self, windows: Sequence[ClaimWindow]) -> None:
        self.numbers: dict[PlayerId, int] = {}
        self._clocks: dict[LocalClock, int] = {}
        self._windows = windows
        self._visits = [_Visits() for _ in windows]

    def add(self, visit: Visit, days: Sequence[RewardDay]) -> None:
        """Take in a line."""
        player = self.numbers.setdefault(visit.player_id, len(self.numbers))
        clock = self._clocks.setdefault(visit.clock, len(self._clocks))
        at = to_microseconds(visit.at)
        for visits, today in zip(self._visits, days, strict=True):
            is_open = visit.at < today.closes_at
            visits.add(player, today.day.toordinal(), clock, at, is_open=is_open)
            if visits.is_full():
                visits.keep_first(list(self._clocks))

    def is_full(self) -> bool:
        """Say whether there are as many player-days as should be held at once."""
        return sum(map(len, self._visits)) >= MAX_PLAYER_DAYS

    def conclude(self) -> Chunk:
        """Return the players and what each window admits of their visits."""
        admitted: list[tuple[Claims, Refusals]] = []
        for visits, window in zip(self._visits, self._windows, strict=True):
            visits.keep_first(list(self._clocks))
            admitted.append(visits.admit(len(self.numbers), window))
        return Chunk(
            players=list(self.numbers),
            claims=[claims for claims, _ in admitted],
            refused=[refused for _, refused in admitted],
        )


def read_chunks(
    lines: Iterable[str],
    windows: Sequence[ClaimWindow],
    *,
    latest: datetime.datetime,
    on_line: Callable[[int], None],
) -> Iterator[Chunk]:
    """Yield the players of a login history, and what each of `windows` admits of their visits.

    The lines may be in any order up to `MAX_PLAYER_DAYS`. In a longer history those of a player
    stand together, so that memory does not grow with it.

    :param on_line: called with the number of each line
    :raises ActivityInvalid: with the first lines that cannot be read, or with the line at which a
        player comes back who had to be forgotten
    """
    reading = _Reading(windows)
    forgotten: set[PlayerId] = set()
    for number, visit, days in read_visits(lines, windows, latest=latest):
        if visit.player_id not in reading.numbers:
            if visit.player_id in forgotten:
                raise _not_together(number)
            if reading.is_full():
                forgotten.update(reading.numbers)
                yield reading.conclude()
                reading = _Reading(windows)
        reading.add(visit, days)
        on_line(number)
    yield reading.conclude()


def _not_together(number: int) -> ActivityInvalid:
    message = (
        f"more than {MAX_PLAYER_DAYS:,} player-days: the lines of a player must stand together"
    )
    return ActivityInvalid(
        "the login history is too long for its order: sort it by player",
        [FieldError(f"line {number}", message)],
    )
