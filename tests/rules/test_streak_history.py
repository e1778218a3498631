"""A history is one fold, wherever its beginning was put aside."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.base.clock import UTC
from emberkeep.xp.model import (
    FreezeRule,
    KeptStreak,
    Season,
    SeasonId,
    StreakActionKind,
    StreakDeed,
    StreakState,
)
from emberkeep.xp.rules.streak_history import StreakFold, is_as_folded
from tests.rules.test_streak import FIRST_DAY, make_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

POLICY = msgspec.structs.replace(
    make_policy(grace=(2, 2)), freezes=FreezeRule(max_held=3, earned_every_days=3)
)
POLICIES = {(POLICY.policy_key, 1): POLICY}
SEASONS = [
    Season(
        season_id=SeasonId("s"),
        start_date=FIRST_DAY,
        end_date=FIRST_DAY + datetime.timedelta(days=5),
    )
]

Happening = int | StreakDeed
"""A claim so many days after the one before; or a deed behind it."""


def day(offset: int) -> datetime.date:
    return FIRST_DAY + datetime.timedelta(days=offset)


deeds = st.one_of(
    st.integers(-3, 3)
    .filter(bool)
    .map(lambda n: StreakDeed(kind=StreakActionKind.FREEZES_GRANTED, freezes=n)),
    st.integers(0, 9).map(lambda n: StreakDeed(kind=StreakActionKind.REPAIRED, streak_day=n)),
    st.tuples(
        st.sampled_from([StreakActionKind.PAUSED, StreakActionKind.RESUMED]),
        st.integers(0, 20),
        st.integers(0, 5),
    ).map(lambda d: StreakDeed(kind=d[0], first_day=day(d[1]), last_day=day(d[1] + d[2]))),
)
histories = st.lists(st.one_of(st.integers(1, 4), st.integers(1, 2), deeds), max_size=25)


def replay(
    history: Sequence[Happening], opening: StreakState, *, skip_claims: int = 0
) -> list[StreakState]:
    """Fold `history` behind its first claims; return the state right behind each claim, and the last."""
    fold = StreakFold(POLICIES, SEASONS, opening=opening)
    states: list[StreakState] = []
    last, claims = 0, 0
    for happening in history:
        if isinstance(happening, StreakDeed):
            fold.act(happening, after_day_id=day(last).isoformat() if claims else None)
            continue
        last, claims = last + happening, claims + 1
        if claims <= skip_claims:
            continue
        fold.claim(
            day_id=day(last).isoformat(),
            at=datetime.datetime.combine(day(last), datetime.time(), UTC),
            policy_key=POLICY.policy_key,
            policy_version=1,
        )
        assert fold.state is not None
        states.append(fold.state)
    assert fold.state is not None
    return [*states, fold.state]


@given(history=histories)
def test_whatever_was_put_aside_the_opening_state_stands_for_it(
    history: Sequence[Happening],
) -> None:
    """Claims go first; every action may still be told."""
    *behind_claims, end = replay(history, StreakState())
    for claims, opening in enumerate(behind_claims, start=1):
        assert replay(history, opening, skip_claims=claims)[-1] == end


def test_a_history_that_cannot_be_read_has_no_end() -> None:
    at = datetime.datetime.combine(day(9), datetime.time(), UTC)
    for days, version in ((["zzz"], 1), ([day(0).isoformat()], 9), ([day(1).isoformat()] * 2, 1)):
        fold = StreakFold(POLICIES, SEASONS, opening=StreakState())
        for day_id in days:
            fold.claim(day_id=day_id, at=at, policy_key=POLICY.policy_key, policy_version=version)
        fold.act(
            StreakDeed(kind=StreakActionKind.FREEZES_GRANTED, freezes=1), after_day_id=days[-1]
        )
        assert fold.state is None


def test_a_streak_is_as_folded_only_if_all_of_it_is() -> None:
    state = StreakState(
        current_streak=3,
        longest_streak=4,
        grace_used=1,
        last_reward_day=day(0),
        model_state={"freezes": 1},
    )
    kept = KeptStreak(
        current_streak=3,
        longest_streak=4,
        grace_used=1,
        last_reward_day_id=day(0).isoformat(),
        model_state={"freezes": 1},
        action_count=7,
    )
    assert is_as_folded(kept, state)
    assert not is_as_folded(None, state)
    for wrong in (
        {"current_streak": 2},
        {"longest_streak": 5},
        {"grace_used": 0},
        {"last_reward_day_id": "zzz"},
        {"model_state": {}},
    ):
        assert not is_as_folded(msgspec.structs.replace(kept, **wrong), state)
