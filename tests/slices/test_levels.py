"""A level is announced once in a player's life, whoever credits, whatever is changed in between."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberkeep.base.db import connect
from emberkeep.xp.model import GrantWish, LevelCurve, PlayerId, ReversalWish
from emberkeep.xp.rules.level import find_level
from emberkeep.xp.service import ledger, levels
from emberkeep.xp.service.reversal import reverse_entry
from tests.claiming import (
    KEY,
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
    from collections.abc import Iterator, Sequence

    from emberkeep.base.db import Connection
    from emberkeep.xp.model import Grant

PLAYER = PlayerId("p")

_CURVES = st.lists(st.integers(1, 700), min_size=1, max_size=5, unique=True).map(sorted)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), st.none()),
        st.tuples(st.just("grant"), st.integers(1, 300)),
        st.tuples(st.just("spend"), st.integers(1, 100)),
        st.tuples(st.just("correct"), st.integers(1, 100)),
        st.tuples(st.just("curve"), st.one_of(st.none(), _CURVES)),
    ),
    max_size=12,
)


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with a policy and a player; clean afterwards, by `verify` too."""
    world = World(database)
    world.publish(make_policy())
    world.add_players(PLAYER)
    yield world
    assert_clean(database)


async def _grant(
    conn: Connection,
    amount: int,
    *,
    player_id: PlayerId = PLAYER,
    affects_lifetime: bool = False,
    now: datetime.datetime | None = None,
) -> Grant:
    """Grant as the API would, by the curve that there is."""
    (curve,) = await _read_curves(conn) or (None,)
    return await ledger.grant(
        conn,
        wish=GrantWish(
            player_id=player_id,
            amount=amount,
            reason="QUEST",
            metadata={"affectsLifetime": affects_lifetime},
        ),
        correlation_id=uuid.uuid4(),  # noqa: TID251 - as the edge would make it.
        version=None,
        actor="test",
        now=now or at(0),
        level_curve=curve,
    )


async def _read_curves(conn: Connection) -> Sequence[LevelCurve]:
    rows = await (await conn.execute("select thresholds from xp.xp_level_curves")).fetchall()
    return [LevelCurve(policy_key=KEY, thresholds=tuple(thresholds)) for (thresholds,) in rows]


async def _put_curve(conn: Connection, thresholds: Sequence[int] | None) -> None:
    if thresholds is not None:
        document = f'{{"thresholds": {list(thresholds)}}}'.encode()
        await levels.put_curve(
            conn,
            policy_key=KEY,
            document=document,
            expected_revision=None,
            actor="test",
            now=at(0),
        )
    elif await _read_curves(conn):
        await levels.delete_curve(
            conn, policy_key=KEY, expected_revision=None, actor="test", reason="", now=at(0)
        )


@given(steps=_STEPS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_each_level_is_announced_once_and_when_it_is_reached(
    world: World, steps: list[tuple[str, object]]
) -> None:
    player_id = PlayerId(str(uuid.uuid4()))  # noqa: TID251 - a player that no other example has.
    world.add_players(player_id)
    told: list[int] = []
    current, lifetime, day = 0, 0, 0
    curve: LevelCurve | None = None
    async with open_writer(world.dsn) as writer, await connect(world.dsn) as conn:
        await _put_curve(conn, None)
        for step, value in steps:
            match step, value:
                case "curve", list():
                    await _put_curve(conn, value)
                    curve = LevelCurve(policy_key=KEY, thresholds=tuple(value))
                case "curve", _:
                    await _put_curve(conn, None)
                    curve = None
                case "claim", _:
                    await _claim(writer, player_id, day)
                    current, lifetime, day = current + 100, lifetime + 100, day + 1
                case "grant", int():
                    await _grant(conn, value, player_id=player_id)
                    current, lifetime = current + value, lifetime + value
                case _, int() if value <= min(current, lifetime):
                    is_correction = step == "correct"
                    await _grant(conn, -value, player_id=player_id, affects_lifetime=is_correction)
                    current, lifetime = current - value, lifetime - value * is_correction
                case _:
                    continue
            # What a curve or a debit makes of it is told with the next credit or debit only.
            if curve is not None and step != "curve":
                told += range((told or [1])[-1] + 1, find_level(curve, lifetime) + 1)
            assert world.list_levels(player_id) == told, (step, value)


async def _claim(writer: Connection, player_id: str, day: int) -> None:
    await claim(writer, player_id, at(day))


async def test_twenty_grants_at_once_announce_each_level_once(world: World) -> None:
    world.add_levels(*range(100, 1100, 100))

    async def grant_twice() -> None:
        async with await connect(world.dsn) as conn:
            await _grant(conn, 55)
            await _grant(conn, 55)

    await asyncio.gather(*(grant_twice() for _ in range(10)))
    assert world.list_levels(PLAYER) == list(range(2, 12))


async def test_a_claim_forgets_no_level_that_a_credit_announced_and_a_debit_undid(
    world: World,
) -> None:
    # The balance is what the claim has read, but what was announced meanwhile stays announced.
    world.add_levels(100, 500)
    async with open_desk(world.dsn) as desk, await connect(world.dsn) as conn:
        async with conn.transaction():
            await _grant(conn, 600)
            await _grant(conn, -600, affects_lifetime=True)
            claiming = asyncio.create_task(desk.claim(player_id=PLAYER, policy_key=KEY, now=at(0)))
            await await_waiter(world.dsn)
        assert (await claiming).xp_awarded == 100
    assert world.list_levels(PLAYER) == [2, 3]


async def test_claims_of_another_policy_keep_what_was_announced_under_this_one(
    world: World,
) -> None:
    world.add_levels(100)
    async with await connect(world.dsn) as conn:
        granted = await _grant(conn, 100)
    assert granted.level is not None
    assert (granted.level.level, granted.level.next_level_at) == (2, None)
    world.execute("update xp.xp_balance set highest_levels = highest_levels || '{\"other\": 1}'")
    async with await connect(world.dsn) as conn:
        await _put_curve(conn, [100, 150])
        await _grant(conn, 50)
    ((kept,),) = world.execute("select highest_levels from xp.xp_balance")
    assert kept == {KEY: 3, "other": 1}


async def test_a_debit_taken_back_announces_the_level_that_it_had_kept_away(world: World) -> None:
    world.add_levels(100)
    async with await connect(world.dsn) as conn:
        await _grant(conn, 90)
        debit = await _grant(conn, -50, affects_lifetime=True)
        await _grant(conn, 40)
        assert world.list_levels(PLAYER) == []
        (curve,) = await _read_curves(conn)
        reversal = await reverse_entry(
            conn,
            wish=ReversalWish(player_id=PLAYER, ledger_id=debit.entry.ledger_id),
            correlation_id=uuid.UUID(int=1),
            level_curve=curve,
            actor="test",
            now=at(0),
        )
    assert reversal.level is not None
    assert (reversal.balance.lifetime, reversal.level.level) == (130, 2)
    assert world.list_levels(PLAYER) == [2]
