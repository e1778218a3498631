"""What holds for every valid policy and every history."""

from __future__ import annotations

import datetime
import json
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import assume, given
from hypothesis import strategies as st

from emberkeep.xp.model import (
    AnchorStrategy,
    ClaimWindow,
    CurveRow,
    DecayCurve,
    Grace,
    Milestone,
    MilestoneMetaReward,
    PlateauCap,
    Policy,
    PolicyInvalid,
    PolicyKey,
    Preview,
    SeasonalBoost,
    SegmentKey,
    Step,
    StreakState,
    Tier,
    TieredSeasonalReset,
    WeeklyCycleReset,
)
from emberkeep.xp.rules.policy import parse_policy, render_policy
from emberkeep.xp.rules.streak import advance

if TYPE_CHECKING:
    from collections.abc import Iterable

UTC = datetime.UTC
FIRST_DAY = datetime.date(2026, 1, 1)
NO_CAP = 10**30
MAX_AWARD_XP = 5000

texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)
instants = st.datetimes(
    datetime.datetime(2025, 12, 1),  # noqa: DTZ001
    datetime.datetime(2026, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@st.composite
def tier_lists(draw: st.DrawFn) -> tuple[Tier, ...]:
    """Draw tiers that never overlap, in any order, some of which touch."""
    days = sorted(draw(st.sets(st.integers(1, 40), max_size=8)))
    tiers = [
        Tier(start_day=start, end_day=end - 1, bonus_multiplier=draw(st.integers(1, 30_000)))
        for start, end in pairwise(days)
        if draw(st.booleans())
    ]
    return tuple(draw(st.permutations(tiers)))


@st.composite
def boost_lists(draw: st.DrawFn) -> tuple[SeasonalBoost, ...]:
    """Draw boosts that never overlap, in any order, some of which touch."""
    edges = sorted(draw(st.sets(instants, max_size=6)))
    boosts = [
        SeasonalBoost(
            label=draw(texts),
            multiplier=draw(st.integers(10_000, 25_000)),
            start_at=start,
            end_at=end,
        )
        for start, end in pairwise(edges)
        if draw(st.booleans())
    ]
    return tuple(draw(st.permutations(boosts)))


milestone_lists = st.lists(
    st.builds(Milestone, day=st.integers(1, 30), reward_type=texts, reward_value=texts),
    max_size=6,
    unique_by=lambda milestone: milestone.day,
).map(tuple)

models = st.one_of(
    st.builds(
        PlateauCap, plateau_day=st.integers(1, 40), plateau_multiplier=st.integers(1, 30_000)
    ),
    st.builds(WeeklyCycleReset),
    st.builds(DecayCurve, decay_percent=st.integers(0, 10_000), grace_day=st.integers(0, 20)),
    st.builds(TieredSeasonalReset, tiers=tier_lists()),
    st.builds(MilestoneMetaReward, milestones=milestone_lists),
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw policies with valid fields; what they pay may be out of bounds."""
    allowed_misses = draw(st.integers(0, 4))
    rows = st.tuples(st.integers(0, 30_000), st.integers(0, 300), st.booleans())
    return Policy(
        policy_key=PolicyKey(
            draw(st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,9})?", fullmatch=True))
        ),
        display_name=draw(texts),
        description=draw(st.just("") | texts),
        base_xp_amount=draw(st.integers(1, 400)),
        currency=draw(st.from_regex(r"[A-Z]{3,8}", fullmatch=True)),
        claim_window=ClaimWindow(
            start_minutes=draw(st.integers(0, 1439)),
            duration_hours=draw(st.integers(1, 24)),
            anchor_strategy=draw(st.sampled_from(AnchorStrategy)),
            min_cooldown_hours=draw(st.none() | st.integers(1, 24)),
        ),
        grace=Grace(
            allowed_misses=allowed_misses, window_days=allowed_misses + draw(st.integers(0, 3))
        ),
        streak_model=draw(models),
        streak_curve=tuple(
            CurveRow(
                day_index=index, multiplier=multiplier, additive_bonus_xp=bonus, cap_next_day=cap
            )
            for index, (multiplier, bonus, cap) in enumerate(
                draw(st.lists(rows, min_size=1, max_size=12))
            )
        ),
        seasonal_boosts=draw(boost_lists()),
        preview=Preview(
            sample_window_days=draw(st.integers(1, 366)),
            default_segment=draw(st.none() | st.just(SegmentKey("vip"))),
        ),
    )


# A claim: the days since the one before, when on that day, and whether a season ended in between.
claims = st.lists(
    st.tuples(
        st.integers(1, 3) | st.integers(1, 3) | st.integers(1, 40),
        st.integers(0, 86_399),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=60,
)


def replay(
    policy: Policy,
    history: Iterable[tuple[int, int, bool]],
    state: StreakState | None = None,
) -> list[Step]:
    state = state or StreakState()
    steps: list[Step] = []
    for gap_days, second, has_season_ended in history:
        day = (state.last_reward_day or FIRST_DAY) + datetime.timedelta(days=gap_days)
        at = datetime.datetime.combine(day, datetime.time(tzinfo=UTC))
        at += datetime.timedelta(seconds=second)
        step = advance(policy, state, day=day, at=at, has_season_ended=has_season_ended)
        steps.append(step)
        state = step.state
    return steps


def is_valid(policy: Policy, max_award_xp: int) -> bool:
    try:
        parse_policy(render_policy(policy), max_award_xp=max_award_xp)
    except PolicyInvalid:
        return False
    return True


@given(policies())
def test_a_rendered_policy_is_read_back_as_the_same_policy(policy: Policy) -> None:
    # A bonus of 1 on every row keeps it valid whatever its multipliers are.
    document = render_policy(policy)
    for row in document["streak_curve"]:  # type: ignore[attr-defined]
        row["additive_bonus_xp"] += 1
    read = parse_policy(document, max_award_xp=NO_CAP)
    assert render_policy(read) == document
    assert parse_policy(json.dumps(document), max_award_xp=NO_CAP) == read


@given(policies(), claims)
def test_no_claim_under_a_valid_policy_pays_less_than_1_or_more_than_the_cap(
    policy: Policy, history: list[tuple[int, int, bool]]
) -> None:
    assume(is_valid(policy, MAX_AWARD_XP))
    assert all(1 <= step.xp_awarded <= MAX_AWARD_XP for step in replay(policy, history))


@given(policies(), st.integers(0, 60), st.integers(0, 60), claims)
def test_nor_does_one_of_a_streak_that_another_policy_left(
    policy: Policy,
    streak: int,
    grace_used: int,
    history: list[tuple[int, int, bool]],
) -> None:
    assume(is_valid(policy, MAX_AWARD_XP))
    state = StreakState(
        current_streak=streak,
        longest_streak=streak,
        grace_used=grace_used,
        last_reward_day=FIRST_DAY,
    )
    steps = replay(policy, history, state)
    assert all(1 <= step.xp_awarded <= MAX_AWARD_XP for step in steps)
    assert all(step.effective_day >= 1 for step in steps)


@given(policies())
def test_the_bounds_that_are_proven_are_reached(policy: Policy) -> None:
    # A hundred days in a row under each boost visit every row, tier and plateau that there is.
    moments = [boost.start_at for boost in policy.seasonal_boosts]
    moments.append(datetime.datetime(2020, 1, 1, tzinfo=UTC))
    paid: set[int] = set()
    for moment in moments:
        state = StreakState()
        for offset in range(100):
            day = FIRST_DAY + datetime.timedelta(days=offset)
            step = advance(policy, state, day=day, at=moment, has_season_ended=False)
            paid.add(step.xp_awarded)
            state = step.state
    assert is_valid(policy, max(paid)) == (min(paid) >= 1)
    assert not is_valid(policy, max(paid) - 1)


@given(policies(), claims, st.data())
def test_a_history_replayed_in_pieces_is_the_history_replayed_at_once(
    policy: Policy, history: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(history)))
    first = replay(policy, history[:cut])
    second = replay(policy, history[cut:], first[-1].state if first else None)
    assert first + second == replay(policy, history)


@given(policies(), claims)
def test_a_streak_stays_within_what_it_can_be(
    policy: Policy, history: list[tuple[int, int, bool]]
) -> None:
    steps = replay(policy, history)
    longest = 0
    for step in steps:
        longest = max(longest, step.effective_day)
        assert 1 <= step.state.current_streak == step.effective_day <= step.state.longest_streak
        assert step.state.longest_streak == longest
        assert 0 <= step.state.grace_used <= policy.grace.allowed_misses


@given(policies(), claims)
def test_a_milestone_is_unlocked_once_and_on_its_day(
    policy: Policy, history: list[tuple[int, int, bool]]
) -> None:
    steps = replay(policy, history)
    unlocked = [
        (milestone.day, step.effective_day) for step in steps for milestone in step.milestones
    ]
    assert all(day == effective_day for day, effective_day in unlocked)
    days = [day for day, _ in unlocked]
    assert len(days) == len(set(days))
    if steps and days:
        kept = steps[-1].state.model_state["milestones"]
        assert kept == {policy.policy_key: sorted(days)}
