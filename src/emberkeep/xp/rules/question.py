"""Questions about claims that are not made: read with every error at once. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import inspect

from emberkeep.base import clock
from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    Award,
    Balance,
    BalanceFigures,
    Explanation,
    MadeUpPlayer,
    PlayerId,
    PlayerInvalid,
    PlayerState,
    PlayerWish,
    Policy,
    PolicyInvalid,
    PolicyKey,
    PolicyStatus,
    PolicyVersion,
    Question,
    QuestionInvalid,
    StreakChange,
    StreakFigures,
    StreakState,
    TimeZoneUnknown,
    UserId,
)
from emberkeep.xp.rules import document, player, policy, reward_day
from emberkeep.xp.rules.claim import make_receipt_id
from emberkeep.xp.rules.document import Incomplete, Reader
from emberkeep.xp.rules.protection import with_freezes

TOMORROW: Final = "tomorrow"
MAX_DAYS: Final = 366
"""How far anybody can look ahead."""

UNSAVED: Final = 0
"""The number of a version that is no version: a document that was never saved."""

_MADE_UP: Final = PlayerId("(made up)")
_EARLIEST_OFFSET: Final = datetime.timedelta(hours=14)
_EPOCH: Final = datetime.date(1970, 1, 1)
_INSTANT: Final = inspect.type_info(datetime.datetime)


def read_question(
    *,
    player_id: PlayerId | None,
    made_up: object = None,
    policy_version: int | None = None,
    policy_document: object = None,
    at: str | None = None,
    max_award_xp: int,
    now: datetime.datetime,
) -> Question:
    """Return what is asked. Exactly one of `player_id` and `made_up` is to be there.

    :param made_up: a JSON object with the fields of `MadeUpPlayer`
    :param policy_document: a policy document, as JSON or decoded
    :param at: `tomorrow`, or an instant that is not past
    :raises QuestionInvalid: with everything that is wrong, each at its path
    """
    reader = Reader(hooks={}, checks={MadeUpPlayer: _Check(now)})
    if (player_id is None) == (made_up is None):
        reader.refuse("player_id", "or player is to be given, and not both")
    if policy_version is not None and policy_document is not None:
        reader.refuse("document", "cannot stand beside policy_version")
    instant = _read_moment(reader, at, now) if at not in (None, TOMORROW) else None
    imagined = None if made_up is None else _read_player(reader, made_up)
    unsaved = _read_policy(reader, policy_document, max_award_xp)
    if reader.errors:
        raise QuestionInvalid("this cannot be answered", reader.errors)
    return Question(
        player_id=player_id,
        player=imagined,
        policy_version=policy_version,
        policy=unsaved,
        at=instant,
        is_tomorrow=at == TOMORROW,
    )


def read_instant(text: str) -> datetime.datetime:
    """Return the instant that the parameter `at` says.

    :raises QuestionInvalid: when it says none
    """
    reader = Reader(hooks={}, checks={})
    at = reader.read(_INSTANT, text, "at")
    if not isinstance(at, datetime.datetime):
        raise QuestionInvalid("this cannot be answered", reader.errors)
    return at


def make_unsaved(said: Policy, *, now: datetime.datetime) -> PolicyVersion:
    """Return the version that a document which was never saved would be."""
    return PolicyVersion(
        policy=said,
        policy_version=UNSAVED,
        status=PolicyStatus.DRAFT,
        created_at=now,
        created_by="",
    )


def make_state(made_up: MadeUpPlayer, *, now: datetime.datetime) -> PlayerState:
    """Return the state that a made-up player would have in the tables."""
    return PlayerState(
        user_id=UserId(0),
        player_id=_MADE_UP,
        reward_tz=made_up.time_zone,
        segment_key=made_up.segment_key,
        attributes_json=msgspec.json.encode(made_up.attributes).decode(),
        created_at=now if made_up.last_reward_day_id is None else _find_claim(made_up),
        streak=StreakState(
            current_streak=made_up.current_streak,
            longest_streak=max(made_up.current_streak, made_up.longest_streak or 0),
            grace_used=made_up.grace_used,
            last_reward_day=made_up.last_reward_day_id,
            model_state=with_freezes({}, made_up.freezes_held),
        ),
        balance=Balance(current=made_up.lifetime_xp, lifetime=made_up.lifetime_xp),
    )


def make_last_award(made_up: MadeUpPlayer, policy_key: PolicyKey) -> Award | None:
    """Return the last award that a made-up player would have, without figures; None: never any."""
    day = made_up.last_reward_day_id
    if day is None:
        return None
    streak, lifetime = made_up.current_streak, made_up.lifetime_xp
    return Award(
        receipt_id=make_receipt_id(UserId(0), day),
        reward_day=day,
        claimed_at=_find_claim(made_up),
        xp_awarded=0,
        streak=StreakFigures(
            current=streak,
            longest=max(streak, made_up.longest_streak or 0),
            grace_used=made_up.grace_used,
        ),
        policy_key=policy_key,
        policy_version=UNSAVED,
        segment=None,
        milestones=(),
        balance=BalanceFigures(current=lifetime, lifetime=lifetime, seasonal=0),
        explain=Explanation(
            streak=StreakChange.ADVANCED,
            missed_days=0,
            base_xp_amount=0,
            curve_day_index=0,
            curve_multiplier="1.0000",
            model_multiplier="1.0000",
            boost_label=None,
            boost_multiplier="1.0000",
            additive_bonus_xp=0,
            season_id=None,
        ),
    )


def _find_claim(made_up: MadeUpPlayer) -> datetime.datetime:
    """Return when the last reward day was claimed, as far as anybody asks: at its midnight."""
    assert made_up.last_reward_day_id is not None
    zone = clock.open_zone(made_up.time_zone)
    midnight = datetime.datetime.combine(made_up.last_reward_day_id, datetime.time(), zone)
    return midnight.astimezone(datetime.UTC)


def _read_moment(reader: Reader, text: str | None, now: datetime.datetime) -> Any:
    at: Any = reader.read(_INSTANT, text, "at")
    if isinstance(at, Incomplete):
        return None
    if at < now:
        reader.refuse("at", "lies in the past")
    if at > now + datetime.timedelta(days=MAX_DAYS):
        reader.refuse("at", f"is more than {MAX_DAYS} days ahead")
    return at


def _read_policy(reader: Reader, raw: object, max_award_xp: int) -> Policy | None:
    if raw is None:
        return None
    try:
        return policy.parse_policy(raw, max_award_xp=max_award_xp)
    except PolicyInvalid as e:
        reader.errors.extend(_put_below("document", e.errors))
        return None


def _read_player(reader: Reader, raw: object) -> MadeUpPlayer | None:
    # What attributes hold is nobody's business: they have a size, and no other form.
    plain: object = raw
    attributes: object = {}
    if isinstance(raw, dict):
        given = cast("dict[str, object]", raw)
        attributes = given.get("attributes", {})
        plain = {key: value for key, value in given.items() if key != "attributes"}
    imagined = reader.read_noun(MadeUpPlayer, plain, "player")
    kept: dict[str, object] = {}
    if isinstance(attributes, dict):
        kept = cast("dict[str, object]", attributes)
    else:
        reader.refuse("player.attributes", "must be an object")
    reader.errors.extend(_check_kept(imagined, kept))
    if not isinstance(imagined, MadeUpPlayer):
        return None
    return msgspec.structs.replace(imagined, attributes=kept)


def _check_kept(imagined: Any, attributes: Mapping[str, object]) -> Iterator[FieldError]:
    """Find what could not be said of a player who is in the tables either."""
    wish = PlayerWish(
        player_id=_MADE_UP,
        time_zone=imagined.time_zone or "UTC",
        segment_key=imagined.segment_key,
        attributes=attributes,
    )
    try:
        player.check_wish(wish)
    except PlayerInvalid as e:
        yield from _put_below("player", e.errors)
    try:
        reward_day.check_time_zone(wish.time_zone)
    except TimeZoneUnknown as e:
        yield from _put_below("player", e.errors)


class _Check:
    """Finds what is wrong between the fields of a made-up player, as things stand now."""

    def __init__(self, now: datetime.datetime) -> None:
        self._latest_day = (now + _EARLIEST_OFFSET).date()

    def __call__(self, imagined: Any, path: str) -> Iterator[FieldError]:
        current, longest = imagined.current_streak, imagined.longest_streak
        day = imagined.last_reward_day_id
        if longest is not None and longest < (current or 0):
            yield FieldError(f"{path}.longest_streak", "must not be less than current_streak")
        if day is None and current:
            yield FieldError(f"{path}.last_reward_day_id", "is missing: a streak has a last day")
        if day is not None and not current:
            yield FieldError(f"{path}.current_streak", "must be 1 or more: a day was claimed")
        if day is not None and not _EPOCH <= day <= self._latest_day:
            message = f"must be from {_EPOCH} to {self._latest_day}, the latest day on earth now"
            yield FieldError(f"{path}.last_reward_day_id", message)


def _put_below(path: str, errors: Iterable[FieldError]) -> Iterator[FieldError]:
    for error in errors:
        is_root = error.path == document.ROOT
        yield FieldError(path if is_root else f"{path}.{error.path}", error.message)
