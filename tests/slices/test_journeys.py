"""A player who travels and claims every day that there is for them never loses the streak."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emberkeep.base.clock import UTC
from emberkeep.xp.model import (
    ClaimStatus,
    PlayerId,
    Receipt,
    Season,
    SeasonId,
    TimeZoneCooldown,
    TimeZoneLimit,
    WindowClosed,
)
from emberkeep.xp.service import players
from emberkeep.xp.service.players import ZoneRule
from tests.acting import OPEN, Operator, rule_of
from tests.claiming import World, assert_clean, claim, make_policy, open_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from emberkeep.base.db import Connection

AUCKLAND = "Pacific/Auckland"
HONOLULU = "Pacific/Honolulu"
KIRITIMATI = "Pacific/Kiritimati"  # UTC+14
PAGO_PAGO = "Pacific/Pago_Pago"  # UTC-11
APIA = "Pacific/Apia"
BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
HOUR = datetime.timedelta(hours=1)
DAY = 24 * HOUR
SPREAD = 26 * HOUR
"""So far apart are the clocks of the earth."""


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with a policy that forgives nothing; clean afterwards."""
    world = World(database)
    world.publish(make_policy(pause=(9, 0)))
    yield world
    assert_clean(database)


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection like those that claims are written with."""
    async with open_writer(database) as conn:
        yield conn


@pytest.fixture
def operator(conn: Connection) -> Operator:
    """Somebody who moves players."""
    return Operator(conn)


def local(zone: str, text: str) -> datetime.datetime:
    """Return the instant at which the clocks of `zone` show `text`."""
    at = datetime.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone))
    return at.astimezone(UTC)


def list_actions(world: World) -> list[tuple[str, str, str]]:
    return [
        (kind, first.isoformat(), last.isoformat())
        for kind, first, last in world.execute(
            "select kind, first_day, last_day from xp.xp_streak_actions order by action_id"
        )
    ]


# Over the date line


@pytest.mark.parametrize(
    ("old", "new", "skipped"),
    [
        pytest.param(PAGO_PAGO, KIRITIMATI, ["2026-06-11"], id="25 hours ahead"),
        pytest.param(HONOLULU, KIRITIMATI, ["2026-06-11"], id="24 hours ahead"),
        pytest.param(PAGO_PAGO, APIA, ["2026-06-11"], id="the neighbour over the line"),
        pytest.param(HONOLULU, AUCKLAND, [], id="22 hours ahead: late on the next day"),
        pytest.param(NEW_YORK, BERLIN, [], id="6 hours ahead"),
        pytest.param(KIRITIMATI, PAGO_PAGO, [], id="25 hours back"),
        pytest.param(AUCKLAND, HONOLULU, [], id="22 hours back"),
    ],
)
async def test_a_streak_goes_on_over_the_date_line(
    world: World, conn: Connection, operator: Operator, old: str, new: str, skipped: list[str]
) -> None:
    world.add_players("p", zone=old)
    first = await claim(conn, "p", local(old, "2026-06-10T12:00"))
    change = await operator.move("p", new, local(old, "2026-06-10T18:00"))
    assert change.effective_at == local(old, "2026-06-11T00:00")
    assert list_actions(world) == [("days_skipped", day, day) for day in skipped]
    opens_at = (await claim(conn, "p", local(old, "2026-06-10T20:00"))).next_boundary_at
    after = await claim(conn, "p", opens_at)
    assert (after.status, after.streak.current) == (ClaimStatus.NEW, 2)
    assert (after.reward_day_id - first.reward_day_id).days == 1 + len(skipped)
    assert (after.explain.missed_days, after.explain.excused_days) == (0, len(skipped))


async def test_who_misses_a_day_on_arrival_has_missed_it(
    world: World, conn: Connection, operator: Operator
) -> None:
    world.add_players("p", zone=PAGO_PAGO)
    await claim(conn, "p", local(PAGO_PAGO, "2026-06-10T12:00"))
    await operator.move("p", KIRITIMATI, local(PAGO_PAGO, "2026-06-10T18:00"))
    after = await claim(conn, "p", local(KIRITIMATI, "2026-06-13T12:00"))
    assert (after.explain.missed_days, after.explain.excused_days) == (1, 1)
    assert after.streak.current == 1


async def test_a_change_that_is_taken_back_restores_the_day(
    world: World, conn: Connection, operator: Operator
) -> None:
    world.add_players("p", zone=PAGO_PAGO)
    await claim(conn, "p", local(PAGO_PAGO, "2026-06-10T12:00"))
    await operator.move("p", KIRITIMATI, local(PAGO_PAGO, "2026-06-10T18:00"))
    await operator.move("p", PAGO_PAGO, local(PAGO_PAGO, "2026-06-10T19:00"))
    assert [kind for kind, *_ in list_actions(world)] == ["days_skipped", "days_restored"]
    after = await claim(conn, "p", local(PAGO_PAGO, "2026-06-12T12:00"))
    assert (after.explain.missed_days, after.streak.current) == (1, 1)


async def test_another_change_in_its_place_excuses_what_that_one_leaves_out(
    world: World, conn: Connection, operator: Operator
) -> None:
    world.add_players("p", zone=PAGO_PAGO)
    await claim(conn, "p", local(PAGO_PAGO, "2026-06-10T12:00"))
    for number, zone in enumerate((KIRITIMATI, BERLIN, APIA)):
        await operator.move("p", zone, local(PAGO_PAGO, f"2026-06-10T18:{number}0"))
    day = "2026-06-11"
    assert list_actions(world) == [
        ("days_skipped", day, day),
        ("days_restored", day, day),
        ("days_skipped", day, day),
    ]


async def test_a_day_that_is_paused_too_stays_excused_whichever_is_taken_back(
    world: World, conn: Connection, operator: Operator
) -> None:
    world.publish(make_policy(pause=(9, 0)), version=2)
    world.add_players("p", "q", zone=PAGO_PAGO)
    for player in ("p", "q"):
        await claim(conn, player, local(PAGO_PAGO, "2026-03-10T12:00"))
        await operator.pause(player, 10, 11, local(PAGO_PAGO, "2026-03-10T13:00"))
        await operator.move(player, KIRITIMATI, local(PAGO_PAGO, "2026-03-10T18:00"))
    # The pause is of the 11th and the 12th, and the journey leaves out the 11th.
    await operator.move("p", PAGO_PAGO, local(PAGO_PAGO, "2026-03-10T19:00"))
    after = await claim(conn, "p", local(PAGO_PAGO, "2026-03-13T12:00"))
    assert (after.explain.excused_days, after.streak.current) == (2, 2)
    await operator.resume("q", local(PAGO_PAGO, "2026-03-10T20:00"))
    after = await claim(conn, "q", local(KIRITIMATI, "2026-03-12T12:00"))
    assert (after.explain.excused_days, after.streak.current) == (1, 2)


async def test_a_window_that_has_closed_on_arrival_costs_nothing(
    world: World, conn: Connection, operator: Operator
) -> None:
    policy = make_policy(window=(0, 3))
    world.publish(policy, version=2)
    world.add_players("p", zone=NEW_YORK)
    await claim(conn, "p", local(NEW_YORK, "2026-06-10T01:00"))
    # It is six in the morning in Berlin then, and the window of the 11th has closed at three.
    await operator.move(
        "p", BERLIN, local(NEW_YORK, "2026-06-10T02:00"), rule_of(policy.claim_window)
    )
    after = await claim(conn, "p", local(BERLIN, "2026-06-12T01:00"))
    assert (after.explain.excused_days, after.streak.current) == (1, 2)


@pytest.mark.parametrize(
    ("night", "old", "new"),
    [
        pytest.param("2026-03-28T12:00", NEW_YORK, BERLIN, id="into spring forward"),
        pytest.param("2026-10-24T12:00", BERLIN, NEW_YORK, id="out of fall back"),
        pytest.param("2026-04-04T12:00", "Australia/Lord_Howe", HONOLULU, id="half an hour, west"),
        pytest.param("2026-10-03T12:00", HONOLULU, "Australia/Lord_Howe", id="half an hour, east"),
    ],
)
async def test_a_journey_in_the_night_that_the_clocks_change_keeps_the_streak(
    world: World, conn: Connection, operator: Operator, night: str, old: str, new: str
) -> None:
    world.add_players("p", zone=old)
    receipt = await claim(conn, "p", local(old, night))
    await operator.move("p", new, local(old, night))
    days = [receipt.reward_day_id]
    for expected in (2, 3, 4):
        receipt = await claim(conn, "p", receipt.next_boundary_at)
        if receipt.status is ClaimStatus.ALREADY_CLAIMED:
            receipt = await claim(conn, "p", receipt.next_boundary_at)
        assert receipt.streak.current == expected
        days.append(receipt.reward_day_id)
    assert days == sorted(set(days))


# Random travel

ZONES = st.sampled_from(
    [KIRITIMATI, AUCKLAND, APIA, "Asia/Kolkata", BERLIN, "UTC", NEW_YORK, HONOLULU, PAGO_PAGO]
)
_numbers = iter(range(10**9))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    home=ZONES,
    journeys=st.lists(st.tuples(st.integers(0, 60), ZONES), min_size=1, max_size=8),
    window=st.sampled_from([(0, 24), (300, 24), (1200, 5)]),
    start=st.sampled_from(["2026-03-27T13:30", "2026-10-02T00:00", "2026-06-10T10:59"]),
)
@example(
    home=PAGO_PAGO,
    journeys=[(30, KIRITIMATI), (1, PAGO_PAGO), (30, KIRITIMATI), (30, HONOLULU)],
    window=(0, 24),
    start="2026-06-10T10:59",
)
async def test_whoever_claims_as_early_as_possible_on_every_journey_keeps_the_streak(
    database: str,
    conn: Connection,
    home: str,
    journeys: list[tuple[int, str]],
    window: tuple[int, int],
    start: str,
) -> None:
    """And gains no day more than the clocks of the earth have shown."""
    world, player = World(database), f"q{next(_numbers)}"
    policy = make_policy(window=window)
    _publish_next(world, policy)
    world.add_players(player, zone=home)
    operator, rule = Operator(conn), rule_of(policy.claim_window)
    at = datetime.datetime.fromisoformat(start).replace(tzinfo=UTC)
    claims: list[tuple[datetime.datetime, Receipt]] = []
    for hours, zone in [*journeys, (72, home)]:
        leaves_at = at + hours * HOUR
        while at < leaves_at:
            opens_at = await _claim_when_open(conn, player, at, claims)
            at = min(opens_at, leaves_at)
        await operator.move(player, zone, leaves_at, rule)
    receipts = [receipt for _, receipt in claims]
    assert [receipt.streak.current for receipt in receipts] == list(range(1, len(receipts) + 1))
    days = [receipt.reward_day_id for receipt in receipts]
    assert days == sorted(set(days))
    for first, (first_at, _) in enumerate(claims):
        for last, (last_at, _) in enumerate(claims[first:], first):
            assert (last - first) * DAY <= last_at - first_at + SPREAD + DAY


def _publish_next(world: World, policy: object) -> None:
    ((version,),) = world.execute(
        "select coalesce(max(policy_version), 0) + 1 from xp.xp_policy_versions"
    )
    world.publish(policy, version=version)  # type: ignore[arg-type]


async def _claim_when_open(
    conn: Connection,
    player: str,
    at: datetime.datetime,
    claims: list[tuple[datetime.datetime, Receipt]],
) -> datetime.datetime:
    """Claim at `at`, if that can be; return when it is worth trying again."""
    try:
        receipt = await claim(conn, player, at)
    except WindowClosed as e:
        opens_at = e.facts["opens_at"]
        assert isinstance(opens_at, datetime.datetime)
        return opens_at
    if receipt.status is ClaimStatus.NEW:
        claims.append((at, receipt))
    return receipt.next_boundary_at


# How often


def make_rule(limit: int | None, *, cooldown_days: int = 0) -> ZoneRule:
    seasons = tuple(
        Season(
            season_id=SeasonId(name),
            start_date=datetime.date.fromisoformat(first),
            end_date=datetime.date.fromisoformat(last),
        )
        for name, first, last in [
            ("june", "2026-06-01", "2026-06-30"),
            ("july", "2026-07-01", "2026-07-31"),
        ]
    )
    return ZoneRule(
        cooldown_days=cooldown_days, changes_per_season=limit, seasons=seasons, window=None
    )


async def test_a_season_allows_so_many_changes_and_says_when_it_is_over(
    world: World, operator: Operator
) -> None:
    world.add_players("p", zone=BERLIN)
    rule = make_rule(2)
    for day, zone in ((3, NEW_YORK), (5, HONOLULU)):
        await operator.move("p", zone, local("UTC", f"2026-06-0{day}T12:00"), rule)
    with pytest.raises(TimeZoneLimit) as refused:
        await operator.move("p", BERLIN, local("UTC", "2026-06-20T12:00"), rule)
    july = local(HONOLULU, "2026-07-01T00:00")
    assert refused.value.facts == {"opens_at": july, "limit": 2}
    with pytest.raises(TimeZoneLimit):
        await operator.move("p", BERLIN, july - HOUR, rule)
    await operator.move("p", BERLIN, july, rule)


async def test_none_is_allowed_within_seasons_and_the_cooldown_alone_holds_outside(
    world: World, operator: Operator
) -> None:
    world.add_players("p", zone="UTC")
    rule = make_rule(0, cooldown_days=7)
    with pytest.raises(TimeZoneLimit) as refused:
        await operator.move("p", BERLIN, local("UTC", "2026-06-20T12:00"), rule)
    # The season right behind it allows none either.
    assert refused.value.facts["opens_at"] == local("UTC", "2026-08-01T00:00")
    await operator.move("p", BERLIN, local("UTC", "2026-08-01T00:00"), rule)
    with pytest.raises(TimeZoneCooldown) as cooling:
        await operator.move("p", "UTC", local("UTC", "2026-08-03T00:00"), rule)
    assert cooling.value.facts == {"opens_at": local("UTC", "2026-08-08T00:00")}


async def test_a_change_that_waits_is_taken_back_whatever_cooldown_and_season_say(
    world: World, operator: Operator
) -> None:
    world.add_players("p", zone="UTC")
    rule = make_rule(1, cooldown_days=10)
    noon = local("UTC", "2026-06-25T12:00")
    await operator.move("p", BERLIN, noon, rule)
    await operator.move("p", "UTC", noon + HOUR, rule)
    zones = world.execute("select reward_tz, next_reward_tz from xp.xp_users")
    assert zones == [("UTC", None)]
    # It was a change all the same: the next one waits.
    with pytest.raises(TimeZoneLimit):
        await operator.move("p", BERLIN, noon + 2 * HOUR, rule)


async def test_the_reason_that_holds_longer_says_when(world: World, operator: Operator) -> None:
    world.add_players("p", zone="UTC")
    rule = make_rule(1, cooldown_days=10)
    await operator.move("p", BERLIN, local("UTC", "2026-06-25T00:00"), rule)
    with pytest.raises(TimeZoneLimit) as refused:
        await operator.move("p", NEW_YORK, local("UTC", "2026-06-28T00:00"), rule)
    assert refused.value.facts["opens_at"] == local("UTC", "2026-07-05T00:00")


async def test_every_request_is_in_the_history_refused_ones_too(
    world: World, conn: Connection, operator: Operator
) -> None:
    world.add_players("p", zone="UTC")
    await operator.move("p", BERLIN, local("UTC", "2026-06-25T00:00"), make_rule(1))
    with pytest.raises(TimeZoneLimit):
        await operator.move("p", NEW_YORK, local("UTC", "2026-06-28T00:00"), make_rule(1))
    await operator.move("p", BERLIN, local("UTC", "2026-06-28T01:00"), OPEN)  # It holds already.
    first = await players.list_zone_changes(conn, player_id=PlayerId("p"), limit=1, after=None)
    second = await players.list_zone_changes(
        conn, player_id=PlayerId("p"), limit=1, after=first.next
    )
    found = [
        (c.old_time_zone, c.new_time_zone, c.granted, c.effective_at is not None)
        for c in (*first.items, *second.items)
    ]
    assert found == [(BERLIN, NEW_YORK, False, False), ("UTC", BERLIN, True, True)]
    assert second.next is None
