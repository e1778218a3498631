"""One sentence decides: a day begins when the clock first shows the window's start, or later."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.base import clock
from emberkeep.xp.model import (
    AnchorStrategy,
    ClaimWindow,
    InstantOutOfRange,
    RewardDay,
    TimeZoneUnknown,
    UtcOffsetInvalid,
)
from emberkeep.xp.rules import reward_day

UTC = datetime.UTC
MICROSECOND = datetime.timedelta(microseconds=1)


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def window(start_minutes: int = 0, duration_hours: int = 24) -> ClaimWindow:
    return ClaimWindow(
        start_minutes=start_minutes,
        duration_hours=duration_hours,
        anchor_strategy=AnchorStrategy.ANCHOR_TIMEZONE,
    )


def find(instant: str, zone: str, start_minutes: int = 0, duration_hours: int = 24) -> RewardDay:
    return reward_day.find_reward_day(
        at=at(instant), time_zone=zone, window=window(start_minutes, duration_hours)
    )


@pytest.mark.parametrize(
    ("instant", "zone", "start_minutes", "day"),
    [
        pytest.param("2026-06-01T03:59:59Z", "America/New_York", 0, "2026-05-31", id="the second before local midnight is still yesterday"),
        pytest.param("2026-06-01T04:00:00Z", "America/New_York", 0, "2026-06-01", id="local midnight begins the day"),
        pytest.param("2026-06-01T08:59:59Z", "America/New_York", 300, "2026-05-31", id="before the window's start it is yesterday"),
        pytest.param("2026-06-01T09:00:00Z", "America/New_York", 300, "2026-06-01", id="at the window's start it is today"),
        pytest.param("2026-06-01T22:58:59Z", "UTC", 1439, "2026-05-31", id="a window may start in a day's last minute"),
        pytest.param("2026-06-01T23:59:00Z", "UTC", 1439, "2026-06-01", id="and then the day begins a minute before midnight"),
        pytest.param("2026-03-08T06:59:59Z", "America/New_York", 150, "2026-03-07", id="half past two is skipped: before the gap it is yesterday"),
        pytest.param("2026-03-08T07:00:00Z", "America/New_York", 150, "2026-03-08", id="half past two is skipped: the day begins after the gap"),
        pytest.param("2026-11-01T05:29:59Z", "America/New_York", 90, "2026-10-31", id="half past one comes twice: before the first it is yesterday"),
        pytest.param("2026-11-01T05:30:00Z", "America/New_York", 90, "2026-11-01", id="half past one comes twice: the first begins the day"),
        pytest.param("2026-11-01T06:15:00Z", "America/New_York", 90, "2026-11-01", id="a quarter past one again, and the day stays begun"),
        pytest.param("2026-10-03T15:29:59Z", "Australia/Lord_Howe", 135, "2026-10-03", id="Lord Howe skips half an hour: before it, yesterday"),
        pytest.param("2026-10-03T15:30:00Z", "Australia/Lord_Howe", 135, "2026-10-04", id="Lord Howe skips half an hour: after it, today"),
        pytest.param("2026-04-04T14:44:59Z", "Australia/Lord_Howe", 105, "2026-04-04", id="Lord Howe repeats half an hour: before the first time, yesterday"),
        pytest.param("2026-04-04T14:45:00Z", "Australia/Lord_Howe", 105, "2026-04-05", id="Lord Howe repeats half an hour: the first time begins the day"),
        pytest.param("2011-12-30T09:59:59Z", "Pacific/Apia", 0, "2011-12-29", id="Samoa's last second before the date line"),
        pytest.param("2011-12-30T10:00:00Z", "Pacific/Apia", 0, "2011-12-31", id="Samoa had no 30 December 2011"),
        pytest.param("2011-12-30T10:00:00Z", "Pacific/Apia", 300, "2011-12-30", id="Samoa's five o'clock of that date was skipped with it"),
        pytest.param("2011-12-30T15:00:00Z", "Pacific/Apia", 300, "2011-12-31", id="five hours later Samoa's next window opened"),
        pytest.param("1969-09-30T12:59:59Z", "Pacific/Kwajalein", 0, "1969-09-30", id="Kwajalein's 30 September 1969, the first time"),
        pytest.param("1969-09-30T13:00:00Z", "Pacific/Kwajalein", 0, "1969-09-30", id="Kwajalein's 30 September 1969, the second time, is no new day"),
        pytest.param("1969-10-01T12:00:00Z", "Pacific/Kwajalein", 0, "1969-10-01", id="Kwajalein's next day after the repeated one"),
        pytest.param("1993-08-21T11:59:59Z", "Pacific/Kwajalein", 0, "1993-08-20", id="Kwajalein before the day it left out"),
        pytest.param("1993-08-21T12:00:00Z", "Pacific/Kwajalein", 0, "1993-08-22", id="Kwajalein had no 21 August 1993"),
        pytest.param("2010-11-07T02:29:59Z", "America/St_Johns", 0, "2010-11-06", id="St Johns before midnight"),
        pytest.param("2010-11-07T02:45:00Z", "America/St_Johns", 0, "2010-11-07", id="St Johns goes back over midnight, the day does not"),
        pytest.param("2025-12-31T09:59:59Z", "Pacific/Kiritimati", 0, "2025-12-31", id="fourteen hours ahead, before the new year"),
        pytest.param("2025-12-31T10:00:00Z", "Pacific/Kiritimati", 0, "2026-01-01", id="fourteen hours ahead, the new year comes first"),
        pytest.param("2026-01-01T10:59:59Z", "Pacific/Niue", 0, "2025-12-31", id="eleven hours behind, the old year lasts longest"),
        pytest.param("2028-02-29T00:00:00Z", "UTC", 0, "2028-02-29", id="a leap day is a day"),
        pytest.param("2028-03-01T00:00:00Z", "UTC", 1, "2028-02-29", id="the minute after a leap day can still be its own"),
        pytest.param("2027-03-01T00:00:00Z", "UTC", 1, "2027-02-28", id="a common year has none"),
        pytest.param("2026-12-31T23:59:59.999999Z", "UTC", 0, "2026-12-31", id="the last microsecond of a year"),
    ],
)  # fmt: skip
def test_an_instant_belongs_to_the_last_day_that_has_begun(
    instant: str, zone: str, start_minutes: int, day: str
) -> None:
    assert find(instant, zone, start_minutes).day == datetime.date.fromisoformat(day)


@pytest.mark.parametrize(
    ("offset_minutes", "instant", "day"),
    [
        pytest.param(-720, "2026-01-01T11:59:59Z", "2025-12-31", id="twelve hours behind"),
        pytest.param(-720, "2026-01-01T12:00:00Z", "2026-01-01", id="at midnight there"),
        pytest.param(840, "2025-12-31T10:00:00Z", "2026-01-01", id="fourteen hours ahead"),
        pytest.param(345, "2026-06-01T18:14:59Z", "2026-06-01", id="an offset of quarters"),
        pytest.param(345, "2026-06-01T18:15:00Z", "2026-06-02", id="and its midnight"),
    ],
)
def test_a_fixed_offset_has_days_of_its_own(offset_minutes: int, instant: str, day: str) -> None:
    found = reward_day.find_reward_day_at_offset(at(instant), offset_minutes, window())
    assert found.day == datetime.date.fromisoformat(day)


@pytest.mark.parametrize(
    ("instant", "zone", "hours"),
    [
        pytest.param("2026-03-08T12:00:00Z", "America/New_York", 23, id="spring forward"),
        pytest.param("2026-11-01T12:00:00Z", "America/New_York", 25, id="fall back"),
        pytest.param("2026-10-03T20:00:00Z", "Australia/Lord_Howe", 23.5, id="by half an hour"),
        pytest.param("2026-04-04T20:00:00Z", "Australia/Lord_Howe", 24.5, id="and back"),
        pytest.param("1969-09-30T12:00:00Z", "Pacific/Kwajalein", 47, id="a repeated date"),
        pytest.param("2011-12-30T12:00:00Z", "Pacific/Apia", 24, id="after a skipped date"),
    ],
)
def test_a_window_of_24_hours_is_the_whole_day_however_long_it_is(
    instant: str, zone: str, hours: float
) -> None:
    found = find(instant, zone)
    assert found.next_at - found.opens_at == datetime.timedelta(hours=hours)
    assert found.closes_at == found.next_at


@pytest.mark.parametrize(
    ("instant", "hours", "closes_at"),
    [
        pytest.param("2026-06-01T12:00:00Z", 1, "2026-06-01T05:00:00Z", id="an hour"),
        pytest.param("2026-03-08T12:00:00Z", 23, "2026-03-09T04:00:00Z", id="a day of 23 hours"),
        pytest.param("2026-11-01T12:00:00Z", 23, "2026-11-02T03:00:00Z", id="a day of 25 hours"),
    ],
)
def test_a_shorter_window_closes_after_its_hours_but_never_after_its_day(
    instant: str, hours: int, closes_at: str
) -> None:
    assert find(instant, "America/New_York", 0, hours).closes_at == at(closes_at)


def test_a_date_that_the_calendar_left_out_is_never_the_answer() -> None:
    left_out = datetime.date(2011, 12, 30)
    opens_at = reward_day.boundary(left_out, "Pacific/Apia", 0)
    assert opens_at == reward_day.boundary(datetime.date(2011, 12, 31), "Pacific/Apia", 0)
    for shift in (-MICROSECOND, datetime.timedelta(), MICROSECOND):
        found = reward_day.find_reward_day(
            at=opens_at + shift, time_zone="Pacific/Apia", window=window()
        )
        assert found.day != left_out


def test_the_zone_that_an_instant_is_written_in_does_not_matter() -> None:
    # In the hour that New York repeats, wall-clock comparison would see the same time twice.
    new_york = clock.open_zone("America/New_York")
    for fold in (0, 1):
        local = datetime.datetime(2026, 11, 1, 1, 30, fold=fold, tzinfo=new_york)
        arguments = {"time_zone": "Europe/Berlin", "window": window(6 * 60 + 45)}
        assert reward_day.find_reward_day(at=local, **arguments) == reward_day.find_reward_day(
            at=local.astimezone(UTC), **arguments
        )


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Niue"])
@pytest.mark.parametrize("offset_hours", [-12, 0, 14])
@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"])
def test_the_edge_of_the_calendar_is_refused(edge: str, offset_hours: int, zone: str) -> None:
    offset = datetime.timezone(datetime.timedelta(hours=offset_hours))
    instant = at(edge).replace(tzinfo=offset)
    with pytest.raises(InstantOutOfRange):
        reward_day.find_reward_day(at=instant, time_zone=zone, window=window())
    with pytest.raises(InstantOutOfRange):
        reward_day.find_reward_day_at_offset(instant, 0, window())


@pytest.mark.parametrize("instant", ["0001-01-04T00:00:00Z", "9999-12-28T00:00:00Z"])
@pytest.mark.parametrize("zone", sorted(clock.canonical_zones())[::40])
def test_a_few_days_from_the_edge_everything_works(instant: str, zone: str) -> None:
    found = find(instant, zone, 1439)
    assert found.opens_at <= at(instant) < found.next_at


@pytest.mark.parametrize("offset_minutes", [-1440, 1440, 10**12])
def test_an_offset_of_a_day_is_refused(offset_minutes: int) -> None:
    with pytest.raises(UtcOffsetInvalid):
        reward_day.find_reward_day_at_offset(at("2026-01-01T00:00:00Z"), offset_minutes, window())


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
def test_a_canonical_name_is_a_time_zone(name: str) -> None:
    assert reward_day.check_time_zone(name) == name


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("US/Eastern", "America/New_York"),
        ("CET", "Europe/Brussels"),
        ("Etc/UTC", "UTC"),
        ("Zulu", "UTC"),
        ("GMT", "UTC"),
    ],
)
def test_another_name_of_a_place_is_refused_with_the_one_to_use(name: str, use: str) -> None:
    with pytest.raises(TimeZoneUnknown, match=use) as refusal:
        reward_day.check_time_zone(name)
    assert refusal.value.facts["use"] == use


@pytest.mark.parametrize("name", ["EST5EDT", "Etc/GMT+5", "Factory", "", "Europe", "../etc/passwd"])
def test_what_is_no_place_is_refused(name: str) -> None:
    with pytest.raises(TimeZoneUnknown) as refusal:
        reward_day.check_time_zone(name)
    assert "use" not in refusal.value.facts


def test_a_hostile_name_is_not_echoed() -> None:
    with pytest.raises(TimeZoneUnknown) as refusal:
        reward_day.check_time_zone("\x1b[2J\n\0" + "x" * 1_000_000)
    assert len(refusal.value.message) < 200
    assert refusal.value.message.isprintable()


def test_the_strategy_says_whose_clock_counts() -> None:
    zones = {"player_zone": "Asia/Tokyo", "server_zone": "Europe/Berlin"}
    assert [reward_day.resolve_anchor(strategy, **zones) for strategy in AnchorStrategy] == [
        "Asia/Tokyo",
        "UTC",
        "Europe/Berlin",
    ]


zones = st.sampled_from(sorted(clock.canonical_zones()))
windows = st.builds(window, st.integers(0, 1439), st.integers(1, 24))
instants = st.datetimes(
    datetime.datetime(1970, 1, 1),  # noqa: DTZ001
    datetime.datetime(2037, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(zone=zones, window=windows, instant=instants)
def test_reward_days_divide_time_without_gap_or_overlap(
    zone: str, window: ClaimWindow, instant: datetime.datetime
) -> None:
    def find_at(moment: datetime.datetime) -> RewardDay:
        return reward_day.find_reward_day(at=moment, time_zone=zone, window=window)

    found = find_at(instant)
    assert found.opens_at <= instant < found.next_at
    assert found.opens_at < found.closes_at <= found.next_at
    assert find_at(found.opens_at) == find_at(found.next_at - MICROSECOND) == found
    following = find_at(found.next_at)
    assert following.day > found.day
    assert following.opens_at == found.next_at
    assert find_at(found.opens_at - MICROSECOND).next_at == found.opens_at


@given(zone=zones, window=windows, one=instants, other=instants)
def test_a_later_instant_never_has_an_earlier_reward_day(
    zone: str, window: ClaimWindow, one: datetime.datetime, other: datetime.datetime
) -> None:
    first, second = (
        reward_day.find_reward_day(at=moment, time_zone=zone, window=window)
        for moment in sorted((one, other))
    )
    assert first.day <= second.day


@given(zone=zones, start_minutes=st.integers(0, 1439), instant=instants)
def test_a_boundary_is_the_first_instant_at_which_the_clock_shows_the_start_or_later(
    zone: str, start_minutes: int, instant: datetime.datetime
) -> None:
    day = instant.date()
    opens_at = reward_day.boundary(day, zone, start_minutes)
    start = datetime.datetime(day.year, day.month, day.day)  # noqa: DTZ001
    start += datetime.timedelta(minutes=start_minutes)

    def shows(moment: datetime.datetime) -> datetime.datetime:
        return moment.astimezone(clock.open_zone(zone)).replace(tzinfo=None)

    assert shows(opens_at) >= start
    assert shows(opens_at - MICROSECOND) < start


@given(offset_minutes=st.integers(-720, 840), window=windows, instant=instants)
def test_an_offset_answers_as_a_zone_that_never_changes(
    offset_minutes: int, window: ClaimWindow, instant: datetime.datetime
) -> None:
    found = reward_day.find_reward_day_at_offset(instant, offset_minutes, window)
    shift = datetime.timedelta(minutes=offset_minutes)
    as_utc = reward_day.find_reward_day(at=instant + shift, time_zone="UTC", window=window)
    assert (found.day, found.opens_at + shift, found.next_at + shift) == (
        as_utc.day,
        as_utc.opens_at,
        as_utc.next_at,
    )
