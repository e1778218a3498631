"""What a season may be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import Season, SeasonInvalid
from emberkeep.xp.rules.player import is_slug

_MAX_NAME_CHARACTERS: Final = 200
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_season(season: Season) -> None:
    """Let a season pass that can stand in the calendar; whether others overlap is seen then.

    :raises SeasonInvalid: with everything that is wrong
    """
    errors = tuple(_list_errors(season))
    if errors:
        raise SeasonInvalid("the season cannot be used", errors)


def _list_errors(season: Season) -> Iterator[FieldError]:
    if not is_slug(season.season_id):
        yield FieldError("season_id", "must be a lower-case slug of at most 64 characters")
    if season.end_date < season.start_date:
        yield FieldError("end_date", "must not be before start_date")
    name = season.display_name
    if name is None:
        return
    if not 1 <= len(name) <= _MAX_NAME_CHARACTERS or _UNSEEN.search(name):
        message = f"must be 1 to {_MAX_NAME_CHARACTERS} characters, without control characters"
        yield FieldError("display_name", message)
