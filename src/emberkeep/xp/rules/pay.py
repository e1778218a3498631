"""What each day of a streak pays under a policy: curve times model times boost, in whole numbers.

Pay is constant between a few days, where a curve row or a model's multiplier begins. One table of
those segments answers every claim, and the bounds that validation proves are read off the same
table, so that what is proven is what is paid.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

import msgspec

from emberkeep.xp.model import SCALE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emberkeep.xp.model import CurveRow
    from emberkeep.xp.rules.streak_models import Conduct

PPT: Final = SCALE**3
"""Parts of a product of three scaled multipliers: 1 is 10¹² of them."""


class Pay(msgspec.Struct, frozen=True, kw_only=True):
    """What the days from `first_day` to the next entry of the table pay.

    `multiplier_ppt` is the product of curve, model and boost in parts per 10¹².
    """

    first_day: int
    curve: CurveRow
    model_multiplier: int
    multiplier_ppt: int
    xp: int


class PayTable(msgspec.Struct, frozen=True, kw_only=True):
    """The pay of every day that a streak can reach, under one boost or none."""

    first_days: tuple[int, ...]
    pays: tuple[Pay, ...]

    def find(self, day: int) -> Pay:
        """Return the pay of streak day `day` ≥ 1."""
        return self.pays[bisect_right(self.first_days, day) - 1]


def list_pays(
    *, base_xp: int, curve: Sequence[CurveRow], conduct: Conduct, boost_multiplier: int = SCALE
) -> PayTable:
    """Return the pay table of a curve whose rows ascend from `day_index` 0."""
    rows = _list_used_rows(curve)
    row_days = [row.day_index + 1 for row in rows]
    model_days = [day for day, _ in conduct.multipliers]
    first_days = tuple(
        day
        for day in sorted({*row_days, *model_days})
        if conduct.last_day is None or day <= conduct.last_day
    )
    pays = tuple(
        _find_pay(
            day,
            base_xp=base_xp,
            row=rows[bisect_right(row_days, day) - 1],
            model_multiplier=conduct.multipliers[bisect_right(model_days, day) - 1][1],
            boost_multiplier=boost_multiplier,
        )
        for day in first_days
    )
    return PayTable(first_days=first_days, pays=pays)


def _list_used_rows(curve: Sequence[CurveRow]) -> Sequence[CurveRow]:
    for count, row in enumerate(curve, start=1):
        if row.cap_next_day:
            return curve[:count]
    return curve


def _find_pay(
    day: int, *, base_xp: int, row: CurveRow, model_multiplier: int, boost_multiplier: int
) -> Pay:
    product = row.multiplier * model_multiplier * boost_multiplier
    return Pay(
        first_day=day,
        curve=row,
        model_multiplier=model_multiplier,
        multiplier_ppt=product,
        xp=(2 * base_xp * product + PPT) // (2 * PPT) + row.additive_bonus_xp,
    )
