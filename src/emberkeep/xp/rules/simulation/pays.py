"""What a claim pays at each node of an automaton and under each boost: whole numbers, from the pay table."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from emberkeep.xp.model import SCALE
from emberkeep.xp.rules.pay import PayTable, list_pays
from emberkeep.xp.rules.streak_models import find_conduct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emberkeep.xp.model import Policy
    from emberkeep.xp.rules.simulation.automaton import Node
    from emberkeep.xp.rules.simulation.claims import Ints

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)


def to_microseconds(at: datetime.datetime) -> int:
    """Return an aware instant as microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


class Pays:
    """The XP of every node under every boost of `policy`, for nodes as they are found.

    A cell is a node under one kind of boost: none, or one of the multipliers that there are.
    """

    def __init__(self, policy: Policy) -> None:
        boosts = sorted(policy.seasonal_boosts, key=lambda boost: boost.start_at)
        multipliers = sorted({SCALE, *(boost.multiplier for boost in boosts)})
        self._tables = [
            list_pays(
                base_xp=policy.base_xp_amount,
                curve=policy.streak_curve,
                conduct=find_conduct(policy.streak_model),
                boost_multiplier=multiplier,
            )
            for multiplier in multipliers
        ]
        # Boosts never overlap, so between two edges there is one or none.
        self._edges = np.array(
            [to_microseconds(at) for boost in boosts for at in (boost.start_at, boost.end_at)],
            np.int64,
        )
        plain = multipliers.index(SCALE)
        inside = [multipliers.index(boost.multiplier) for boost in boosts]
        self._kinds = np.array([plain, *(kind for i in inside for kind in (i, plain))], np.int64)
        self._xp = np.zeros((len(self._tables), 0), np.int64)

    @property
    def xp(self) -> Ints:
        """The XP of every cell, by kind of boost and node."""
        return self._xp

    def locate(self, nodes: Ints, ats: Ints, places: Ints, known: Sequence[Node]) -> Ints:
        """Return the cells of claims that lead to `nodes`; the instant of each is `ats[place]`.

        :param known: every node that has a number
        """
        self._learn(known)
        if not len(self._edges):
            return nodes
        cells = self._kinds.take(np.searchsorted(self._edges, ats.take(places), side="right"))
        cells *= self._xp.shape[1]
        cells += nodes
        return cells

    def _learn(self, known: Sequence[Node]) -> None:
        new = known[self._xp.shape[1] :]
        if new:
            more = [[_pay(table, node) for node in new] for table in self._tables]
            self._xp = np.concatenate((self._xp, np.array(more, np.int64)), axis=1)


def _pay(table: PayTable, node: Node) -> int:
    return table.find(node.state.current_streak).xp if node.change is not None else 0
