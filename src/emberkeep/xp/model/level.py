"""Levels: how much lifetime XP each takes, and where a player stands."""

from __future__ import annotations

from typing import Annotated

import msgspec

from emberkeep.base.errors import Invalid, NotFound
from emberkeep.xp.model.noun import Noun, PolicyKey

_Threshold = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


class LevelCurve(Noun, frozen=True, kw_only=True):
    """Where the levels of one policy begin: level 1 at 0 XP, level n + 1 at the n-th threshold."""

    policy_key: PolicyKey
    thresholds: tuple[int, ...]
    revision: int = 1


class LevelCurveWish(Noun, frozen=True, kw_only=True):
    """What a level curve is to be, and why."""

    thresholds: Annotated[tuple[_Threshold, ...], msgspec.Meta(min_length=1, max_length=1000)]
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class LevelFigures(Noun, frozen=True, kw_only=True):
    """A player's level, and how far the next one is; None where there is none above.

    `progress` is the part of the way from this level to the next that is done: a decimal.
    """

    level: int
    xp_into_level: int
    xp_to_next_level: int | None
    next_level_at: int | None
    progress: str


class LevelCurveInvalid(Invalid):
    """The thresholds of a level curve cannot be used; `errors` names each."""

    code = "xp.level_curve_invalid"


class LevelCurveUnknown(NotFound):
    """This policy has no level curve."""

    code = "xp.level_curve_unknown"
