"""A player who moves: no day is paid twice, none is paid after a later one, and none is invented."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberkeep.base.clock import UTC
from emberkeep.xp.model import AnchorStrategy, ClaimStatus, Receipt, WindowClosed
from tests.claiming import World, assert_clean, claim, make_policy, open_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from emberkeep.base.db import Connection

KIRITIMATI = "Pacific/Kiritimati"  # UTC+14
PAGO_PAGO = "Pacific/Pago_Pago"  # UTC-11
BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
HOUR = datetime.timedelta(hours=1)
MOMENT = datetime.timedelta(microseconds=1)


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with the plain policy; clean afterwards."""
    world = World(database)
    world.publish(make_policy())
    yield world
    assert_clean(database)


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection like those that claims are written with."""
    async with open_writer(database) as conn:
        yield conn


def local(zone: str, text: str) -> datetime.datetime:
    """Return the instant at which the clocks of `zone` show `text`."""
    at = datetime.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone))
    return at.astimezone(UTC)


def day_of(receipt: Receipt) -> str:
    return receipt.reward_day_id.isoformat()


async def test_until_the_boundary_the_old_zone_holds(world: World, conn: Connection) -> None:
    world.add_players("p", zone=BERLIN)
    changes_at = local(BERLIN, "2026-06-11T00:00")
    world.change_zone("p", NEW_YORK, at=changes_at)
    receipt = await claim(conn, "p", changes_at - MOMENT)
    assert (day_of(receipt), receipt.status) == ("2026-06-10", ClaimStatus.NEW)
    # In New York the 10th goes on for six hours: a day that was paid.
    again = await claim(conn, "p", changes_at)
    assert (again.status, again.receipt_id) == (ClaimStatus.ALREADY_CLAIMED, receipt.receipt_id)
    assert receipt.next_boundary_at == again.next_boundary_at == local(NEW_YORK, "2026-06-11T00:00")
    assert (await claim(conn, "p", again.next_boundary_at - MOMENT)).status is again.status
    after = await claim(conn, "p", again.next_boundary_at)
    assert (day_of(after), after.status) == ("2026-06-11", ClaimStatus.NEW)
    assert after.streak.current == 2


async def test_to_the_east_the_new_day_begins_with_the_change(
    world: World, conn: Connection
) -> None:
    world.add_players("p", zone=NEW_YORK)
    changes_at = local(NEW_YORK, "2026-06-11T00:00")
    world.change_zone("p", BERLIN, at=changes_at)
    receipt = await claim(conn, "p", changes_at - HOUR)
    assert (day_of(receipt), receipt.next_boundary_at) == ("2026-06-10", changes_at)
    after = await claim(conn, "p", changes_at)
    assert (day_of(after), after.status) == ("2026-06-11", ClaimStatus.NEW)
    assert after.next_boundary_at == local(BERLIN, "2026-06-12T00:00")


async def test_across_the_date_line_to_the_west_no_day_comes_twice(
    world: World, conn: Connection
) -> None:
    world.add_players("p", zone=KIRITIMATI)
    changes_at = local(KIRITIMATI, "2026-06-11T00:00")
    world.change_zone("p", PAGO_PAGO, at=changes_at)
    first = await claim(conn, "p", changes_at - HOUR)
    opens_at = local(PAGO_PAGO, "2026-06-11T00:00")
    assert (day_of(first), first.next_boundary_at) == ("2026-06-10", opens_at)
    # In Pago Pago it is the 9th, then the 10th: one earlier, one paid.
    for instant in (changes_at, changes_at + 2 * HOUR, opens_at - MOMENT):
        again = await claim(conn, "p", instant)
        assert (again.status, day_of(again)) == (ClaimStatus.ALREADY_CLAIMED, "2026-06-10")
        assert again.next_boundary_at == opens_at
    after = await claim(conn, "p", opens_at)
    assert (day_of(after), after.status, after.streak.current) == (
        "2026-06-11",
        ClaimStatus.NEW,
        2,
    )


async def test_across_the_date_line_to_the_east_a_day_is_left_out(
    world: World, conn: Connection
) -> None:
    world.add_players("p", zone=PAGO_PAGO)
    changes_at = local(PAGO_PAGO, "2026-06-11T00:00")
    world.change_zone("p", KIRITIMATI, at=changes_at)
    first = await claim(conn, "p", changes_at - HOUR)
    assert (day_of(first), first.next_boundary_at) == ("2026-06-10", changes_at)
    after = await claim(conn, "p", changes_at)
    assert (day_of(after), after.status) == ("2026-06-12", ClaimStatus.NEW)
    assert after.next_boundary_at == local(KIRITIMATI, "2026-06-13T00:00")


async def test_a_window_that_has_closed_where_the_player_moves_to_is_not_promised(
    database: str, conn: Connection
) -> None:
    world = World(database)
    world.publish(make_policy(window=(0, 3)))
    world.add_players("p", zone=NEW_YORK)
    changes_at = local(NEW_YORK, "2026-06-11T00:00")  # Six in the morning in Berlin.
    world.change_zone("p", BERLIN, at=changes_at)
    receipt = await claim(conn, "p", local(NEW_YORK, "2026-06-10T01:00"))
    opens_at = local(BERLIN, "2026-06-12T00:00")
    assert receipt.next_boundary_at == opens_at
    with pytest.raises(WindowClosed):
        await claim(conn, "p", opens_at - MOMENT)
    assert day_of(await claim(conn, "p", opens_at)) == "2026-06-12"


async def test_a_day_that_was_not_claimed_before_a_move_to_the_west_can_still_be(
    world: World, conn: Connection
) -> None:
    world.add_players("p", zone=BERLIN)
    changes_at = local(BERLIN, "2026-06-11T00:00")
    world.change_zone("p", NEW_YORK, at=changes_at)
    receipt = await claim(conn, "p", changes_at)
    assert (day_of(receipt), receipt.status) == ("2026-06-10", ClaimStatus.NEW)


@pytest.mark.parametrize(
    ("anchor", "day"),
    [(AnchorStrategy.FIXED_UTC, "2026-06-10"), (AnchorStrategy.ANCHOR_TIMEZONE, "2026-06-11")],
)
async def test_a_policy_that_follows_another_clock_does_not_mind_the_player_s(
    world: World, conn: Connection, anchor: AnchorStrategy, day: str
) -> None:
    world.publish(make_policy(anchor=anchor), version=2)
    world.add_players("p", zone=KIRITIMATI)
    world.change_zone("p", BERLIN, at=local(KIRITIMATI, "2026-06-12T00:00"))
    receipt = await claim(conn, "p", datetime.datetime(2026, 6, 10, 12, tzinfo=UTC))
    assert day_of(receipt) == day


async def test_a_date_that_the_calendar_left_out_is_nobody_s_reward_day(
    world: World, conn: Connection
) -> None:
    # Samoa left out the 30th of December 2011.
    world.add_players("p", zone="Pacific/Apia")
    first = await claim(conn, "p", datetime.datetime(2011, 12, 30, 9, 59, tzinfo=UTC))
    after = await claim(conn, "p", datetime.datetime(2011, 12, 30, 10, 0, tzinfo=UTC))
    assert [day_of(first), day_of(after)] == ["2011-12-29", "2011-12-31"]
    assert first.next_boundary_at == datetime.datetime(2011, 12, 30, 10, tzinfo=UTC)


ZONES = st.sampled_from([KIRITIMATI, PAGO_PAGO, BERLIN, NEW_YORK, "Asia/Kolkata", "UTC"])
_numbers = iter(range(10**9))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    old=ZONES,
    new=ZONES,
    hours=st.lists(st.integers(0, 12 * 24), min_size=2, max_size=12).map(sorted),
)
async def test_whatever_the_move_the_promised_boundary_is_the_first_instant_that_pays(
    world: World, conn: Connection, old: str, new: str, hours: list[int]
) -> None:
    player = f"q{next(_numbers)}"
    world.add_players(player, zone=old)
    changes_at = local(old, "2026-06-06T00:00")
    world.change_zone(player, new, at=changes_at)
    start = datetime.datetime(2026, 6, 1, tzinfo=UTC)
    days: list[str] = []
    for hour in hours:
        receipt = await claim(conn, player, start + hour * HOUR)
        if receipt.status is ClaimStatus.NEW:
            days.append(day_of(receipt))
        assert days == sorted(set(days))
        assert day_of(receipt) == days[-1]
        assert start + hour * HOUR < receipt.next_boundary_at
        before = await claim(conn, player, receipt.next_boundary_at - MOMENT)
        assert before.receipt_id == receipt.receipt_id
    after = await claim(conn, player, receipt.next_boundary_at)
    assert (after.status, day_of(after) > days[-1]) == (ClaimStatus.NEW, True)


@pytest.mark.parametrize(
    ("moves_to", "opens_at"),
    [(BERLIN, "2026-06-11T22:00:00+00:00"), (PAGO_PAGO, "2026-06-11T11:00:00+00:00")],
)
async def test_a_closed_window_names_the_opening_where_the_player_moves_to(
    database: str, conn: Connection, moves_to: str, opens_at: str
) -> None:
    world = World(database)
    world.publish(make_policy(window=(0, 3)))
    world.add_players("p", zone=NEW_YORK)
    world.change_zone("p", moves_to, at=local(NEW_YORK, "2026-06-11T00:00"))
    with pytest.raises(WindowClosed) as refused:
        await claim(conn, "p", local(NEW_YORK, "2026-06-10T12:00"))
    promised = refused.value.facts["opens_at"]
    assert promised == datetime.datetime.fromisoformat(opens_at)
    assert isinstance(promised, datetime.datetime)
    assert (await claim(conn, "p", promised)).status is ClaimStatus.NEW
