"""Which level so much lifetime XP is. Pure."""

from __future__ import annotations

from bisect import bisect_right

from emberkeep.xp.model import SCALE, LevelCurve, LevelFigures
from emberkeep.xp.rules.document import format_scaled

FIRST_LEVEL = 1


def find_level(curve: LevelCurve, lifetime_xp: int) -> int:
    """Return the level of a player who has earned `lifetime_xp` ≥ 0."""
    return FIRST_LEVEL + bisect_right(curve.thresholds, lifetime_xp)


def list_reached(curve: LevelCurve, *, highest: int, lifetime_xp: int) -> tuple[int, ...]:
    """Return the levels above `highest`, the last one announced, that `lifetime_xp` reaches."""
    return tuple(range(highest + 1, find_level(curve, lifetime_xp) + 1))


def measure_level(curve: LevelCurve, lifetime_xp: int) -> LevelFigures:
    """Return where a player who has earned `lifetime_xp` stands between two levels."""
    level = find_level(curve, lifetime_xp)
    begins_at = 0 if level == FIRST_LEVEL else curve.thresholds[level - FIRST_LEVEL - 1]
    done = lifetime_xp - begins_at
    if level > len(curve.thresholds):
        return LevelFigures(
            level=level,
            xp_into_level=done,
            xp_to_next_level=None,
            next_level_at=None,
            progress=format_scaled(SCALE, digits=4),
        )
    next_at = curve.thresholds[level - FIRST_LEVEL]
    return LevelFigures(
        level=level,
        xp_into_level=done,
        xp_to_next_level=next_at - lifetime_xp,
        next_level_at=next_at,
        # Rounded down: nobody is shown a level that is not reached.
        progress=format_scaled(done * SCALE // (next_at - begins_at), digits=4),
    )
