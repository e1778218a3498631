"""The streak engine as a table: what was asked of it once is looked up from then on.

Players under one policy stand at few places: a day of the streak, some grace used, milestones
unlocked. A `Node` is such a place and how it was reached. From each, what follows depends on a
symbol only: how long the player was away, and whether a season ended meanwhile. The table is filled
with the answers of `rules/streak.advance`, each asked for when it is first needed, so that there is
no second engine that could disagree, and a new streak model is simulated without a line here.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from emberkeep.xp.model import Noun, StreakChange, StreakState
from emberkeep.xp.rules import protection, streak
from emberkeep.xp.rules.simulation.turns import EXCUSED, FLAG_BITS, SEASON_ENDED
from emberkeep.xp.rules.streak_models import find_conduct

if TYPE_CHECKING:
    from emberkeep.xp.model import Milestone, Policy
    from emberkeep.xp.rules.simulation.claims import Ints


# 32 MB. What does not fit is kept in a dictionary, which costs time but no answer.
_MAX_CELLS: Final = 4 * 2**20
_MAX_CODES: Final = 2**25

_UNKNOWN: Final = -1
_FIRST_DAY: Final = datetime.date.min
_ONE_DAY: Final = datetime.timedelta(days=1)
_AT: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


class Node(Noun, frozen=True, kw_only=True):
    """Where a claim leaves a player, and what it did to the streak."""

    state: StreakState
    change: StreakChange | None
    grace_days: int = 0
    freezes_used: int = 0
    freezes_earned: int = 0
    milestones: tuple[Milestone, ...] = ()


class Automaton:
    """The places that players under `policy` were seen at, and the ways between them.

    Nodes are numbered in the order in which they were found; 0 is a player who never claimed.
    Inside, a node is a row: its number times the number of symbols that there is room for.
    """

    def __init__(self, policy: Policy) -> None:
        # A boost decides what a claim pays, not where it leads.
        self._policy = msgspec.structs.replace(policy, seasonal_boosts=())
        self._max_gap = _find_longest_gap(policy)
        self.nodes: list[Node] = [Node(state=StreakState(), change=None)]
        self._numbers: dict[bytes, int] = {}
        self._symbols: list[int] = []
        self._symbol_of_code = np.full(1, _UNKNOWN, np.int64)
        self._shift = 2
        self._rows = 1
        self._table = np.full(self._size, _UNKNOWN, np.int64)
        # (row + symbol): next row, for rows that the table has no room for.
        self._beyond: dict[int, int] = {}

    @property
    def _size(self) -> int:
        # The last cell stays unknown: it answers for every row that is not there.
        return (self._rows << self._shift) + 1

    def read_symbols(self, gaps: Ints, flags: Ints | None, *, out: Ints) -> Ints:
        """Translate days since the claim before, and what happened meanwhile, into symbols."""
        codes = np.minimum(gaps, self._max_gap, out=out)
        codes <<= FLAG_BITS
        if flags is not None:
            codes |= flags
        self._learn_codes(codes)
        return self._symbol_of_code.take(codes, out=out, mode="clip")

    def _learn_codes(self, codes: Ints) -> None:
        highest = int(codes.max(initial=0))
        if highest >= len(self._symbol_of_code):
            more = np.full(highest + 1 - len(self._symbol_of_code), _UNKNOWN, np.int64)
            self._symbol_of_code = np.concatenate((self._symbol_of_code, more))
        symbols = self._symbol_of_code.take(codes, mode="clip")
        if symbols.min(initial=0) != _UNKNOWN:
            return
        for code in np.unique(codes[symbols == _UNKNOWN]).tolist():
            self._symbol_of_code[code] = len(self._symbols)
            self._symbols.append(code)
        if len(self._symbols) > 1 << self._shift:
            self._widen()

    def _widen(self) -> None:
        old_shift, old_table = self._shift, self._table
        self._shift = (len(self._symbols) - 1).bit_length()
        self._rows = max(1, min(self._rows, _MAX_CELLS >> self._shift))
        cells = old_table[:-1].reshape(-1, 1 << old_shift)[: self._rows]
        known = cells != _UNKNOWN
        wider = np.full((self._rows, 1 << self._shift), _UNKNOWN, np.int64)
        wider[:, : 1 << old_shift][known] = cells[known] >> old_shift << self._shift
        self._table = np.append(wider.ravel(), _UNKNOWN)
        # What was kept for the old width is asked for again.
        self._beyond.clear()

    def step(self, rows: Ints, symbols: Ints, *, out: Ints) -> None:
        """Lead every player from its row by its symbol; `symbols` are written over.

        :param rows: 0 where a player has not claimed yet
        """
        cells = np.add(rows, symbols, out=symbols)
        self._table.take(cells, out=out, mode="clip")
        if out.min() == _UNKNOWN:
            self._resolve(cells, out)

    def number_nodes(self, rows: Ints) -> Ints:
        """Turn rows into numbers of nodes, in place."""
        rows >>= self._shift
        return rows

    def _resolve(self, cells: Ints, rows: Ints) -> None:
        unknown = np.flatnonzero(rows == _UNKNOWN)
        asked, inverse = np.unique(cells[unknown], return_inverse=True)
        answers = np.array([self._find(cell) for cell in asked.tolist()], np.int64)
        rows[unknown] = answers[inverse]

    def _find(self, cell: int) -> int:
        known = self._beyond.get(cell)
        if known is not None:
            return known
        number, symbol = cell >> self._shift, cell & ((1 << self._shift) - 1)
        row = self._ask(self.nodes[number], self._symbols[symbol]) << self._shift
        self._remember(cell, row)
        return row

    def _remember(self, cell: int, row: int) -> None:
        needed = (cell >> self._shift) + 1
        if needed > self._rows and needed << self._shift <= _MAX_CELLS:
            self._rows = min(max(needed, 2 * self._rows), _MAX_CELLS >> self._shift)
            longer = np.full(self._size, _UNKNOWN, np.int64)
            longer[: len(self._table)] = self._table
            self._table = longer
        if needed <= self._rows:
            self._table[cell] = row
        else:
            self._beyond[cell] = row

    def _ask(self, node: Node, code: int) -> int:
        """Return the number of the node that the engine says comes after `node`."""
        gap, flags = code >> FLAG_BITS, code & ((1 << FLAG_BITS) - 1)
        before, day = _stand_before(node.state, gap, is_excused=bool(flags & EXCUSED))
        step = streak.advance(
            self._policy,
            before,
            day=day,
            at=_AT,
            has_season_ended=bool(flags & SEASON_ENDED),
        )
        # What has no say in what comes after must not tell two places apart.
        after = msgspec.structs.replace(step.state, last_reward_day=None, longest_streak=0)
        return self._number(
            Node(
                state=after,
                change=step.change,
                grace_days=step.missed_days - step.freezes_used if step.grace_applied else 0,
                freezes_used=step.freezes_used,
                freezes_earned=step.freezes_used
                + protection.count_freezes(after.model_state)
                - protection.count_freezes(before.model_state),
                milestones=step.milestones,
            )
        )

    def _number(self, node: Node) -> int:
        key = _encode(node)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.nodes)
            self.nodes.append(node)
        return number


def _stand_before(
    state: StreakState, gap: int, *, is_excused: bool
) -> tuple[StreakState, datetime.date]:
    """Return a state, and the day of a claim, between which as many days count as `gap` says."""
    if gap == 0:
        return state, _FIRST_DAY
    day = _FIRST_DAY + datetime.timedelta(days=gap)
    before = msgspec.structs.replace(state, last_reward_day=_FIRST_DAY)
    if not is_excused:
        return before, day
    excused_day = _FIRST_DAY + _ONE_DAY
    model_state = protection.add_excused(
        state.model_state, first_day=excused_day, last_day=excused_day
    )
    return msgspec.structs.replace(before, model_state=model_state), day + _ONE_DAY


_encode = msgspec.json.Encoder(order="sorted").encode


def _find_longest_gap(policy: Policy) -> int:
    """Return a gap from which on a longer one makes no difference.

    Unless its model counts missed days itself, a streak can lose no more than to start over.
    """
    if find_conduct(policy.streak_model).count_after_miss is not None:
        return _MAX_CODES >> FLAG_BITS
    freezes = 0 if policy.freezes is None else policy.freezes.max_held
    return min(policy.grace.allowed_misses + freezes + 2, _MAX_CODES >> FLAG_BITS)
