"""Players as XP knows them, and their time zones."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import msgspec

from emberkeep.base.errors import Conflict, Invalid, NotFound
from emberkeep.xp.model.ledger import Balance
from emberkeep.xp.model.noun import Noun, PlayerId, SegmentKey, UserId
from emberkeep.xp.model.streak import StreakState


class PlayerState(Noun, frozen=True, kw_only=True):
    """Everything that a claim of one player is decided from.

    `segment_keys` are memberships by hand beside `segment_key`. `action_count` tells whether the
    streak has changed without a claim. `highest_levels` are those announced, by policy.
    """

    user_id: UserId
    player_id: PlayerId
    reward_tz: str
    next_reward_tz: str | None = None
    next_reward_tz_at: datetime.datetime | None = None
    segment_key: SegmentKey | None = None
    segment_keys: tuple[SegmentKey, ...] = ()
    attributes_json: str = "{}"
    created_at: datetime.datetime
    streak: StreakState
    action_count: int = 0
    balance: Balance
    highest_levels: Mapping[str, int] = msgspec.field(default_factory=dict[str, int])


class Player(Noun, frozen=True, kw_only=True):
    """A player as XP knows them. `next_time_zone` holds from `next_time_zone_at` on.

    `external_user_id` is `player_id` under the name that the tables give it.
    """

    player_id: PlayerId
    external_user_id: PlayerId
    time_zone: str
    next_time_zone: str | None
    next_time_zone_at: datetime.datetime | None
    segment_key: SegmentKey | None
    attributes: Mapping[str, object]
    created_at: datetime.datetime
    updated_at: datetime.datetime


class PlayerWish(Noun, frozen=True, kw_only=True):
    """What a player is to be. UNSET leaves a present player as it is, None takes the value away."""

    player_id: PlayerId
    time_zone: str
    segment_key: SegmentKey | msgspec.UnsetType | None = msgspec.UNSET
    attributes: Mapping[str, object] | msgspec.UnsetType = msgspec.UNSET


class ZoneChange(Noun, frozen=True, kw_only=True):
    """A reward time zone, and from when on it holds."""

    time_zone: str
    effective_at: datetime.datetime


class ZoneRequest(Noun, frozen=True, kw_only=True):
    """One request for another reward time zone; a refused one has no `effective_at`."""

    change_id: int
    old_time_zone: str
    new_time_zone: str
    granted: bool
    requested_at: datetime.datetime
    effective_at: datetime.datetime | None
    actor: str


class TimeZoneUnknown(Invalid):
    """Not a canonical Area/Location name of the tz database."""

    code = "xp.time_zone_unknown"


class PlayerUnknown(NotFound):
    """No player has this id."""

    code = "xp.player_unknown"


class PlayerInvalid(Invalid):
    """The player's id, segment or attributes cannot be accepted; `errors` names each."""

    code = "xp.player_invalid"


class TimeZoneCooldown(Conflict):
    """The reward time zone was changed too recently; `opens_at` is when the next change may be."""

    code = "xp.time_zone_cooldown"


class TimeZoneLimit(Conflict):
    """This season's `limit` of changes of the reward time zone is reached; `opens_at` is its end."""

    code = "xp.time_zone_limit"
