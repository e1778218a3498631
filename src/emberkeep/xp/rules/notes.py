"""What is worth saying about a claim beside its figures, in a few words each. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final, cast

from emberkeep.xp.model import (
    Explanation,
    Policy,
    PolicyKey,
    Season,
    StreakChange,
    StreakState,
)
from emberkeep.xp.rules.catalogue import find_season
from emberkeep.xp.rules.streak_models import find_conduct

_MILESTONES: Final = "milestones"
_KEPT: Final = frozenset({StreakChange.GRACED, StreakChange.FROZEN, StreakChange.CYCLE_RESET})
_STREAK_NOTES: Final[Mapping[StreakChange, str]] = {
    StreakChange.STARTED: "streak starts",
    StreakChange.DECAYED: "streak decays",
    StreakChange.HELD: "streak holds",
    StreakChange.RESTARTED: "streak restarts",
    StreakChange.SEASON_RESET: "season reset",
    StreakChange.CYCLE_RESET: "cycle begins again",
}


def list_notes(
    policy: Policy,
    explain: Explanation,
    *,
    day: datetime.date,
    streak_day: int,
    seasons: Sequence[Season],
    unlocked: Set[int],
) -> tuple[str, ...]:
    """Return the notes on a claim of `day` that makes the streak `streak_day`.

    :param unlocked: the milestone days of this policy that the player has reached, this one included
    """
    return (
        f"curve row {explain.curve_day_index}",
        *_note_streak(explain),
        *_note_boost(explain),
        *_note_season(policy, day, seasons),
        *_note_milestones(policy, streak_day, unlocked),
    )


def list_unlocked(state: StreakState, policy_key: PolicyKey) -> frozenset[int]:
    """Return the milestone days of a policy that were unlocked in the player's life."""
    unlocked = cast("Mapping[str, list[int]]", state.model_state.get(_MILESTONES, {}))
    return frozenset(unlocked.get(policy_key, ()))


def _note_streak(explain: Explanation) -> Iterator[str]:
    # Only a streak that goes on reaches the end of a cycle: days that were missed were forgiven.
    is_kept = explain.streak in _KEPT
    if explain.excused_days > 0:
        yield f"{_count_days(explain.excused_days)} excused"
    if is_kept and explain.freezes_used > 0:
        yield f"freezes cover {_count_days(explain.freezes_used)}"
    graced_days = explain.missed_days - explain.freezes_used
    if is_kept and graced_days > 0:
        yield f"grace covers {_count_days(graced_days)}"
    if explain.streak in _STREAK_NOTES:
        yield _STREAK_NOTES[explain.streak]


def _note_boost(explain: Explanation) -> Iterator[str]:
    if explain.boost_label is not None:
        yield f"boost {explain.boost_label}"


def _note_season(policy: Policy, day: datetime.date, seasons: Sequence[Season]) -> Iterator[str]:
    season = find_season(seasons, day=day)
    if season is not None and find_conduct(policy.streak_model).restarts_with_season:
        yield f"season resets in {_count_days((season.end_date - day).days + 1)}"


def _note_milestones(policy: Policy, streak_day: int, unlocked: Set[int]) -> Iterator[str]:
    milestones = find_conduct(policy.streak_model).milestones
    ahead = [day for day in milestones if day > streak_day and day not in unlocked]
    if ahead:
        yield f"milestone in {_count_days(min(ahead) - streak_day)}"


def _count_days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"
