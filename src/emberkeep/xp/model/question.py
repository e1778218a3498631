"""What somebody wants to know of a claim that is not made, and what they are told."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated

import msgspec

from emberkeep.base.errors import Invalid
from emberkeep.xp.model.ledger import StreakFigures
from emberkeep.xp.model.level import LevelFigures
from emberkeep.xp.model.noun import Count, Name, Noun, PlayerId, PolicyKey, SegmentKey
from emberkeep.xp.model.policy import Policy


class MadeUpPlayer(Noun, frozen=True, kw_only=True):
    """A player who is in no table. Whatever is not said is as with a new player.

    The last reward day was claimed as it began; a longest streak that is not said is the current.
    """

    time_zone: Name
    current_streak: Count = 0
    longest_streak: Count | None = None
    grace_used: Count = 0
    last_reward_day_id: datetime.date | None = None
    segment_key: SegmentKey | None = None
    freezes_held: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    lifetime_xp: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0
    attributes: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])


class Question(Noun, frozen=True, kw_only=True):
    """A claim that might be made: by whom, under what, and when.

    Exactly one of `player_id` and `player` is there. `policy_version` may be a draft; `policy` is a
    document that was never saved; with neither, whichever version is in force decides. Without `at`
    it is now, or the next reward day if `is_tomorrow`.
    """

    player_id: PlayerId | None = None
    player: MadeUpPlayer | None = None
    policy_version: int | None = None
    policy: Policy | None = None
    at: datetime.datetime | None = None
    is_tomorrow: bool = False


class VerdictStep(Noun, frozen=True, kw_only=True):
    """One step on the way to what a claim pays: in plain words, and the figures behind them."""

    step: str
    says: str
    facts: Mapping[str, object]


class Verdict(Noun, frozen=True, kw_only=True):
    """What a claim at `at` would come to, and step by step why.

    `reason` says why nothing would be paid, and `come_back_at` from when on it would be, where that
    is known. `player_id` is None for a player who is made up.
    """

    player_id: PlayerId | None
    at: datetime.datetime
    eligible: bool
    reason: str | None
    come_back_at: datetime.datetime | None
    policy_key: PolicyKey
    policy_version: int | None
    reward_day_id: datetime.date | None
    xp_awarded: int
    streak: StreakFigures | None
    level: LevelFigures | None
    steps: tuple[VerdictStep, ...]


class QuestionInvalid(Invalid):
    """What was asked cannot be answered; `errors` names everything that is wrong."""

    code = "xp.question_invalid"
