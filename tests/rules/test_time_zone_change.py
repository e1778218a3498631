"""When a reward time zone may change, and from when on."""

from __future__ import annotations

import datetime

import pytest

from emberkeep.base.clock import UTC
from emberkeep.xp.model import AnchorStrategy, ClaimWindow, Season, SeasonId
from emberkeep.xp.rules.time_zone import (
    Granted,
    Refused,
    SeasonCap,
    Unchanged,
    Zones,
    decide_change,
    find_season_span,
    fold_zones,
)

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=UTC)
BERLIN = Zones(zone="Europe/Berlin")


def hours(count: float) -> datetime.datetime:
    """Return the instant `count` hours after noon."""
    return NOON + datetime.timedelta(hours=count)


def decide(
    zones: Zones,
    wanted: str,
    *,
    last: datetime.datetime | None = None,
    cooldown_days: int = 7,
    cap: SeasonCap | None = None,
    start_minutes: int | None = 0,
    now: datetime.datetime = NOON,
) -> Unchanged | Granted | Refused:
    window = ClaimWindow(
        start_minutes=start_minutes or 0,
        duration_hours=24,
        anchor_strategy=AnchorStrategy.ANCHOR_TIMEZONE,
    )
    return decide_change(
        zones,
        wanted=wanted,
        last_granted_at=last,
        cooldown_days=cooldown_days,
        cap=cap,
        window=None if start_minutes is None else window,
        now=now,
    )


@pytest.mark.parametrize(
    ("start_minutes", "boundary"), [(0, hours(11)), (300, hours(16)), (None, hours(11))]
)
def test_a_change_holds_from_the_next_boundary_of_the_old_zone(
    start_minutes: int | None, boundary: datetime.datetime
) -> None:
    changed = Zones(zone="Europe/Berlin", next_zone="Asia/Tokyo", next_at=boundary)
    assert decide(BERLIN, "Asia/Tokyo", start_minutes=start_minutes) == Granted(changed, boundary)


def test_the_zone_that_holds_is_no_change() -> None:
    assert decide(BERLIN, "Europe/Berlin", last=NOON) == Unchanged(NOON)


def test_a_change_that_was_granted_is_not_granted_again() -> None:
    waiting = Zones(zone="Europe/Berlin", next_zone="Asia/Tokyo", next_at=hours(11))
    assert decide(waiting, "Asia/Tokyo", last=NOON) == Unchanged(hours(11))


@pytest.mark.parametrize(("passed_hours", "is_open"), [(0, False), (167.99, False), (168, True)])
def test_the_cooldown_ends_to_the_instant(passed_hours: float, *, is_open: bool) -> None:
    answer = decide(BERLIN, "Asia/Tokyo", last=NOON, now=hours(passed_hours))
    assert isinstance(answer, Granted) is is_open
    if not is_open:
        assert answer == Refused(hours(168))


@pytest.mark.parametrize("cooldown_days", [0, 7])
@pytest.mark.parametrize("cap", [None, SeasonCap(limit=1, used=1, opens_at=hours(999))])
def test_a_change_that_waits_can_be_taken_back_whatever_refuses_another(
    cooldown_days: int, cap: SeasonCap | None
) -> None:
    waiting = Zones(zone="Europe/Berlin", next_zone="Asia/Tokyo", next_at=hours(11))
    answer = decide(waiting, "Europe/Berlin", last=NOON, cooldown_days=cooldown_days, cap=cap)
    assert answer == Granted(BERLIN, NOON)
    if cooldown_days or cap:
        third = decide(waiting, "Asia/Seoul", last=NOON, cooldown_days=cooldown_days, cap=cap)
        assert isinstance(third, Refused)


@pytest.mark.parametrize(
    ("now", "zone"), [(hours(10.9), "Europe/Berlin"), (hours(11), "Asia/Tokyo")]
)
def test_a_change_is_taken_in_when_its_boundary_has_passed(
    now: datetime.datetime, zone: str
) -> None:
    waiting = Zones(zone="Europe/Berlin", next_zone="Asia/Tokyo", next_at=hours(11))
    folded = fold_zones(waiting, now=now)
    assert folded.zone == zone
    assert (folded == waiting) is (zone == "Europe/Berlin")


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_season_to_the_edge_of_the_calendar_has_an_end_that_can_be_told(
    *, is_closed: bool
) -> None:
    season = Season(
        season_id=SeasonId("s"), start_date=datetime.date.min, end_date=datetime.date.max
    )
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        span = find_season_span([season], zone=zone, window=None, is_closed=is_closed, now=NOON)
        assert span is not None
        assert span.begins_at < NOON < span.opens_at
