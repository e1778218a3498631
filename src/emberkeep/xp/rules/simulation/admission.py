"""Which visits of many players are paid: those that the claim path would not refuse, in its order."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

from emberkeep.xp.model import ClaimWindow, Refusals
from emberkeep.xp.rules.simulation.claims import Claims, Ints
from emberkeep.xp.rules.simulation.turns import Buffers, lay_out

_HOUR: Final = datetime.timedelta(hours=1) // datetime.timedelta(microseconds=1)
_LONG_AGO: Final = -(2**62)


@dataclasses.dataclass(slots=True)
class _Last:
    """The day and the instant of each player's last paid visit."""

    days: Ints
    ats: Ints


def admit_visits(
    visits: Claims, is_open: npt.NDArray[np.bool_], window: ClaimWindow
) -> tuple[Claims, Refusals]:
    """Return the visits that are paid, and why others are not.

    :param visits: in the order in which each player makes them; their days may fall
    :param is_open: whether the claim window of the visit's day holds the visit
    """
    starts, _, places = lay_out(visits.offsets, Buffers())
    last = _Last(
        days=np.full(visits.players, _LONG_AGO, np.int64),
        ats=np.full(visits.players, _LONG_AGO, np.int64),
    )
    is_paid = np.zeros(visits.count, np.bool_)
    passed = closed = cooling = 0
    for start, end in itertools.pairwise(starts):
        turn = places[start:end]
        days, ats = visits.days[turn].astype(np.int64), visits.ats[turn]
        size = end - start
        is_new = days > last.days[:size]
        is_claimable = is_new & is_open[turn]
        is_rested = ats >= last.ats[:size] + (window.min_cooldown_hours or 0) * _HOUR
        if window.min_cooldown_hours is None:
            is_rested[:] = True
        paid = is_claimable & is_rested
        last.days[:size] = np.where(paid, days, last.days[:size])
        last.ats[:size] = np.where(paid, ats, last.ats[:size])
        is_paid[turn] = paid
        passed += size - int(np.count_nonzero(is_new))
        closed += int(np.count_nonzero(is_new)) - int(np.count_nonzero(is_claimable))
        cooling += int(np.count_nonzero(is_claimable)) - int(np.count_nonzero(paid))
    refused = Refusals(window_closed=closed, cooldown=cooling, day_passed=passed)
    return visits.keep(is_paid), refused
