"""How large a part of everybody is, from a part of a sample. Pure."""

from __future__ import annotations

import math
from typing import Final

from emberkeep.xp.model import Noun

_Z: Final = 1.959964
"""Of the normal distribution, 95 % lie within so many standard deviations."""


class Size(Noun, frozen=True, kw_only=True):
    """How many of `players` there are of a kind: `matched` of those `sampled` are."""

    players: int
    sampled: int
    matched: int
    estimate: int
    low: int
    high: int
    is_exact: bool


def estimate_size(*, players: int, sampled: int, matched: int) -> Size:
    """Return the estimate and its bounds: Wilson's interval, cut to what is known for certain.

    Wilson (1927); it keeps its promise where none or all of a sample matched. The sample is without
    replacement, so what it saw is there, and what it saw not to match cannot be.
    """
    if sampled >= players:
        return Size(
            players=players,
            sampled=sampled,
            matched=matched,
            estimate=matched,
            low=matched,
            high=matched,
            is_exact=True,
        )
    share = matched / sampled if sampled else 0.5
    centre, spread = _find_interval(share, sampled)
    certain_high = players - (sampled - matched)
    return Size(
        players=players,
        sampled=sampled,
        matched=matched,
        estimate=round(share * players),
        low=max(matched, math.floor((centre - spread) * players)),
        high=min(certain_high, math.ceil((centre + spread) * players)),
        is_exact=False,
    )


def _find_interval(share: float, sampled: int) -> tuple[float, float]:
    if not sampled:
        return 0.5, 0.5
    weight = 1 + _Z * _Z / sampled
    centre = (share + _Z * _Z / (2 * sampled)) / weight
    spread = _Z * math.sqrt(share * (1 - share) / sampled + (_Z / (2 * sampled)) ** 2) / weight
    return centre, spread
