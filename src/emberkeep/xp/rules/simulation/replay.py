"""One policy over blocks of players: what each claim comes to, and what it all adds up to."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt

from emberkeep.xp.model import Policy
from emberkeep.xp.rules.simulation.automaton import Automaton, Node
from emberkeep.xp.rules.simulation.claims import Claims, Ints
from emberkeep.xp.rules.simulation.pays import Pays
from emberkeep.xp.rules.simulation.tally import Tally
from emberkeep.xp.rules.simulation.turns import Buffers, Turns

# Some 200 MB. Only policies that tell very many places apart, over many years, come near.
_MAX_NODES: Final = 200_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What the claims of a block come to, by turn: which of the nodes each leads to, and its XP.

    `cells` name the node and the kind of boost, see `Pays`.
    """

    nodes: Ints
    cells: Ints
    xp: Ints
    known: list[Node]


class Replay:
    """A policy, replayed block by block; what counts are the days from `since` to `until`."""

    def __init__(
        self, policy: Policy, *, since: int | None = None, until: int | None = None
    ) -> None:
        self._policy = policy
        self._since, self._until = since, until
        self._tally = Tally()
        self._begin()

    def _begin(self) -> None:
        self._automaton = Automaton(self._policy)
        self._pays = Pays(self._policy)
        self._counts: Ints = np.zeros(self._pays.xp.shape, np.int64)

    def run(self, claims: Claims, turns: Turns, buffers: Buffers) -> Ints:
        """Replay a block and count it; return the XP of each of its players."""
        if len(self._automaton.nodes) > _MAX_NODES:
            self.conclude()
        outcomes = self.decide(claims, turns, buffers)
        cells, days, xp = outcomes.cells, turns.days, outcomes.xp
        is_counted = self._select(days)
        if is_counted is not None:
            xp *= is_counted
        totals = _sum_players(turns, xp)
        if is_counted is not None:
            cells, days, xp = cells[is_counted], days[is_counted], xp[is_counted]
        self._count(cells)
        self._tally.players += int(np.count_nonzero(totals))
        self._tally.daily.add(days, xp)
        return totals

    def decide(self, claims: Claims, turns: Turns, buffers: Buffers) -> Outcomes:
        """Return what each claim of a block comes to."""
        automaton = self._automaton
        symbols = automaton.read_symbols(
            turns.gaps, turns.flags, out=buffers.lend("symbols", claims.count)
        )
        rows = buffers.lend("rows", claims.count)
        before = np.zeros(claims.players, np.int64)
        for start, end in turns.spans:
            after = rows[start:end]
            automaton.step(before[: end - start], symbols[start:end], out=after)
            before = after
        nodes = automaton.number_nodes(rows)
        cells = self._pays.locate(nodes, claims.ats, turns.places, automaton.nodes)
        xp = buffers.lend("xp", claims.count)
        self._pays.xp.ravel().take(cells, out=xp, mode="clip")
        return Outcomes(nodes=nodes, cells=cells, xp=xp, known=automaton.nodes)

    def conclude(self) -> Tally:
        """Return what has been counted so far; the replay can go on."""
        self._tally.add_counts(self._counts, self._pays.xp, self._automaton.nodes)
        self._begin()
        return self._tally

    def _select(self, days: Ints) -> npt.NDArray[np.bool_] | None:
        if self._since is None and self._until is None:
            return None
        is_counted = np.ones(len(days), np.bool_)
        if self._since is not None:
            is_counted &= days >= self._since
        if self._until is not None:
            is_counted &= days <= self._until
        return is_counted

    def _count(self, cells: Ints) -> None:
        kinds, nodes = self._pays.xp.shape
        counts = np.bincount(cells, minlength=kinds * nodes).reshape(kinds, nodes)
        counts[:, : self._counts.shape[1]] += self._counts
        self._counts = counts


def _sum_players(turns: Turns, xp: Ints) -> Ints:
    totals = np.zeros(len(turns.players), np.int64)
    for start, end in turns.spans:
        totals[: end - start] += xp[start:end]
    by_player = np.empty_like(totals)
    by_player[turns.players] = totals
    return by_player
