"""What a season may be, whether it has begun, and where it lies in time. Pure."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import Season, SeasonInvalid, SeasonOutlook, SeasonSpan
from emberkeep.xp.rules.player import is_slug
from emberkeep.xp.rules.reason import list_reason_errors

RESERVED: Final = frozenset({"current"})
"""Names that stand for something else in paths."""

# Kiritimati's clock is the first to show a new date.
_EARLIEST_OFFSET: Final = datetime.timedelta(hours=14)
_MAX_NAME_CHARACTERS: Final = 200
_TAG_BYTES: Final = 6
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_season(season: Season, *, reason: str) -> None:
    """Let a season pass that can stand in the calendar; whether others overlap is seen then.

    :raises SeasonInvalid: with everything that is wrong, with the reason of the step too
    """
    errors = (*_list_errors(season), *list_reason_errors(reason))
    if errors:
        raise SeasonInvalid("the season cannot be used", errors)


def check_reason(reason: str) -> None:
    """Let the reason of a step pass.

    :raises SeasonInvalid: if it cannot be kept
    """
    errors = tuple(list_reason_errors(reason))
    if errors:
        raise SeasonInvalid("the reason cannot be kept", errors)


def has_begun(season: Season, *, now: datetime.datetime) -> bool:
    """Say whether the season's first day has begun anywhere on earth."""
    return season.start_date <= (now.astimezone(datetime.UTC) + _EARLIEST_OFFSET).date()


def make_tag(season: Season) -> int:
    """Return a number that changes with whatever the season says: what its entity tag is made of."""
    said = msgspec.json.encode(season)
    return int.from_bytes(hashlib.blake2b(said, digest_size=_TAG_BYTES).digest(), "big")


def find_span(season: Season, *, day: datetime.date) -> SeasonSpan:
    """Return where the season lies, seen from the reward day `day`."""
    if season.end_date < day:
        return SeasonSpan.PAST
    return SeasonSpan.NEXT if day < season.start_date else SeasonSpan.CURRENT


def find_outlook(seasons: Sequence[Season], *, day: datetime.date) -> SeasonOutlook:
    """Return the season that `day` belongs to, and the one that begins next.

    :param seasons: in order
    """
    by_span = {find_span(season, day=day): season for season in reversed(seasons)}
    return SeasonOutlook(
        reward_day_id=day,
        current=by_span.get(SeasonSpan.CURRENT),
        next=by_span.get(SeasonSpan.NEXT),
    )


def _list_errors(season: Season) -> Iterator[FieldError]:
    if not is_slug(season.season_id):
        yield FieldError("season_id", "must be a lower-case slug of at most 64 characters")
    if season.season_id in RESERVED:
        yield FieldError("season_id", "is reserved: choose another name")
    if season.end_date < season.start_date:
        yield FieldError("end_date", "must not be before start_date")
    name = season.display_name
    if name is None:
        return
    if not 1 <= len(name) <= _MAX_NAME_CHARACTERS or _UNSEEN.search(name):
        message = f"must be 1 to {_MAX_NAME_CHARACTERS} characters, without control characters"
        yield FieldError("display_name", message)
