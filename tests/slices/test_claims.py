"""A claim is paid once: what it writes, what a repeat is told, and how it is refused."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import msgspec
import psycopg
import pytest

from emberkeep.base.clock import UTC
from emberkeep.events.model import StreamDeleted
from emberkeep.xp.model import (
    SCALE,
    ClaimStatus,
    CooldownRunning,
    DecayCurve,
    Milestone,
    MilestoneMetaReward,
    PlayerUnknown,
    PolicyNotInForce,
    PolicyUnknown,
    Receipt,
    SeasonalBoost,
    StreakChange,
    TieredSeasonalReset,
    WindowClosed,
)
from tests.claiming import (
    World,
    assert_clean,
    at,
    claim,
    claim_together,
    day_id,
    make_policy,
    make_request,
    open_desk,
    open_writer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from emberkeep.base.db import Connection


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with the plain policy and the player `p`; clean afterwards."""
    world = World(database)
    world.add_players("p")
    yield world
    assert_clean(database)


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection like those that claims are written with."""
    async with open_writer(database) as conn:
        yield conn


def as_repeat(receipt: Receipt) -> Receipt:
    """Return what every repeat of the claim must be told."""
    return msgspec.structs.replace(receipt, status=ClaimStatus.ALREADY_CLAIMED)


# Paid


async def test_a_first_claim_writes_award_ledger_balance_streak_and_event(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy(curve=[(15_000, 7)]))
    receipt = await claim(conn, "p", at(0))
    assert receipt.status is ClaimStatus.NEW
    assert (receipt.reward_day_id.isoformat(), receipt.xp_awarded) == (day_id(0), 157)
    assert (receipt.streak.current, receipt.streak.longest, receipt.streak.grace_used) == (1, 1, 0)
    assert (receipt.policy_key, receipt.policy_version) == ("daily-login", 1)
    assert receipt.next_boundary_at == at(1, 0)
    assert receipt.explain.streak is StreakChange.STARTED
    trail = world.read_trail("p")
    assert trail.awards == [(day_id(0), 157, receipt.receipt_id)]
    assert trail.ledger == [(157, receipt.receipt_id)]
    assert trail.events == [("DailyLoginClaimed", day_id(0))]
    assert (trail.balance.current, trail.balance.lifetime, trail.balance.seasonal) == (157, 157, 0)
    assert (receipt.balance.current, receipt.balance.lifetime) == (157, 157)
    assert trail.streak == (1, 1, 0, day_id(0))


async def test_the_next_day_is_paid_and_the_streak_grows(world: World, conn: Connection) -> None:
    world.publish(make_policy(curve=[(SCALE, 0), (2 * SCALE, 0)]))
    receipts = [await claim(conn, "p", at(day)) for day in range(3)]
    assert [receipt.xp_awarded for receipt in receipts] == [100, 200, 200]
    assert [receipt.streak.current for receipt in receipts] == [1, 2, 3]
    assert world.read_trail("p").streak == (3, 3, 0, day_id(2))


@pytest.mark.parametrize(
    ("grace", "streak"), [((2, 2), (2, 2, 2)), ((1, 2), (1, 1, 0)), ((2, 1), (1, 1, 0))]
)
async def test_grace_needs_both_room_in_the_window_and_misses_left(
    world: World, conn: Connection, grace: tuple[int, int], streak: tuple[int, int, int]
) -> None:
    if grace == (2, 1):
        # No document may say so; the table's own check agrees.
        with pytest.raises(psycopg.errors.CheckViolation):
            world.publish(make_policy(grace=grace))
        return
    world.publish(make_policy(grace=grace))
    await claim(conn, "p", at(0))
    receipt = await claim(conn, "p", at(3))
    assert msgspec.structs.astuple(receipt.streak) == streak


async def test_a_window_that_is_passed_is_not_covered_by_misses_that_are_left(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy(grace=(2, 2)))
    await claim(conn, "p", at(0))
    await claim(conn, "p", at(2))
    receipt = await claim(conn, "p", at(5))
    assert msgspec.structs.astuple(receipt.streak) == (1, 2, 0)


async def test_a_decayed_streak_is_stored_as_it_was_paid(world: World, conn: Connection) -> None:
    world.publish(make_policy(DecayCurve(decay_percent=5_000, grace_day=0)))
    for day in range(8):
        await claim(conn, "p", at(day))
    receipt = await claim(conn, "p", at(10))
    assert (receipt.streak.current, receipt.streak.longest) == (2, 8)
    assert receipt.explain.streak is StreakChange.DECAYED
    assert world.read_trail("p").streak == (2, 8, 0, day_id(10))


async def test_a_boost_counts_at_the_instant_of_the_claim(world: World, conn: Connection) -> None:
    boost = SeasonalBoost(label="Noon", multiplier=20_000, start_at=at(0), end_at=at(1))
    world.publish(make_policy(boosts=[boost]))
    world.add_players("early", "late")
    early = await claim(conn, "early", at(0, 11.99))
    inside = await claim(conn, "p", at(0))
    late = await claim(conn, "late", at(1))
    assert [r.xp_awarded for r in (early, inside, late)] == [100, 200, 100]
    assert inside.explain.boost_label == "Noon"


async def test_a_claim_whose_event_cannot_be_told_is_not_paid(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy())
    await claim(conn, "p", at(0))
    world.execute("update event_store.event_streams set deleted_at = now()")
    before = world.read_trail("p")
    with pytest.raises(StreamDeleted):
        await claim(conn, "p", at(1))
    assert world.read_trail("p") == before


# Repeated


async def test_a_repeat_later_that_day_gets_the_same_receipt_and_figures(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy())
    first = await claim(conn, "p", at(0, 0))
    before = world.read_trail("p")
    for hour in (0, 0.001, 12, 23.999):
        assert await claim(conn, "p", at(0, hour)) == as_repeat(first)
    assert world.read_trail("p") == before


async def test_a_repeat_after_a_grant_shows_the_balance_of_the_claim(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy())
    first = await claim(conn, "p", at(0))
    world.grant("p", 1000)
    assert await claim(conn, "p", at(0)) == as_repeat(first)
    assert world.read_trail("p").balance.current == 1100
    after = await claim(conn, "p", at(1))
    assert after.balance.current == 1200


async def test_a_repeat_at_another_process_gets_the_same(world: World) -> None:
    world.publish(make_policy(), effective_at=at(0, 0))
    async with open_desk(world.dsn) as one, open_desk(world.dsn) as other:
        first = await one.claim(player_id="p", policy_key="daily-login", now=at(0))
        world.grant("p", 1000)
        for desk in (one, other, one, other):
            repeat = await desk.claim(player_id="p", policy_key="daily-login", now=at(0, 13))
            assert repeat == as_repeat(first)


async def test_a_repeat_after_the_policy_changed_shows_what_was_paid(world: World) -> None:
    world.publish(make_policy(base_xp=100))
    async with open_desk(world.dsn) as one:
        first = await one.claim(player_id="p", policy_key="daily-login", now=at(0))
        world.publish(make_policy(base_xp=999), version=2, effective_at=at(0, 13))
        async with open_desk(world.dsn) as other:
            for desk in (one, other):
                repeat = await desk.claim(player_id="p", policy_key="daily-login", now=at(0, 14))
                assert repeat == as_repeat(first)
    assert (first.policy_version, first.xp_awarded) == (1, 100)


async def test_another_policy_does_not_pay_the_same_day_again(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy())
    world.publish(make_policy(key="weekend"))
    first = await claim(conn, "p", at(0))
    (again,) = await claim_together(conn, [make_request("p", at(0), key="weekend")])
    assert again == as_repeat(first)


async def test_an_earlier_day_is_never_paid_after_a_later_one(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy())
    later = await claim(conn, "p", at(5))
    for day in (4, 0, -300):
        answer = await claim(conn, "p", at(day))
        assert answer.receipt_id == later.receipt_id
        assert answer.status is ClaimStatus.ALREADY_CLAIMED
    assert len(world.read_trail("p").awards) == 1


# Refused


async def test_an_unknown_player_is_refused(world: World, conn: Connection) -> None:
    world.publish(make_policy())
    with pytest.raises(PlayerUnknown):
        await claim(conn, "nobody", at(0))


async def test_an_unknown_policy_is_refused(world: World, conn: Connection) -> None:
    world.publish(make_policy())
    (answer,) = await claim_together(conn, [make_request("p", at(0), key="other")])
    assert isinstance(answer, PolicyUnknown)
    assert answer.facts["policy_key"] == "other"


async def test_no_policy_is_in_force_before_the_first_and_after_the_last(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy(), effective_at=at(1, 0))
    with pytest.raises(PolicyNotInForce):
        await claim(conn, "p", at(0, 23.999))
    await claim(conn, "p", at(1, 0))
    world.retire(at=at(2, 0))
    await claim(conn, "p", at(1, 23))
    with pytest.raises(PolicyNotInForce):
        await claim(conn, "p", at(2, 0))
    assert len(world.read_trail("p").awards) == 1


async def test_a_closed_window_says_when_the_next_one_opens(world: World, conn: Connection) -> None:
    world.publish(make_policy(window=(300, 2)))
    for instant in (at(0, 7), at(1, 4.999)):
        with pytest.raises(WindowClosed) as refused:
            await claim(conn, "p", instant)
        assert refused.value.facts == {
            "reward_day_id": day_id(0),
            "closed_at": at(0, 7),
            "opens_at": at(1, 5),
        }
    assert world.read_trail("p").awards == []
    receipt = await claim(conn, "p", at(1, 5))
    assert receipt.next_boundary_at == at(2, 5)


async def test_a_repeat_after_the_window_closed_is_still_answered(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy(window=(300, 2)))
    first = await claim(conn, "p", at(0, 6.999))
    assert await claim(conn, "p", at(0, 20)) == as_repeat(first)


async def test_a_cooldown_is_answered_with_the_last_receipt(world: World, conn: Connection) -> None:
    world.publish(make_policy(cooldown_hours=20))
    first = await claim(conn, "p", at(0, 23))
    with pytest.raises(CooldownRunning) as refused:
        await claim(conn, "p", at(1, 18.999))
    assert refused.value.facts["opens_at"] == at(1, 19)
    receipt = refused.value.facts["receipt"]
    assert isinstance(receipt, Receipt)
    assert receipt.receipt_id == first.receipt_id
    assert receipt.xp_awarded == first.xp_awarded
    second = await claim(conn, "p", at(1, 19))
    assert second.status is ClaimStatus.NEW


async def test_a_cooldown_does_not_hide_the_day_s_own_receipt(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy(cooldown_hours=20))
    first = await claim(conn, "p", at(0, 1))
    assert await claim(conn, "p", at(0, 2)) == as_repeat(first)


# Segments, seasons, milestones


async def test_a_segment_gets_the_version_that_is_its_own(world: World, conn: Connection) -> None:
    world.publish(make_policy(base_xp=100))
    world.publish(make_policy(base_xp=200), version=2)
    world.override("vip", version=1)
    world.add_players("v", segment="vip")
    world.add_players("other", segment="new")
    receipts = [await claim(conn, player, at(0)) for player in ("p", "v", "other")]
    assert [(r.xp_awarded, r.policy_version, r.segment) for r in receipts] == [
        (200, 2, None),
        (100, 1, "vip"),
        (200, 2, None),
    ]


async def test_a_segment_s_version_does_not_outlive_the_policy(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy())
    world.override("vip", version=1)
    world.add_players("v", segment="vip")
    world.retire(at=at(0, 0))
    with pytest.raises(PolicyNotInForce):
        await claim(conn, "v", at(0))


async def test_seasonal_xp_starts_at_zero_with_each_season(world: World, conn: Connection) -> None:
    world.publish(make_policy())
    world.add_season("s1", 0, 1)
    world.add_season("s2", 3, 9)
    receipts = [await claim(conn, "p", at(day)) for day in range(5)]
    # Day 2 belongs to no season, and leaves what the last one brought.
    assert [receipt.balance.seasonal for receipt in receipts] == [100, 200, 200, 100, 200]
    assert [receipt.explain.season_id for receipt in receipts] == ["s1", "s1", None, "s2", "s2"]
    balance = world.read_trail("p").balance
    assert (balance.current, balance.lifetime, balance.seasonal) == (500, 500, 200)
    assert balance.season_id == "s2"


async def test_a_season_s_end_restarts_a_seasonal_streak_and_grace_does_not_bridge_it(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy(TieredSeasonalReset(tiers=()), grace=(3, 3)))
    world.add_season("s1", 0, 3)
    days = [0, 1, 3, 4]
    receipts = [await claim(conn, "p", at(day)) for day in days]
    assert [receipt.streak.current for receipt in receipts] == [1, 2, 3, 1]
    assert receipts[2].streak.grace_used == 1
    assert receipts[3].streak.grace_used == 0
    assert receipts[3].explain.streak is StreakChange.SEASON_RESET


async def test_a_milestone_is_unlocked_once_in_a_life(world: World, conn: Connection) -> None:
    milestone = Milestone(day=2, reward_type="badge", reward_value="two-days")
    world.publish(make_policy(MilestoneMetaReward(milestones=(milestone,))))
    receipts = [await claim(conn, "p", at(day)) for day in (0, 1, 5, 6)]
    assert [receipt.milestones for receipt in receipts] == [(), (milestone,), (), ()]
    assert [receipt.streak.current for receipt in receipts] == [1, 2, 1, 2]
    assert world.read_trail("p").events == [
        ("DailyLoginClaimed", day_id(0)),
        ("DailyLoginClaimed", day_id(1)),
        ("MilestoneUnlocked", day_id(1)),
        ("DailyLoginClaimed", day_id(5)),
        ("DailyLoginClaimed", day_id(6)),
    ]
    unlocked = world.execute(
        "select data -> 'milestone' from event_store.events where event_type = 'MilestoneUnlocked'"
    )
    assert unlocked == [({"day": 2, "reward_type": "badge", "reward_value": "two-days"},)]


async def test_a_milestone_of_another_policy_is_another_milestone(
    world: World, conn: Connection
) -> None:
    milestone = Milestone(day=1, reward_type="badge", reward_value="x")
    for key in ("daily-login", "weekend"):
        world.publish(make_policy(MilestoneMetaReward(milestones=(milestone,)), key=key))
    receipts = []
    for day, key in enumerate(["daily-login", "weekend"]):
        # A restart between them, so that each reaches day 1.
        request = make_request("p", at(3 * day), key=key)
        receipts += await claim_together(conn, [request])
    assert [isinstance(r, Receipt) and r.milestones for r in receipts] == [(milestone,)] * 2


async def test_a_repeat_shows_the_milestones_of_the_claim(world: World, conn: Connection) -> None:
    milestone = Milestone(day=1, reward_type="badge", reward_value="x")
    world.publish(make_policy(MilestoneMetaReward(milestones=(milestone,))))
    first = await claim(conn, "p", at(0))
    assert await claim(conn, "p", at(0)) == as_repeat(first)
    assert len(world.read_trail("p").events) == 2


# Instants


async def test_an_instant_is_the_same_in_whatever_zone_it_is_written(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy())
    ahead = datetime.timezone(datetime.timedelta(hours=9))
    receipt = await claim(conn, "p", at(0, 20).astimezone(ahead))
    assert receipt.reward_day_id.isoformat() == day_id(0)
    assert receipt.next_boundary_at == at(1, 0)
    assert receipt.next_boundary_at.utcoffset() == datetime.timedelta()
    stored = world.execute("select created_at from xp.xp_awards")
    assert stored[0][0].astimezone(UTC) == at(0, 20)
