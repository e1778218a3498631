"""What an explanation says: each change of a streak, each factor, each reason not to pay."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from emberkeep.base.clock import UTC
from emberkeep.xp.model import (
    SCALE,
    Balance,
    ClaimStatus,
    DecayCurve,
    FreezeRule,
    LevelCurve,
    Milestone,
    MilestoneMetaReward,
    PlateauCap,
    PlayerId,
    PlayerState,
    Policy,
    PolicyStatus,
    PolicyVersion,
    Receipt,
    Season,
    SeasonalBoost,
    SeasonId,
    SegmentChoice,
    SegmentKey,
    SegmentReason,
    StreakState,
    TieredSeasonalReset,
    UserId,
    WeeklyCycleReset,
)
from emberkeep.xp.rules.claim import decide_payment
from emberkeep.xp.rules.explain import (
    Setting,
    explain_payment,
    explain_refusal,
    explain_setting,
)
from emberkeep.xp.rules.reward_day import find_reward_day
from tests.claiming import FIRST_DAY, LONG_AGO, at, make_policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emberkeep.xp.model import VerdictStep

SEASON = Season(
    season_id=SeasonId("s"), start_date=FIRST_DAY, end_date=FIRST_DAY + datetime.timedelta(days=4)
)
CURVE = LevelCurve(policy_key=make_policy().policy_key, thresholds=(100, 150, 900))


def _make_setting(policy: Policy, streak: StreakState, day: int, **changes: Any) -> Setting:
    made: dict[str, Any] = {
        "player": PlayerState(
            user_id=UserId(1),
            player_id=PlayerId("p"),
            reward_tz="UTC",
            created_at=LONG_AGO,
            streak=streak,
            balance=Balance(current=60, lifetime=60, seasonal=60, season_id=SeasonId("old")),
        ),
        "at": at(day),
        "version": PolicyVersion(
            policy=policy,
            policy_version=3,
            status=PolicyStatus.PUBLISHED,
            effective_at=LONG_AGO,
            created_at=LONG_AGO,
            created_by="test",
        ),
        "is_named": False,
        "choice": None,
        "switch_at": None,
        "next_version": None,
        "zone": "UTC",
        "today": find_reward_day(at=at(day), time_zone="UTC", window=policy.claim_window),
        "seasons": (),
    }
    return Setting(**(made | changes))


def _explain(setting: Setting) -> dict[str, VerdictStep]:
    payment = decide_payment(
        setting.version,
        user_id=setting.player.user_id,
        before=setting.player.streak,
        balance=setting.player.balance,
        day=setting.today.day,
        at=setting.at,
        seasons=setting.seasons,
        level_curve=CURVE,
        choice=setting.choice,
    )
    award = payment.award
    receipt = Receipt(
        status=ClaimStatus.NEW,
        player_id=setting.player.player_id,
        reward_day_id=award.reward_day,
        next_boundary_at=setting.today.next_at,
        **{
            name: getattr(award, name)
            for name in (
                "receipt_id",
                "xp_awarded",
                "streak",
                "policy_key",
                "policy_version",
                "segment",
                "milestones",
                "balance",
                "level",
                "explain",
            )
        },
    )
    steps = explain_payment(setting, receipt, level_curve=CURVE)
    return {step.step: step for step in steps}


def _streak(days: int, *, grace_used: int = 0, **model_state: object) -> StreakState:
    """Return a streak of so many days, the last of which was the first day."""
    return StreakState(
        current_streak=days,
        longest_streak=days,
        grace_used=grace_used,
        last_reward_day=FIRST_DAY,
        model_state=model_state,
    )


def _freezing(policy: Policy) -> Policy:
    return Policy(
        **{name: getattr(policy, name) for name in policy.__struct_fields__ if name != "freezes"},
        freezes=FreezeRule(max_held=5),
    )


GRACED = make_policy(grace=(3, 3))
FROZEN = _freezing(GRACED)
DECAYING = make_policy(DecayCurve(decay_percent=SCALE // 2, grace_day=3))
TIERED = make_policy(TieredSeasonalReset(tiers=()))
WEEKLY = make_policy(WeeklyCycleReset(), grace=(1, 1))
PLATEAU = make_policy(PlateauCap(plateau_day=7, plateau_multiplier=SCALE))

STREAKS: Mapping[str, tuple[Policy, StreakState, int, str, dict[str, object]]] = {
    "first": (
        GRACED,
        StreakState(),
        0,
        "It is the first claim: the streak starts at day 1.",
        {"change": "started", "before": 0, "after": 1, "last_reward_day_id": None},
    ),
    "next": (
        GRACED,
        _streak(4),
        1,
        "The day before was claimed: the streak goes on from 4 to 5.",
        {"change": "advanced", "missed_days": 0, "last_reward_day_id": "2026-03-01"},
    ),
    "plateau": (
        PLATEAU,
        _streak(7),
        1,
        "The day before was claimed: the streak goes on, and stays at 7: the model counts no"
        " further.",
        {"change": "advanced", "before": 7, "after": 7},
    ),
    "excused": (
        GRACED,
        _streak(4, excused=[["2026-03-02", "2026-03-03"]]),
        3,
        "2 days without a claim are excused: the streak goes on from 4 to 5.",
        {"change": "excused", "excused_days": 2, "missed_days": 0},
    ),
    "frozen": (
        FROZEN,
        _streak(4, freezes=3),
        3,
        "2 days missed, 2 covered by freezes: the streak goes on from 4 to 5.",
        {"change": "frozen", "frozen_days": 2, "freezes_held_before": 3, "freezes_held": 1},
    ),
    "graced": (
        GRACED,
        _streak(4, grace_used=1),
        2,
        "1 day missed, 1 covered by grace (2 of 3 used): the streak goes on from 4 to 5.",
        {"change": "graced", "graced_days": 1, "grace_used": 2, "grace_allowed": 3},
    ),
    "frozen and graced": (
        FROZEN,
        _streak(4, freezes=1),
        4,
        "3 days missed, 1 covered by freezes and 2 covered by grace (2 of 3 used): the streak goes"
        " on from 4 to 5.",
        {"change": "graced", "frozen_days": 1, "graced_days": 2},
    ),
    "decayed": (
        DECAYING,
        _streak(8),
        2,
        "1 day missed, and nothing covers that: the streak falls to 4.",
        {"change": "decayed", "after": 4, "graced_days": 0},
    ),
    "held": (
        DECAYING,
        _streak(2),
        3,
        "2 days missed, and nothing covers that: the streak holds at 2.",
        {"change": "held"},
    ),
    "restarted": (
        GRACED,
        _streak(4, grace_used=3, excused=[["2026-03-02", "2026-03-02"]]),
        3,
        "1 day missed, and 1 excused, but more than freezes and grace cover: the streak starts over"
        " at day 1.",
        {"change": "restarted", "missed_days": 1, "excused_days": 1, "grace_window_days": 3},
    ),
    "restarted for the season": (
        GRACED,
        _streak(4),
        6,
        "5 days missed, more than freezes cover, and grace never bridges a season's end: the streak"
        " starts over at day 1.",
        {"change": "restarted", "graced_days": 0},
    ),
    "season": (
        TIERED,
        _streak(4),
        5,
        "The season s ended with 2026-03-05: the streak starts over at day 1.",
        {"change": "season_reset", "model": "TieredSeasonalReset"},
    ),
    "cycle": (
        WEEKLY,
        _streak(7),
        1,
        "The cycle is complete at 7: it begins again with day 1.",
        {"change": "cycle_reset", "graced_days": 0},
    ),
    "cycle with grace": (
        WEEKLY,
        _streak(7),
        2,
        "1 day missed, 1 covered by grace (1 of 1 used); the cycle is complete at 7: it begins again"
        " with day 1.",
        {"change": "cycle_reset", "graced_days": 1},
    ),
}


@pytest.mark.parametrize(
    ("policy", "streak", "day", "says", "facts"), STREAKS.values(), ids=STREAKS.keys()
)
def test_each_change_of_a_streak_is_told(
    policy: Policy, streak: StreakState, day: int, says: str, facts: dict[str, object]
) -> None:
    step = _explain(_make_setting(policy, streak, day, seasons=(SEASON,)))["streak"]
    assert step.says == says
    assert {**step.facts, **facts} == step.facts


def test_the_factors_multiply_exactly_and_are_rounded_half_up() -> None:
    boost = SeasonalBoost(label="Spring", multiplier=15_000, start_at=LONG_AGO, end_at=at(9))
    policy = make_policy(
        PlateauCap(plateau_day=1, plateau_multiplier=12_500),
        base_xp=7,
        curve=((12_345, 9),),
        boosts=[boost],
    )
    steps = _explain(_make_setting(policy, StreakState(), 0))
    # 7 times 1.2345 times 1.25 times 1.5.
    assert steps["rounding"].facts["exact_xp"] == "16.2028125"
    assert steps["rounding"].says == (
        "7 * 1.2345 * 1.2500 * 1.5000 = 16.2028125, rounded half up to 16 XP."
    )
    assert steps["boost"].says == "The boost Spring multiplies by 1.5000."
    assert steps["bonus"].facts == {"additive_bonus_xp": 9}
    assert steps["payment"].facts == {"xp": 25}


def test_season_milestone_and_levels_are_told() -> None:
    milestones = (Milestone(day=1, reward_type="badge", reward_value="one"),)
    setting = _make_setting(
        make_policy(MilestoneMetaReward(milestones=milestones)), StreakState(), 0, seasons=(SEASON,)
    )
    steps = _explain(setting)
    assert steps["milestone"].says == "Day 1 is reached for the first time: it unlocks badge one."
    assert steps["season"].says == (
        "The day belongs to the season s, which ends with 2026-03-05."
        " The XP of old no longer count as seasonal."
    )
    assert steps["season"].facts["seasonal_xp"] == 100
    assert steps["level"].says == (
        "160 XP in all make level 3; 740 XP are left to the next."
        " Levels 2 to 3 are reached for the first time."
    )
    assert steps["level"].facts["reached"] == (2, 3)


def test_the_version_in_force_its_segment_and_the_switch_ahead_are_told() -> None:
    plain = explain_setting(
        _make_setting(GRACED, StreakState(), 0, switch_at=at(3), next_version=4)
    )
    assert [step.says for step in plain] == [
        "Version 3 of daily-login decides: it is in force since 2000-01-01T00:00:00Z.",
        "No segment has a version of its own for this player.",
        "At 2026-03-04T12:00:00Z version 4 takes over.",
        "It is the reward day 2026-03-01 in UTC: it can be claimed from 2026-03-01T00:00:00Z until"
        " 2026-03-02T00:00:00Z.",
    ]
    ending = explain_setting(_make_setting(GRACED, StreakState(), 0, switch_at=at(3)))
    assert ending[2].says == "At 2026-03-04T12:00:00Z no version is in force any more."
    choice = SegmentChoice(segment=SegmentKey("vip"), reason=SegmentReason.RULE, priority=1)
    chosen = explain_setting(_make_setting(GRACED, StreakState(), 0, choice=choice))
    assert chosen[0].says == "Version 3 of daily-login decides for the player's segment."
    assert chosen[1].says == "The player's segment vip gets version 3, whichever is in force."
    assert (chosen[1].facts["reason"], chosen[1].facts["priority"]) == ("rule", 1)
    failed = msgspec.structs.replace(choice, reason=SegmentReason.RULE_FAILED, failure="not_found")
    told = explain_setting(_make_setting(GRACED, StreakState(), 0, choice=failed))
    assert "in force" in told[0].says
    assert told[1].says == "The rule of segment vip failed, so no segment decides."
    assert told[1].facts["failure"] == "not_found"
    named = explain_setting(_make_setting(GRACED, StreakState(), 0, is_named=True))
    assert [step.step for step in named] == ["policy", "reward_day"]
    assert named[0].says == "Version 3 of daily-login decides, as it was asked for."


def test_a_refusal_says_when_to_come_back_where_that_is_known() -> None:
    back = datetime.datetime(2026, 3, 2, tzinfo=UTC)
    step = explain_refusal("cooldown", "Too soon.", come_back_at=back, hours=2)
    assert step.says == "Too soon. It pays again from 2026-03-02T00:00:00Z on."
    assert step.facts == {"reason": "cooldown", "come_back_at": "2026-03-02T00:00:00Z", "hours": 2}
    assert explain_refusal("x", "Never.", come_back_at=None).says == "Never."
