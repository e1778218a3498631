"""A level begins at its threshold, not a point earlier, and each is reached once."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.xp.model import LevelCurve, PolicyKey
from emberkeep.xp.rules.level import find_level, list_reached, measure_level

CURVE = LevelCurve(policy_key=PolicyKey("daily-login"), thresholds=(100, 250, 500))

# lifetime XP, and level, XP into it, XP to the next, where that begins, and the progress
STANDINGS = [
    (0, (1, 0, 100, 100, "0.0000")),
    (99, (1, 99, 1, 100, "0.9900")),
    (100, (2, 0, 150, 250, "0.0000")),
    (249, (2, 149, 1, 250, "0.9933")),
    (250, (3, 0, 250, 500, "0.0000")),
    (499, (3, 249, 1, 500, "0.9960")),
    (500, (4, 0, None, None, "1.0000")),
    (9_999, (4, 9_499, None, None, "1.0000")),
]


@pytest.mark.parametrize(("lifetime_xp", "expected"), STANDINGS)
def test_a_player_stands_between_two_levels(lifetime_xp: int, expected: tuple[object, ...]) -> None:
    assert msgspec.structs.astuple(measure_level(CURVE, lifetime_xp)) == expected


@given(st.lists(st.integers(0, 700), max_size=20))
def test_every_level_is_reached_once_whatever_comes_and_goes(lifetimes: list[int]) -> None:
    highest, told = 1, []
    for lifetime_xp in lifetimes:
        reached = list_reached(CURVE, highest=highest, lifetime_xp=lifetime_xp)
        told += reached
        highest = max([highest, *reached])
    assert told == list(range(2, max([1, *(find_level(CURVE, xp) for xp in lifetimes)]) + 1))
