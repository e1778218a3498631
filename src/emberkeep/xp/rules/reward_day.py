"""Which reward day an instant belongs to, and when that day can be claimed.

One definition carries every case: the boundary of a date is the first instant at which the zone's
clock shows the window's start on that date, or later. A time that the clock skips is then the
first instant after the gap, and one that it shows twice is its first showing. Boundaries never
decrease from one date to the next, so the reward day of an instant is the last date whose boundary
has passed, and for one zone it never goes back. A date that the calendar of a zone left out has an
empty day, which no instant belongs to.
"""

from __future__ import annotations

import datetime
import functools
from typing import TYPE_CHECKING, Final, assert_never

from emberkeep.base import clock
from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    AnchorStrategy,
    ClaimWindow,
    InstantOutOfRange,
    RewardDay,
    TimeZoneUnknown,
    UtcOffsetInvalid,
)
from emberkeep.xp.rules.document import show

if TYPE_CHECKING:
    from collections.abc import Callable

_UTC: Final = datetime.UTC
_DAY: Final = datetime.timedelta(days=1)
_SECOND: Final = datetime.timedelta(seconds=1)
_WHOLE_DAY_HOURS: Final = 24
_MINUTES_OF_A_DAY: Final = 1440

# Two days from either end of the calendar every date that is looked at exists, in every zone.
_EARLIEST: Final = datetime.datetime(1, 1, 4, tzinfo=_UTC)
_LATEST: Final = datetime.datetime(9999, 12, 28, tzinfo=_UTC)

CALENDAR_DAY: Final = ClaimWindow(
    start_minutes=0, duration_hours=24, anchor_strategy=AnchorStrategy.ANCHOR_TIMEZONE
)
"""The calendar's own day: where no policy has, or can have, a say."""

# The day found last, per zone and window: in a running service the next request wants the same.
_found: dict[tuple[str, int, int], RewardDay] = {}
_MAX_FOUND: Final = 4096


def check_time_zone(name: str) -> str:
    """Return `name` if a player may have it as reward time zone.

    :raises TimeZoneUnknown: with the fact `use` where another name stands for the same place
    """
    if name in clock.canonical_zones():
        return name
    message, use = _explain_refusal(name)
    facts = {} if use is None else {"use": use}
    raise TimeZoneUnknown(f"'{show(name)}' {message}", [FieldError("time_zone", message)], **facts)


def _explain_refusal(name: str) -> tuple[str, str | None]:
    """Return why `name` cannot be had, and the name to use instead, if there is one."""
    target = clock.zone_links().get(name)
    if {name, target} & {"Etc/UTC", "Etc/GMT"}:
        return "is another name of UTC: use UTC", "UTC"
    if target is not None and "/" in name:
        return f"is an old name: use {target}", target
    if target is not None:
        # PostgreSQL reads such names from its own table of abbreviations, Python from the tz
        # database, and the two have disagreed by an hour.
        return f"is read differently by different systems: use a place, such as {target}", target
    if name in _names_without_place():
        return "is a fixed rule, not a place: use an Area/Location name, or UTC", None
    return "is not a time zone of the tz database, such as Europe/Berlin", None


@functools.cache
def _names_without_place() -> frozenset[str]:
    return frozenset(
        {"CST6CDT", "EST5EDT", "MST7MDT", "PST8PDT", "Factory"}
        | {f"Etc/GMT+{hours}" for hours in range(13)}
        | {f"Etc/GMT-{hours}" for hours in range(15)}
    )


def resolve_anchor(strategy: AnchorStrategy, *, player_zone: str, server_zone: str) -> str:
    """Return the name of the zone whose clock a reward day follows."""
    match strategy:
        case AnchorStrategy.ANCHOR_TIMEZONE:
            return player_zone
        case AnchorStrategy.FIXED_UTC:
            return "UTC"
        case AnchorStrategy.SERVER_LOCAL:
            return server_zone
        case _:
            assert_never(strategy)


def find_reward_day(*, at: datetime.datetime, time_zone: str, window: ClaimWindow) -> RewardDay:
    """Return the reward day that the aware instant `at` belongs to in `time_zone`.

    :raises InstantOutOfRange: within days of the first or the last year there is
    """
    key = (time_zone, window.start_minutes, window.duration_hours)
    found = _found.get(key)
    if found is not None and found.opens_at <= at < found.next_at:
        return found
    _check_range(at)
    start_minutes = window.start_minutes
    found = _find(
        at,
        local_day=at.astimezone(clock.open_zone(time_zone)).date(),
        find_boundary=lambda day: boundary(day, time_zone, start_minutes),
        duration_hours=window.duration_hours,
    )
    if len(_found) >= _MAX_FOUND:
        _found.clear()
    _found[key] = found
    return found


def find_reward_day_at_offset(
    at: datetime.datetime, offset_minutes: int, window: ClaimWindow
) -> RewardDay:
    """Return the reward day of `at` by a clock that is always `offset_minutes` ahead of UTC.

    :raises InstantOutOfRange: within days of the first or the last year there is
    :raises UtcOffsetInvalid: when the offset is a day or more
    """
    if not -_MINUTES_OF_A_DAY < offset_minutes < _MINUTES_OF_A_DAY:
        raise UtcOffsetInvalid("an offset from UTC is less than 24 hours")
    _check_range(at)
    ahead = datetime.timedelta(minutes=window.start_minutes - offset_minutes)
    return _find(
        at,
        local_day=(at.astimezone(_UTC) + datetime.timedelta(minutes=offset_minutes)).date(),
        find_boundary=lambda day: _midnight(day, _UTC) + ahead,
        duration_hours=window.duration_hours,
    )


@functools.lru_cache(maxsize=65_536)
def boundary(day: datetime.date, zone: str, start_minutes: int) -> datetime.datetime:
    """Return the instant, in UTC, at which the reward day of `day` begins in `zone`.

    :param start_minutes: the start of the claim window, in minutes after local midnight
    """
    wall = _midnight(day, clock.open_zone(zone)) + datetime.timedelta(minutes=start_minutes)
    # Before a gap and at a first showing the clock runs on the offset that fold=0 stands for.
    before = wall.astimezone(_UTC)
    after = wall.replace(fold=1).astimezone(_UTC)
    is_skipped = after < before
    return _find_gap_end(after, before, wall) if is_skipped else before


def _find_gap_end(
    low: datetime.datetime, high: datetime.datetime, wall: datetime.datetime
) -> datetime.datetime:
    """Return the first whole second in (`low`, `high`] at which the clock shows `wall` or later."""
    shows = wall.replace(tzinfo=None)
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        if middle.astimezone(wall.tzinfo).replace(tzinfo=None) < shows:
            low = middle
        else:
            high = middle
    return high


def _find(
    at: datetime.datetime,
    *,
    local_day: datetime.date,
    find_boundary: Callable[[datetime.date], datetime.datetime],
    duration_hours: int,
) -> RewardDay:
    # The date on the clock is one too early while a clock that was put back over midnight shows
    # the old date again, and one too late before the window's start.
    day = local_day + _DAY
    next_at = find_boundary(day + _DAY)
    opens_at = find_boundary(day)
    while opens_at > at:
        day, next_at = day - _DAY, opens_at
        opens_at = find_boundary(day)
    assert at < next_at
    closes_at = next_at
    if duration_hours < _WHOLE_DAY_HOURS:
        closes_at = min(next_at, opens_at + datetime.timedelta(hours=duration_hours))
    return RewardDay(day=day, opens_at=opens_at, closes_at=closes_at, next_at=next_at)


def _midnight(day: datetime.date, zone: datetime.tzinfo) -> datetime.datetime:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=zone)


def _check_range(at: datetime.datetime) -> None:
    if not _EARLIEST <= at <= _LATEST:
        raise InstantOutOfRange("the instant is too close to the edge of the calendar")
