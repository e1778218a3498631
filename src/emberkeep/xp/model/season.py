"""The calendar's seasons."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated

import msgspec

from emberkeep.base.errors import Conflict, Invalid, NotFound
from emberkeep.xp.model.noun import Name, Noun, SeasonId


class Season(Noun, frozen=True, kw_only=True):
    """The reward days from `start_date` to `end_date`, both included."""

    season_id: Annotated[SeasonId, msgspec.Meta(min_length=1, max_length=64)]
    start_date: datetime.date
    end_date: datetime.date
    display_name: Name | None = None


class SeasonSpan(enum.StrEnum):
    """Where a season lies, seen from a reward day."""

    PAST = "past"
    CURRENT = "current"
    NEXT = "next"


class SeasonOutlook(Noun, frozen=True, kw_only=True):
    """The season of a reward day, and the one that begins next; None where there is none."""

    reward_day_id: datetime.date
    current: Season | None
    next: Season | None


class SeasonInvalid(Invalid):
    """The season's name or dates cannot be used."""

    code = "xp.season_invalid"


class SeasonExists(Conflict):
    """There is a season of this name already."""

    code = "xp.season_exists"


class SeasonOverlap(Conflict):
    """Another season has some of these days."""

    code = "xp.season_overlap"


class SeasonOver(Conflict):
    """Players have claimed since the season would have ended: their streaks cannot be told anew."""

    code = "xp.season_over"


class SeasonBegun(Conflict):
    """The season has begun somewhere on earth: it stays as it is."""

    code = "xp.season_begun"


class SeasonInUse(Conflict):
    """Players hold XP of this season already: it cannot be taken away."""

    code = "xp.season_in_use"


class SeasonUnknown(NotFound):
    """No season has this name."""

    code = "xp.season_unknown"
