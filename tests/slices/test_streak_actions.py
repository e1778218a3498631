"""What is done to a streak beside claims, and what the next claim makes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.db import connect
from emberkeep.xp.model import (
    CorrelationReused,
    FreezesFull,
    FreezesOff,
    NoFreezesHeld,
    NotPaused,
    PauseCooldown,
    PauseOff,
    PauseRefused,
    PauseRunning,
    PlayerId,
    PlayerUnknown,
    Receipt,
    RepairRefused,
    RepairWish,
    StreakActionInvalid,
    StreakChange,
)
from emberkeep.xp.service import streaks
from emberkeep.xp.service.streak_deeds import Cause
from tests.acting import Operator, day_of, load_ground, make_cause, make_id
from tests.claiming import (
    World,
    assert_clean,
    at,
    await_waiter,
    claim,
    make_policy,
    open_desk,
    open_writer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from emberkeep.base.db import Connection


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with freezes and pauses, and the player `p`; clean afterwards."""
    world = World(database)
    world.publish(make_policy(freezes=(3, 0), pause=(5, 2)))
    world.add_players("p")
    yield world
    assert_clean(database)


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection like those that claims are written with."""
    async with open_writer(database) as conn:
        yield conn


@pytest.fixture
def operator(conn: Connection) -> Operator:
    """Somebody who acts on streaks."""
    return Operator(conn)


def told(receipt: Receipt) -> tuple[int, StreakChange]:
    """Return the streak that a claim was told, and why."""
    return receipt.streak.current, receipt.explain.streak


# Freezes


async def test_a_freeze_that_was_granted_saves_the_streak(
    world: World, conn: Connection, operator: Operator
) -> None:
    await claim(conn, "p", at(0))
    action = await operator.grant("p", 2, at(0))
    assert (action.freezes, action.after_reward_day_id) == (2, day_of(0))
    assert told(await claim(conn, "p", at(2))) == (2, StreakChange.FROZEN)
    assert (await operator.read("p", at(2))).freezes.held == 1
    assert ("StreakFreezesGranted", None) in world.read_trail("p").events


async def test_no_more_is_granted_than_there_is_room_for_and_no_more_taken_than_is_held(
    world: World, operator: Operator
) -> None:
    with pytest.raises(NoFreezesHeld):
        await operator.grant("p", -1, at(0))
    assert [(await operator.grant("p", n, at(0))).freezes for n in (2, 5)] == [2, 1]
    with pytest.raises(FreezesFull) as full:
        await operator.grant("p", 1, at(0))
    assert full.value.facts == {"held": 3, "max_held": 3}
    assert (await operator.grant("p", -9, at(0))).freezes == -3
    assert world.execute("select action_count, model_state from xp.xp_streaks") == [(3, {})]


async def test_a_policy_without_freezes_or_pauses_has_neither(
    world: World, operator: Operator
) -> None:
    world.publish(make_policy(), version=2)
    with pytest.raises(FreezesOff):
        await operator.grant("p", 1, at(0))
    with pytest.raises(PauseOff):
        await operator.pause("p", None, 1, at(0))


async def test_the_way_to_the_next_freeze_is_told(
    world: World, conn: Connection, operator: Operator
) -> None:
    world.publish(make_policy(freezes=(1, 3)), version=2)
    shown = []
    for day in range(4):
        freezes = (await operator.read("p", at(day))).freezes
        shown.append((freezes.held, freezes.claims_to_next))
        await claim(conn, "p", at(day))
    assert shown == [(0, 3), (0, 2), (0, 1), (1, None)]


# Pauses


async def test_the_days_of_a_pause_are_not_missed_and_those_behind_it_are(
    world: World, conn: Connection, operator: Operator
) -> None:
    world.add_players("q")
    for player in ("p", "q"):
        await claim(conn, player, at(0))
        action = await operator.pause(player, None, 4, at(0))
        # Today is claimed: the pause begins with the next day.
        assert (action.first_day, action.last_day) == (day_of(1), day_of(4))
    assert told(await claim(conn, "p", at(5))) == (2, StreakChange.EXCUSED)
    assert told(await claim(conn, "q", at(6))) == (1, StreakChange.RESTARTED)


async def test_a_claim_during_a_pause_counts_as_ever(
    world: World, conn: Connection, operator: Operator
) -> None:
    await claim(conn, "p", at(0))
    await operator.pause("p", 1, 5, at(0))
    assert told(await claim(conn, "p", at(1))) == (2, StreakChange.ADVANCED)
    assert told(await claim(conn, "p", at(3))) == (3, StreakChange.EXCUSED)
    assert told(await claim(conn, "p", at(6))) == (4, StreakChange.EXCUSED)


async def test_a_pause_that_is_resumed_ends_as_of_today(
    world: World, conn: Connection, operator: Operator
) -> None:
    world.add_players("q")
    for player in ("p", "q"):
        await claim(conn, player, at(0))
        await operator.pause(player, 1, 5, at(0))
        await operator.resume(player, at(3))
    assert told(await claim(conn, "p", at(3))) == (2, StreakChange.EXCUSED)
    assert told(await claim(conn, "q", at(4))) == (1, StreakChange.RESTARTED)
    with pytest.raises(NotPaused):
        await operator.resume("p", at(4))


async def test_the_cooldown_counts_from_where_the_pause_ended_and_says_when_it_is_over(
    world: World, operator: Operator
) -> None:
    await operator.pause("p", 0, 4, at(0))
    standing = await operator.read("p", at(0))
    assert standing.pause is not None
    assert (standing.pause.last_day, standing.pause.is_running) == (day_of(4), True)
    with pytest.raises(PauseRunning):
        await operator.pause("p", 9, 9, at(0))
    await operator.resume("p", at(2))
    with pytest.raises(PauseCooldown) as refused:
        await operator.pause("p", 3, 3, at(2))
    assert refused.value.facts == {"earliest_day": day_of(4).isoformat()}
    assert (await operator.pause("p", 4, 4, at(2))).first_day == day_of(4)


async def test_a_pause_that_never_began_costs_no_cooldown(world: World, operator: Operator) -> None:
    await operator.pause("p", 0, 0, at(0))
    await operator.pause("p", 3, 4, at(1))
    await operator.resume("p", at(2))
    assert (await operator.read("p", at(2))).pause is None
    await operator.pause("p", 3, 7, at(2))


@pytest.mark.parametrize(
    ("first", "last", "facts"),
    [
        pytest.param(0, 3, {"earliest_day": "2026-03-02"}, id="claimed"),
        pytest.param(-1, 3, {"earliest_day": "2026-03-02"}, id="over"),
        pytest.param(1, 6, {"max_days": 5, "latest_day": "2026-03-06"}, id="too long"),
        pytest.param(400, 401, {}, id="too far ahead"),
    ],
)
async def test_a_pause_covers_only_days_to_come_and_no_more_than_the_policy_allows(
    world: World,
    conn: Connection,
    operator: Operator,
    first: int,
    last: int,
    facts: dict[str, object],
) -> None:
    await claim(conn, "p", at(0))
    with pytest.raises(PauseRefused) as refused:
        await operator.pause("p", first, last, at(0))
    assert refused.value.facts == facts


# Repairs


async def test_a_repaired_streak_goes_on_with_the_next_claim(
    world: World, conn: Connection, operator: Operator
) -> None:
    for day in (0, 1, 5):
        await claim(conn, "p", at(day))
    await operator.repair("p", at(5), streak=30)
    assert (await operator.read("p", at(5))).longest == 30
    assert told(await claim(conn, "p", at(6))) == (31, StreakChange.ADVANCED)


async def test_days_that_an_operator_excuses_were_not_missed(
    world: World, conn: Connection, operator: Operator
) -> None:
    await claim(conn, "p", at(0))
    await operator.repair("p", at(3), excuse=(1, 2))
    assert told(await claim(conn, "p", at(3))) == (2, StreakChange.EXCUSED)


@pytest.mark.parametrize("excuse", [(0, 1), (1, 3), (2, 4)])
async def test_only_days_between_the_last_claim_and_today_can_be_excused(
    world: World, conn: Connection, operator: Operator, excuse: tuple[int, int]
) -> None:
    with pytest.raises(RepairRefused):
        await operator.repair("p", at(0), streak=5)  # Nobody has claimed yet.
    await claim(conn, "p", at(0))
    with pytest.raises(RepairRefused):
        await operator.repair("p", at(3), excuse=excuse)


async def test_everything_that_is_wrong_is_said_at_once(world: World, conn: Connection) -> None:
    with pytest.raises(StreakActionInvalid) as refused:
        await streaks.repair_streak(
            conn,
            player_id=PlayerId("p"),
            wish=RepairWish(streak_day=-1, excuse_to=day_of(0)),
            ground=await load_ground(conn),
            cause=Cause(correlation_id=make_id(), actor="op", reason=" ", now=at(0)),
        )
    assert [e.path for e in refused.value.errors] == ["reason", "streak_day", "excuse_from"]


async def test_an_unknown_player_has_no_streak(world: World, operator: Operator) -> None:
    with pytest.raises(PlayerUnknown):
        await operator.grant("nobody", 1, at(0))
    with pytest.raises(PlayerUnknown):
        await operator.read("nobody", at(0))


# Once, and in order


async def test_an_action_between_a_claim_s_read_and_its_write_is_not_lost(
    world: World, database: str
) -> None:
    """The action holds the streak until the claim, which was decided without it, waits behind it."""
    async with open_desk(database) as desk, await connect(database) as conn:
        await desk.claim(player_id="p", policy_key="daily-login", now=at(0))
        async with conn.transaction():
            await Operator(conn).grant("p", 1, at(1))
            waiting = asyncio.create_task(
                desk.claim(player_id="p", policy_key="daily-login", now=at(2))
            )
            await await_waiter(database)
        assert told(await waiting) == (2, StreakChange.FROZEN)


async def test_twenty_identical_actions_at_once_are_one(world: World, database: str) -> None:
    cause = make_id()

    async def grant() -> int:
        async with await connect(database) as conn:
            return (await Operator(conn).grant("p", 2, at(0), cause)).action_id

    answers = await asyncio.gather(*(grant() for _ in range(20)))
    assert len(set(answers)) == 1
    assert world.execute("select freezes from xp.xp_streak_actions") == [(2,)]
    async with await connect(database) as conn:
        with pytest.raises(CorrelationReused):
            await streaks.resume_streak(
                conn,
                player_id=PlayerId("p"),
                ground=await load_ground(conn),
                cause=make_cause(at(0), cause),
            )
