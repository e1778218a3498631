"""Which level so much lifetime XP is, and what a level curve may be. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    SCALE,
    LevelCurve,
    LevelCurveInvalid,
    LevelCurveWish,
    LevelFigures,
)
from emberkeep.xp.rules import document
from emberkeep.xp.rules.document import Reader, format_scaled
from emberkeep.xp.rules.reason import list_reason_errors

FIRST_LEVEL: Final = 1


def parse_curve(text: bytes) -> LevelCurveWish:
    """Return the level curve that a JSON document describes.

    :raises LevelCurveInvalid: with everything that is wrong, each at its JSON path
    """
    try:
        given = document.decode(text)
    except document.NotJson as e:
        message = f"is not JSON: {e}"
        error = FieldError(document.ROOT, message)
        raise LevelCurveInvalid(f"the level curve {message}", (error,)) from e
    reader = Reader(hooks={}, checks={LevelCurveWish: _check_order})
    wish = reader.read_noun(LevelCurveWish, given, document.ROOT)
    if reader.errors:
        raise LevelCurveInvalid("the level curve cannot be used", reader.errors)
    assert isinstance(wish, LevelCurveWish)
    return wish


def check_reason(reason: str) -> None:
    """Let the reason of a step pass.

    :raises LevelCurveInvalid: if it cannot be kept
    """
    errors = tuple(list_reason_errors(reason))
    if errors:
        raise LevelCurveInvalid("the reason cannot be kept", errors)


def _check_order(wish: Any, path: str) -> Iterator[FieldError]:
    thresholds: Sequence[object] = wish.thresholds or ()
    for index, (before, after) in enumerate(pairwise(thresholds), start=1):
        # What could not be read at all has its own error.
        if isinstance(before, int) and isinstance(after, int) and after <= before:
            place = f"{document.join(path, 'thresholds')}[{index}]"
            yield FieldError(place, f"must be more than {before}, the threshold before it")


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
