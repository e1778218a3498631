"""When a player's reward time zone may change, and from when on the new one holds. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from emberkeep.xp.model import AnchorStrategy, ClaimWindow, DayRange, Noun, Season
from emberkeep.xp.rules import reward_day
from emberkeep.xp.rules.catalogue import find_season

_ONE_DAY = datetime.timedelta(days=1)
# A season may reach to the edge of the calendar, where no boundary can be told any more.
_FIRST_DAY = datetime.date(1, 1, 4)
_LAST_DAY = datetime.date(9999, 12, 27)


class Zones(Noun, frozen=True, kw_only=True):
    """The zone that holds, and the one that takes its place at `next_at`, if any does."""

    zone: str
    next_zone: str | None = None
    next_at: datetime.datetime | None = None


class SeasonSpan(Noun, frozen=True, kw_only=True):
    """A season as instants of one zone: changes count from `begins_at` on, up to `opens_at`."""

    begins_at: datetime.datetime
    opens_at: datetime.datetime


class SeasonCap(Noun, frozen=True, kw_only=True):
    """How many changes a season allows, how many there were, and when it is over."""

    limit: int
    used: int
    opens_at: datetime.datetime


class Unchanged(Noun, frozen=True):
    """The zone that is asked for holds already, or was granted before and waits for its boundary."""

    effective_at: datetime.datetime


class Granted(Noun, frozen=True):
    """The zones after the change, and when it takes effect."""

    zones: Zones
    effective_at: datetime.datetime


class Refused(Noun, frozen=True):
    """The next change may be asked for at `opens_at`; `limit` is the season's, if that is reached."""

    opens_at: datetime.datetime
    limit: int | None = None


def fold_zones(zones: Zones, *, now: datetime.datetime) -> Zones:
    """Return `zones` with a change whose boundary has passed taken in."""
    if zones.next_zone is None or zones.next_at is None or now < zones.next_at:
        return zones
    return Zones(zone=zones.next_zone)


def decide_change(
    zones: Zones,
    *,
    wanted: str,
    last_granted_at: datetime.datetime | None,
    cooldown_days: int,
    cap: SeasonCap | None = None,
    window: ClaimWindow | None,
    now: datetime.datetime,
) -> Unchanged | Granted | Refused:
    """Return what becomes of the wish for the zone `wanted`.

    :param zones: folded at `now`
    :param last_granted_at: when the last change that was granted had been asked for
    :param cap: of the season that holds `now`; None where there is none
    :param window: that of the default policy; None where none is in force
    """
    if zones.next_zone is None and wanted == zones.zone:
        return Unchanged(now)
    if zones.next_at is not None and wanted == zones.next_zone:
        return Unchanged(zones.next_at)
    if wanted == zones.zone:
        # Taking back a change that has not happened yet needs no boundary, and is never refused:
        # what the cooldown and the cap guard against is to be paid by two clocks, and here is one.
        return Granted(Zones(zone=wanted), now)
    refused = _refuse(last_granted_at, cooldown_days, cap, now)
    if refused is not None:
        return refused
    today = reward_day.find_reward_day(
        at=now, time_zone=zones.zone, window=window or reward_day.CALENDAR_DAY
    )
    changed = Zones(zone=zones.zone, next_zone=wanted, next_at=today.next_at)
    return Granted(changed, today.next_at)


def _refuse(
    last_granted_at: datetime.datetime | None,
    cooldown_days: int,
    cap: SeasonCap | None,
    now: datetime.datetime,
) -> Refused | None:
    """Return the refusal that opens last, where the last change is too recent or the cap reached."""
    rested_at = now
    if last_granted_at is not None:
        rested_at = last_granted_at + datetime.timedelta(days=cooldown_days)
    if cap is not None and cap.used >= cap.limit:
        return Refused(max(rested_at, cap.opens_at), cap.limit)
    return Refused(rested_at) if now < rested_at else None


def find_season_span(
    seasons: Sequence[Season],
    *,
    zone: str,
    window: ClaimWindow | None,
    is_closed: bool,
    now: datetime.datetime,
) -> SeasonSpan | None:
    """Return the season that holds `now` in `zone`; None outside any.

    :param is_closed: a season allows no change at all, so the one right behind it is as good as it
    """
    window = window or reward_day.CALENDAR_DAY
    today = reward_day.find_reward_day(at=now, time_zone=zone, window=window).day
    season = find_season(seasons, day=today)
    if season is None:
        return None
    open_day = _find_day_behind(season)
    while is_closed and (behind := find_season(seasons, day=open_day)):
        if behind.end_date >= _LAST_DAY:
            break
        open_day = _find_day_behind(behind)
    start = window.start_minutes
    return SeasonSpan(
        begins_at=reward_day.boundary(max(season.start_date, _FIRST_DAY), zone, start),
        opens_at=reward_day.boundary(open_day, zone, start),
    )


def _find_day_behind(season: Season) -> datetime.date:
    return min(season.end_date, _LAST_DAY) + _ONE_DAY


def find_skipped_days(
    changed: Zones, *, window: ClaimWindow | None, now: datetime.datetime
) -> DayRange | None:
    """Return the days that a change leaves out: no clock of the player's ever lets them be claimed.

    That is so to the east over the date line, and where a short window has closed on arrival.

    :param changed: the zones after the change
    """
    window = window or reward_day.CALENDAR_DAY
    if changed.next_zone is None or changed.next_at is None:
        return None
    if window.anchor_strategy is not AnchorStrategy.ANCHOR_TIMEZONE:
        return None
    today = reward_day.find_reward_day(at=now, time_zone=changed.zone, window=window)
    arrival = reward_day.find_reward_day(
        at=changed.next_at, time_zone=changed.next_zone, window=window
    )
    is_open = changed.next_at < arrival.closes_at
    last_day = arrival.day - _ONE_DAY if is_open else arrival.day
    first_day = today.day + _ONE_DAY
    return DayRange(first_day, last_day) if first_day <= last_day else None
