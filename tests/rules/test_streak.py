"""A streak is a fold over reward days; each row is one history under one policy."""

from __future__ import annotations

import copy
import datetime
import time
from typing import TYPE_CHECKING, Any

import pytest

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
    PolicyKey,
    Season,
    SeasonalBoost,
    SeasonId,
    Step,
    StreakChange,
    StreakModel,
    StreakState,
    Tier,
    TieredSeasonalReset,
    WeeklyCycleReset,
)
from emberkeep.xp.rules import streak, streak_models

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UTC = datetime.UTC
FIRST_DAY = datetime.date(2026, 3, 1)
NOON = datetime.time(12, tzinfo=UTC)

# A plain count: nothing to unlock, nothing to multiply.
PLAIN = MilestoneMetaReward(milestones=())


def make_policy(
    model: StreakModel = PLAIN,
    *,
    grace: tuple[int, int] = (0, 0),
    base_xp: int = 100,
    curve: Sequence[CurveRow] = (CurveRow(day_index=0, multiplier=10_000, additive_bonus_xp=0),),
    boosts: Sequence[SeasonalBoost] = (),
    key: str = "daily-login",
) -> Policy:
    return Policy(
        policy_key=PolicyKey(key),
        display_name="Daily login",
        base_xp_amount=base_xp,
        currency="XP",
        claim_window=ClaimWindow(
            start_minutes=0, duration_hours=24, anchor_strategy=AnchorStrategy.FIXED_UTC
        ),
        grace=Grace(allowed_misses=grace[0], window_days=grace[1]),
        streak_model=model,
        streak_curve=tuple(curve),
        seasonal_boosts=tuple(boosts),
    )


def replay(
    policy: Policy,
    days: Iterable[int],
    *,
    state: StreakState | None = None,
    season_ends: Iterable[int] = (),
) -> list[Step]:
    """Return the steps of claims at noon on these days after `FIRST_DAY`."""
    state = state or StreakState()
    seasons = [
        Season(
            season_id=SeasonId(f"s{end}"),
            start_date=FIRST_DAY - datetime.timedelta(days=400),
            end_date=FIRST_DAY + datetime.timedelta(days=end),
        )
        for end in season_ends
    ]
    steps: list[Step] = []
    for offset in days:
        day = FIRST_DAY + datetime.timedelta(days=offset)
        step = streak.advance(
            policy,
            state,
            day=day,
            at=datetime.datetime.combine(day, NOON),
            has_season_ended=streak.has_season_ended(seasons, state.last_reward_day, day),
        )
        steps.append(step)
        state = step.state
    return steps


def effective_days(steps: Iterable[Step]) -> list[int]:
    return [step.effective_day for step in steps]


def make_rows(*rows: tuple[int, int, bool]) -> tuple[CurveRow, ...]:
    """Return rows of (scaled multiplier, bonus, cap) from day_index 0."""
    return tuple(
        CurveRow(day_index=index, multiplier=m, additive_bonus_xp=bonus, cap_next_day=cap)
        for index, (m, bonus, cap) in enumerate(rows)
    )


def make_boost(multiplier: int, start: str, end: str) -> SeasonalBoost:
    return SeasonalBoost(
        label="Spring",
        multiplier=multiplier,
        start_at=datetime.datetime.fromisoformat(start),
        end_at=datetime.datetime.fromisoformat(end),
    )


@pytest.mark.parametrize(
    ("days", "grace", "expected"),
    [
        pytest.param([0], (0, 0), [1], id="the first claim is day 1"),
        pytest.param([0, 1, 2], (0, 0), [1, 2, 3], id="each day in a row adds one"),
        pytest.param([0, 1, 3], (0, 0), [1, 2, 1], id="without grace one missed day starts over"),
        pytest.param([0, 1, 3, 4], (1, 1), [1, 2, 3, 4], id="grace bridges a miss and adds one"),
        pytest.param([0, 2, 4], (1, 1), [1, 2, 1], id="grace forgives no more than it says"),
        pytest.param([0, 2, 4, 6], (1, 1), [1, 2, 1, 2], id="a restart gives grace back"),
        pytest.param([0, 3], (2, 2), [1, 2], id="two misses at once fit a window of two"),
        pytest.param([0, 3], (1, 2), [1, 1], id="a window does not allow more misses"),
        pytest.param([0, 4], (2, 3), [1, 1], id="three misses do not fit two that are allowed"),
        pytest.param([0, 4], (3, 3), [1, 2], id="three fit three"),
        pytest.param([0, 2, 4, 6], (3, 3), [1, 2, 3, 4], id="misses add up over a streak"),
        pytest.param([0, 2, 4, 6, 8], (3, 3), [1, 2, 3, 4, 1], id="and the fourth is too many"),
        pytest.param([0, 3_649_000 // 2], (5, 5), [1, 1], id="five thousand years start over"),
    ],
)
def test_streak_after_a_history(
    days: list[int], grace: tuple[int, int], expected: list[int]
) -> None:
    assert effective_days(replay(make_policy(grace=grace), days)) == expected


@pytest.mark.parametrize(
    ("days", "grace", "used"),
    [
        pytest.param([0, 1, 2], (2, 2), [0, 0, 0], id="no miss, no grace"),
        pytest.param([0, 2, 3, 5], (2, 2), [0, 1, 1, 2], id="each forgiven day is counted"),
        pytest.param([0, 3], (2, 2), [0, 2], id="both days of one gap"),
        pytest.param([0, 2, 5], (2, 2), [0, 1, 0], id="a restart sets it to nothing"),
    ],
)
def test_grace_used_after_a_history(
    days: list[int], grace: tuple[int, int], used: list[int]
) -> None:
    steps = replay(make_policy(grace=grace), days)
    assert [step.state.grace_used for step in steps] == used


def test_grace_is_named_only_on_the_day_it_bridges() -> None:
    steps = replay(make_policy(grace=(1, 1)), [0, 2, 3])
    assert [step.grace_applied for step in steps] == [False, True, False]


@pytest.mark.parametrize(
    ("model", "days", "expected"),
    [
        pytest.param(PlateauCap(plateau_day=3, plateau_multiplier=15_000), [0, 1, 2, 3, 4], [1, 2, 3, 3, 3], id="a plateau ends the count"),
        pytest.param(PlateauCap(plateau_day=1, plateau_multiplier=15_000), [0, 1], [1, 1], id="a plateau on day 1 never counts"),
        pytest.param(PlateauCap(plateau_day=3, plateau_multiplier=15_000), [0, 1, 2, 3, 5], [1, 2, 3, 3, 1], id="a miss leaves the plateau"),
        pytest.param(WeeklyCycleReset(), range(9), [1, 2, 3, 4, 5, 6, 7, 1, 2], id="the eighth day of a week is the first"),
        pytest.param(WeeklyCycleReset(), [0, 1, 2, 4], [1, 2, 3, 1], id="a miss starts a week over"),
        pytest.param(DecayCurve(decay_percent=5_000, grace_day=0), [0, 1, 2, 3, 4, 6], [1, 2, 3, 4, 5, 2], id="half of five is two"),
        pytest.param(DecayCurve(decay_percent=5_000, grace_day=0), [*range(10), 12], [*range(1, 11), 2], id="two misses: ten, five, two"),
        pytest.param(DecayCurve(decay_percent=5_000, grace_day=0), [*range(10), 12, 13], [*range(1, 11), 2, 3], id="and on from there"),
        pytest.param(DecayCurve(decay_percent=1_000, grace_day=0), [*range(10), 11], [*range(1, 11), 9], id="a tenth of ten is one"),
        pytest.param(DecayCurve(decay_percent=10_000, grace_day=0), [0, 1, 2, 4], [1, 2, 3, 1], id="all of it leaves one"),
        pytest.param(DecayCurve(decay_percent=0, grace_day=0), [0, 1, 2, 9], [1, 2, 3, 3], id="nothing of it leaves all"),
        pytest.param(DecayCurve(decay_percent=1, grace_day=0), [0, 1, 2, 4], [1, 2, 3, 2], id="the least of decays takes a day"),
        pytest.param(DecayCurve(decay_percent=5_000, grace_day=3), [0, 1, 2, 90], [1, 2, 3, 3], id="up to its grace day a streak stays"),
        pytest.param(DecayCurve(decay_percent=5_000, grace_day=3), [0, 1, 2, 3, 5], [1, 2, 3, 4, 2], id="beyond it, it decays"),
        pytest.param(DecayCurve(decay_percent=5_000, grace_day=3), [*range(8), 10], [*range(1, 9), 2], id="a miss that begins beyond it ends below it"),
        pytest.param(DecayCurve(decay_percent=5_000, grace_day=4), [*range(8), 11], [*range(1, 9), 4], id="while it is at its grace day, more misses cost nothing"),
    ],
)  # fmt: skip
def test_each_model_counts_in_its_own_way(
    model: StreakModel, days: Iterable[int], expected: list[int]
) -> None:
    assert effective_days(replay(make_policy(model), days)) == expected


def test_grace_that_carries_a_streak_into_the_next_cycle_is_named() -> None:
    last = replay(make_policy(WeeklyCycleReset(), grace=(1, 1)), [*range(7), 8])[-1]
    assert last.change is StreakChange.CYCLE_RESET
    assert (last.effective_day, last.state.grace_used) == (1, 1)
    assert last.grace_applied


def test_grace_comes_before_any_model() -> None:
    policy = make_policy(DecayCurve(decay_percent=5_000, grace_day=0), grace=(1, 1))
    steps = replay(policy, [0, 1, 2, 3, 5, 7])
    assert effective_days(steps) == [1, 2, 3, 4, 5, 2]
    # A decay is no restart: the grace that was used stays used.
    assert steps[-1].state.grace_used == 1


@pytest.mark.parametrize(
    ("model", "days", "season_ends", "expected"),
    [
        pytest.param(TieredSeasonalReset(tiers=()), [0, 1, 2], [1], [1, 2, 1], id="the first day of a season is day 1"),
        pytest.param(TieredSeasonalReset(tiers=()), [0, 1, 2], [2], [1, 2, 3], id="a season's last day belongs to it"),
        pytest.param(TieredSeasonalReset(tiers=()), [0, 1, 2, 3], [0, 2], [1, 1, 2, 1], id="every season's end counts"),
        pytest.param(TieredSeasonalReset(tiers=()), [5, 6], [1], [1, 2], id="an end before the first claim does not"),
        pytest.param(PLAIN, [0, 1, 2], [1], [1, 2, 3], id="no other model knows of seasons"),
        pytest.param(PLAIN, [0, 1, 3], [1], [1, 2, 1], id="but grace never bridges a season's end"),
        pytest.param(PLAIN, [0, 1, 3], [2], [1, 2, 1], id="nor one on the missed day"),
        pytest.param(PLAIN, [0, 1, 3], [3], [1, 2, 3], id="it bridges misses in a season that ends later"),
        pytest.param(TieredSeasonalReset(tiers=()), [0, 1, 3], [1], [1, 2, 1], id="a miss over a season's end starts over as well"),
        pytest.param(DecayCurve(decay_percent=5_000, grace_day=0), [0, 1, 2, 3, 5], [3], [1, 2, 3, 4, 2], id="a decay over a season's end is a decay"),
    ],
)  # fmt: skip
def test_a_season_ends_what_it_should(
    model: StreakModel, days: list[int], season_ends: list[int], expected: list[int]
) -> None:
    policy = make_policy(model, grace=(2, 2))
    assert effective_days(replay(policy, days, season_ends=season_ends)) == expected


def test_a_season_reset_gives_grace_back_and_keeps_what_was_unlocked_in_life() -> None:
    unlocked = {"milestones": {"daily-login": [7]}, "anything": "of the season"}
    state = StreakState(
        current_streak=9,
        longest_streak=9,
        grace_used=2,
        last_reward_day=FIRST_DAY,
        model_state=unlocked,
    )
    (step,) = replay(make_policy(TieredSeasonalReset(tiers=())), [1], state=state, season_ends=[0])
    assert step.state.grace_used == 0
    assert step.state.longest_streak == 9
    assert step.state.model_state == {"milestones": {"daily-login": [7]}}


@pytest.mark.parametrize(
    ("model", "days", "season_ends", "change"),
    [
        pytest.param(PLAIN, [0], [], StreakChange.STARTED, id="started"),
        pytest.param(PLAIN, [0, 1], [], StreakChange.ADVANCED, id="advanced"),
        pytest.param(PLAIN, [0, 2], [], StreakChange.GRACED, id="graced"),
        pytest.param(PLAIN, [0, 3], [], StreakChange.RESTARTED, id="restarted"),
        pytest.param(DecayCurve(decay_percent=5_000, grace_day=1), [0, 1, 5], [], StreakChange.DECAYED, id="decayed"),
        pytest.param(DecayCurve(decay_percent=5_000, grace_day=1), [0, 5], [], StreakChange.HELD, id="held"),
        pytest.param(TieredSeasonalReset(tiers=()), [0, 1], [0], StreakChange.SEASON_RESET, id="season reset"),
        pytest.param(WeeklyCycleReset(), range(8), [], StreakChange.CYCLE_RESET, id="cycle reset"),
        pytest.param(PlateauCap(plateau_day=1, plateau_multiplier=1), [0, 1], [], StreakChange.ADVANCED, id="a plateau is still an advance"),
    ],
)  # fmt: skip
def test_a_step_says_what_happened(
    model: StreakModel, days: Iterable[int], season_ends: list[int], change: StreakChange
) -> None:
    assert replay(make_policy(model, grace=(1, 1)), days, season_ends=season_ends)[-1].change is (
        change
    )


def test_a_milestone_is_unlocked_on_its_day_and_once_in_life() -> None:
    second = Milestone(day=2, reward_type="badge", reward_value="regular")
    policy = make_policy(MilestoneMetaReward(milestones=(second,)))
    steps = replay(policy, [0, 1, 2, 4, 5])
    assert effective_days(steps) == [1, 2, 3, 1, 2]
    assert [step.milestones for step in steps] == [(), (second,), (), (), ()]
    assert steps[-1].state.model_state == {"milestones": {"daily-login": [2]}}


def test_a_milestone_is_remembered_per_policy_key_and_in_order() -> None:
    first, third = (Milestone(day=day, reward_type="badge", reward_value="x") for day in (1, 3))
    steps = replay(make_policy(MilestoneMetaReward(milestones=(third,))), [0, 1, 2])
    # A later version of the policy adds a milestone on a day that the next streak reaches first.
    model = MilestoneMetaReward(milestones=(third, first))
    steps = replay(make_policy(model), [5], state=steps[-1].state)
    (other,) = replay(make_policy(model, key="other"), [9], state=steps[-1].state)
    assert other.milestones == (first,)
    assert other.state.model_state == {"milestones": {"daily-login": [1, 3], "other": [1]}}


def test_a_milestone_that_was_passed_by_another_policy_is_not_unlocked() -> None:
    state = StreakState(current_streak=9, longest_streak=9, last_reward_day=FIRST_DAY)
    second = Milestone(day=2, reward_type="badge", reward_value="x")
    (step,) = replay(make_policy(MilestoneMetaReward(milestones=(second,))), [1], state=state)
    assert (step.effective_day, step.milestones) == (10, ())


@pytest.mark.parametrize(
    ("curve", "days", "xp"),
    [
        pytest.param(make_rows((10_000, 0, False), (20_000, 5, False)), 3, [100, 205, 205], id="the last row holds on"),
        pytest.param(make_rows((10_000, 0, False), (15_000, 1, True), (90_000, 0, False)), 4, [100, 151, 151, 151], id="a cap is the last row that is used"),
        pytest.param(make_rows((10_000, 0, True), (90_000, 0, True)), 3, [100, 100, 100], id="the first of two caps"),
        pytest.param(make_rows((0, 7, False)), 2, [7, 7], id="nothing but the bonus"),
    ],
)  # fmt: skip
def test_the_curve_row_of_a_day_decides_its_pay(
    curve: tuple[CurveRow, ...], days: int, xp: list[int]
) -> None:
    assert [step.xp_awarded for step in replay(make_policy(curve=curve), range(days))] == xp


@pytest.mark.parametrize(
    ("model", "multipliers"),
    [
        pytest.param(PlateauCap(plateau_day=3, plateau_multiplier=15_000), [1, 1, 1.5, 1.5], id="from the plateau on"),
        pytest.param(PlateauCap(plateau_day=1, plateau_multiplier=15_000), [1.5, 1.5, 1.5, 1.5], id="from the first day on"),
        pytest.param(TieredSeasonalReset(tiers=(Tier(start_day=2, end_day=3, bonus_multiplier=20_000),)), [1, 2, 2, 1], id="inside a tier"),
        pytest.param(TieredSeasonalReset(tiers=(Tier(start_day=3, end_day=9, bonus_multiplier=30_000), Tier(start_day=1, end_day=2, bonus_multiplier=20_000))), [2, 2, 3, 3], id="tiers that touch, in any order"),
        pytest.param(TieredSeasonalReset(tiers=(Tier(start_day=2, end_day=2, bonus_multiplier=5_000),)), [1, 0.5, 1, 1], id="a tier of one day may take away"),
        pytest.param(WeeklyCycleReset(), [1, 1, 1, 1], id="a week multiplies nothing"),
    ],
)  # fmt: skip
def test_the_model_multiplies_the_days_it_says(
    model: StreakModel, multipliers: list[float]
) -> None:
    steps = replay(make_policy(model), range(4))
    assert [step.model_multiplier for step in steps] == [int(m * 10_000) for m in multipliers]
    assert [step.xp_awarded for step in steps] == [int(m * 100) for m in multipliers]


@pytest.mark.parametrize(
    ("base_xp", "multiplier", "xp"),
    [
        pytest.param(5, 15_000, 8, id="seven and a half is eight"),
        pytest.param(3, 15_000, 5, id="four and a half is five, not the even four"),
        pytest.param(1, 14_999, 1, id="just below a half is less"),
        pytest.param(2_147_483_647, 99_999_999, 21_474_836_255_252, id="the largest there is"),
    ],
)
def test_xp_is_rounded_half_up_and_exact(base_xp: int, multiplier: int, xp: int) -> None:
    policy = make_policy(base_xp=base_xp, curve=make_rows((multiplier, 0, False)))
    assert replay(policy, [0])[0].xp_awarded == xp


def test_the_bonus_is_added_after_rounding_and_is_not_multiplied() -> None:
    boost = make_boost(20_000, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
    policy = make_policy(base_xp=5, curve=make_rows((15_000, 3, False)), boosts=[boost])
    assert replay(policy, [0])[0].xp_awarded == 5 * 3 + 3


@pytest.mark.parametrize(
    ("start", "end", "is_boosted"),
    [
        pytest.param("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z", True, id="from its start"),
        pytest.param("2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z", False, id="not at its end"),
        pytest.param("2026-03-01T11:00:00Z", "2026-03-01T12:00:00.000001Z", True, id="before it"),
        pytest.param("2026-03-01T12:00:00.000001Z", "2026-03-02T00:00:00Z", False, id="too early"),
    ],
)
def test_a_boost_holds_from_its_start_up_to_but_not_at_its_end(
    start: str, end: str, is_boosted: bool
) -> None:
    others = [
        make_boost(30_000, "2026-04-01T00:00:00Z", "2026-04-02T00:00:00Z"),
        make_boost(40_000, "2025-04-01T00:00:00Z", "2025-04-02T00:00:00Z"),
    ]
    boost = make_boost(20_000, start, end)
    (step,) = replay(make_policy(boosts=[others[0], boost, others[1]]), [0])
    assert step.boost == (boost if is_boosted else None)
    assert step.xp_awarded == (200 if is_boosted else 100)


def test_the_multiplier_is_the_exact_product_of_all_three() -> None:
    boost = make_boost(10_001, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
    model = PlateauCap(plateau_day=1, plateau_multiplier=10_003)
    policy = make_policy(model, curve=make_rows((10_007, 0, False)), boosts=[boost])
    assert replay(policy, [0])[0].multiplier_ppt == 10_001 * 10_003 * 10_007


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(PlateauCap(plateau_day=7, plateau_multiplier=10_000), 7, id="a plateau"),
        pytest.param(WeeklyCycleReset(), 1, id="a week"),
        pytest.param(PLAIN, 31, id="a plain count"),
    ],
)
def test_a_streak_from_another_policy_is_brought_within_the_model(
    model: StreakModel, expected: int
) -> None:
    state = StreakState(current_streak=30, longest_streak=40, last_reward_day=FIRST_DAY)
    (step,) = replay(make_policy(model), [1], state=state)
    assert (step.effective_day, step.state.longest_streak) == (expected, 40)


def test_ten_thousand_missed_years_take_no_time() -> None:
    policy = make_policy(DecayCurve(decay_percent=1, grace_day=0))
    state = StreakState(
        current_streak=5000, longest_streak=5000, last_reward_day=datetime.date(1, 1, 1)
    )
    started_at = time.perf_counter()
    step = streak.advance(
        policy,
        state,
        day=datetime.date(9999, 12, 31),
        at=datetime.datetime(9999, 12, 31, tzinfo=UTC),
        has_season_ended=False,
    )
    assert time.perf_counter() - started_at < 0.1
    assert step.effective_day == 1


@pytest.mark.parametrize("offset", [0, -1])
def test_a_day_that_is_not_later_is_a_mistake_of_the_caller(offset: int) -> None:
    state = StreakState(current_streak=1, longest_streak=1, last_reward_day=FIRST_DAY)
    with pytest.raises(AssertionError):
        replay(make_policy(), [offset], state=state)


def test_what_is_given_is_never_changed() -> None:
    milestones = tuple(Milestone(day=d, reward_type="x", reward_value="y") for d in (1, 2))
    policy = make_policy(MilestoneMetaReward(milestones=milestones))
    model_state: dict[str, Any] = {"milestones": {"daily-login": [1], "other": [3]}}
    state = StreakState(
        current_streak=1, longest_streak=1, last_reward_day=FIRST_DAY, model_state=model_state
    )
    before = copy.deepcopy(model_state)
    assert replay(policy, [1], state=state) == replay(policy, [1], state=state)
    assert model_state == before


def test_every_model_of_the_package_is_registered() -> None:
    assert set(streak_models.parameter_types().values()) == set(StreakModel.__subclasses__())
