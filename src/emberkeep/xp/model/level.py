"""Levels: how much lifetime XP each takes, and where a player stands."""

from __future__ import annotations

from emberkeep.xp.model.noun import Noun, PolicyKey


class LevelCurve(Noun, frozen=True, kw_only=True):
    """Where the levels of one policy begin: level 1 at 0 XP, level n + 1 at the n-th threshold."""

    policy_key: PolicyKey
    thresholds: tuple[int, ...]
    revision: int = 1


class LevelFigures(Noun, frozen=True, kw_only=True):
    """A player's level, and how far the next one is; None where there is none above.

    `progress` is the part of the way from this level to the next that is done: a decimal.
    """

    level: int
    xp_into_level: int
    xp_to_next_level: int | None
    next_level_at: int | None
    progress: str
