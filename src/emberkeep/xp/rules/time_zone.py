"""When a player's reward time zone may change, and from when on the new one holds. Pure."""

from __future__ import annotations

import datetime

from emberkeep.xp.model import AnchorStrategy, ClaimWindow, Noun
from emberkeep.xp.rules import reward_day

# Where no policy is in force a day is the calendar's.
_CALENDAR_DAY = ClaimWindow(
    start_minutes=0, duration_hours=24, anchor_strategy=AnchorStrategy.ANCHOR_TIMEZONE
)


class Zones(Noun, frozen=True, kw_only=True):
    """The zone that holds, and the one that takes its place at `next_at`, if any does."""

    zone: str
    next_zone: str | None = None
    next_at: datetime.datetime | None = None


class Unchanged(Noun, frozen=True):
    """The zone that is asked for holds already, or was granted before and waits for its boundary."""

    effective_at: datetime.datetime


class Granted(Noun, frozen=True):
    """The zones after the change, and when it takes effect."""

    zones: Zones
    effective_at: datetime.datetime


class Refused(Noun, frozen=True):
    """The last change is too recent; the next may be asked for at `opens_at`."""

    opens_at: datetime.datetime


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
    window: ClaimWindow | None,
    now: datetime.datetime,
) -> Unchanged | Granted | Refused:
    """Return what becomes of the wish for the zone `wanted`.

    :param zones: folded at `now`
    :param last_granted_at: when the last change that was granted had been asked for
    :param window: that of the default policy; None where none is in force
    """
    if zones.next_zone is None and wanted == zones.zone:
        return Unchanged(now)
    if zones.next_at is not None and wanted == zones.next_zone:
        return Unchanged(zones.next_at)
    if last_granted_at is not None:
        opens_at = last_granted_at + datetime.timedelta(days=cooldown_days)
        if now < opens_at:
            return Refused(opens_at)
    if wanted == zones.zone:
        # Taking back a change that has not happened yet needs no boundary.
        return Granted(Zones(zone=wanted), now)
    today = reward_day.find_reward_day(at=now, time_zone=zones.zone, window=window or _CALENDAR_DAY)
    changed = Zones(zone=zones.zone, next_zone=wanted, next_at=today.next_at)
    return Granted(changed, today.next_at)
