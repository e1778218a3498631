"""A history folded again is what was written, whatever was done; and what is damaged is mended by it."""

# ruff: noqa: S608 -- the damage is put together from constants.

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emberkeep.base.db import connect
from emberkeep.base.errors import Conflict
from emberkeep.xp.model import (
    SCALE,
    DecayCurve,
    Milestone,
    MilestoneMetaReward,
    PlateauCap,
    PlayerId,
    PlayerUnknown,
    PolicyKey,
    RebuildReport,
    RebuildTarget,
    StreakModel,
    TieredSeasonalReset,
    WeeklyCycleReset,
)
from emberkeep.xp.service.rebuild import rebuild
from tests.acting import Operator, make_cause
from tests.claiming import (
    PLAIN,
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

STREAKS, BALANCES = RebuildTarget.STREAKS, RebuildTarget.BALANCES
ZONES = ("UTC", "Pacific/Pago_Pago", "Pacific/Kiritimati", "Europe/Berlin")

_numbers = iter(range(10**9))


class Act(NamedTuple):
    """`days` after the last act of anybody, player number `player` does something."""

    player: int
    days: int
    what: str
    first: int = 0
    second: int = 0


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with two seasons; clean afterwards."""
    world = World(database)
    world.add_season("s0", 0, 6)
    world.add_season("s1", 10, 14)
    yield world
    assert_clean(database)


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection like those that claims are written with."""
    async with open_writer(database) as conn:
        yield conn


async def do(conn: Connection, player: str, act: Act, day: int) -> None:
    """Do what `act` says on `day`; what is refused is not done."""
    operator, now = Operator(conn), at(day, 13)
    try:
        match act.what:
            case "claim":
                await claim(conn, player, at(day))
            case "grant":
                await operator.grant(player, act.first - 2 or 1, now)
            case "pause":
                await operator.pause(player, day + act.first, day + act.first + act.second, now)
            case "resume":
                await operator.resume(player, now)
            case "repair":
                await operator.repair(player, now, streak=act.first * 3)
            case "excuse":
                last = day - 1 - act.first % 2
                await operator.repair(player, now, excuse=(last - act.second, last))
            case _:
                await operator.move(player, ZONES[act.first % len(ZONES)], now)
    except Conflict:
        pass


kinds = st.sampled_from(
    ["claim"] * 6 + ["grant", "grant", "pause", "resume", "repair", "excuse", "move"]
)
acts = st.builds(
    Act,
    player=st.integers(0, 1),
    days=st.sampled_from([0, 0, 1, 1, 1, 2, 3]),
    what=kinds,
    first=st.integers(0, 4),
    second=st.integers(0, 3),
)
models: st.SearchStrategy[StreakModel] = st.sampled_from(
    [
        PLAIN,
        PlateauCap(plateau_day=4, plateau_multiplier=2 * SCALE),
        WeeklyCycleReset(),
        DecayCurve(decay_percent=SCALE // 2, grace_day=2),
        TieredSeasonalReset(tiers=()),
        MilestoneMetaReward(
            milestones=(Milestone(day=3, reward_type="badge", reward_value="three"),)
        ),
    ]
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    model=models,
    grace=st.sampled_from([(0, 0), (1, 1), (2, 3)]),
    every=st.integers(0, 3),
    history=st.lists(acts, min_size=5, max_size=30),
)
@example(
    model=PLAIN,
    grace=(0, 0),
    every=0,
    history=[
        Act(0, 0, "claim"),
        Act(0, 0, "grant", 4),
        Act(0, 2, "claim"),
        Act(0, 0, "repair", 4),
        Act(0, 0, "pause", 1, 3),
        Act(0, 2, "resume"),
        Act(0, 0, "claim"),
        Act(0, 3, "excuse", 0, 1),
        Act(0, 0, "claim"),
    ],
)
async def test_a_rebuild_reproduces_every_streak_whatever_was_done(
    world: World,
    conn: Connection,
    model: StreakModel,
    grace: tuple[int, int],
    every: int,
    history: list[Act],
) -> None:
    policy = make_policy(model, grace=grace, freezes=(3, every), pause=(6, 1))
    ((version,),) = world.execute("select count(*) + 1 from xp.xp_policy_versions")
    world.publish(policy, version=version)
    players = [f"q{next(_numbers)}" for _ in range(2)]
    world.add_players(*players)
    day = 0
    for act in history:
        day += act.days
        await do(conn, players[act.player], act, day)
    written = read_streaks(world, players)
    assert (await run(conn, STREAKS, player=players[0])).changed == 0
    damage(
        world,
        "update xp.xp_streaks set current_streak = 77, longest_streak = 0, grace_used = 9,"
        " model_state = '{\"freezes\": 50}', last_reward_day_id = '1999-01-01' where user_id in"
        f" (select user_id from xp.xp_users where external_user_id in {tuple(players)})",
    )
    for player in players:
        assert (await run(conn, STREAKS, player=player)).changed == 1
    assert read_streaks(world, players) == written


def read_streaks(world: World, players: list[str]) -> list[tuple[object, ...]]:
    return world.execute(
        "select external_user_id, current_streak, longest_streak, grace_used, last_reward_day_id,"
        " model_state from xp.xp_streaks join xp.xp_users using (user_id)"
        " where external_user_id = any(%s) order by 1",
        players,
    )


def damage(world: World, statement: str) -> None:
    """Do as a restore or a careless hand would: no trigger fires."""
    with psycopg.connect(world.dsn) as conn:
        conn.execute("set session_replication_role = replica")
        assert conn.execute(statement.encode()).rowcount > 0


async def run(
    conn: Connection,
    what: RebuildTarget,
    *,
    player: str | None = None,
    is_dry_run: bool = False,
    chunk: int = 2,
) -> RebuildReport:
    """Rebuild, two players at a time."""
    return await rebuild(
        conn,
        what=what,
        is_dry_run=is_dry_run,
        player_id=None if player is None else PlayerId(player),
        cause=make_cause(at(40)),
        chunk_players=chunk,
    )


@pytest.fixture
async def crowd(world: World, conn: Connection) -> World:
    """Five players: two days claimed, and grants of two seasons and a debit."""
    world.publish(make_policy(freezes=(3, 0)))
    names = [f"p{n}" for n in range(5)]
    world.add_players(*names)
    for number, name in enumerate(names):
        await claim(conn, name, at(0))
        await claim(conn, name, at(1))
        world.grant(name, 50, number=3 * number + 1, season_id="s1")
        world.grant(name, 5, number=3 * number + 2, season_id="s0")
        world.grant(name, -20, number=3 * number + 3, metadata={"affectsLifetime": True})
    return world


DAMAGES = {
    STREAKS: [
        "update xp.xp_streaks set current_streak = 9 where user_id in (select user_id"
        " from xp.xp_users where external_user_id = 'p3')",
        "delete from xp.xp_streaks where user_id in (select user_id"
        " from xp.xp_users where external_user_id = 'p1')",
    ],
    BALANCES: [
        "update xp.xp_balance set seasonal_xp = 9, season_id = 's1' where user_id in (select"
        " user_id from xp.xp_users where external_user_id = 'p3')",
        "delete from xp.xp_balance where user_id in (select user_id"
        " from xp.xp_users where external_user_id = 'p1')",
    ],
}
_TABLES = {STREAKS: "xp_streaks", BALANCES: "xp_balance"}


@pytest.mark.parametrize("what", list(RebuildTarget))
async def test_a_dry_run_says_what_would_change_and_the_run_changes_just_that(
    crowd: World, conn: Connection, what: RebuildTarget
) -> None:
    def read() -> list[tuple[object, ...]]:
        return crowd.execute(
            "select user_id, to_jsonb(kept) - 'updated_at' - 'action_count'"
            f" from xp.{_TABLES[what]} as kept order by user_id"
        )

    written = read()
    for statement in DAMAGES[what]:
        damage(crowd, statement)
    damaged = read()
    dry = await run(conn, what, is_dry_run=True)
    assert (dry.players, dry.changed) == (5, 2)
    changes = [*dry.streaks, *dry.balances]
    assert [(c.player_id, c.before is None) for c in changes] == [("p1", True), ("p3", False)]
    assert read() == damaged
    done = await run(conn, what)
    assert ([*done.streaks, *done.balances], done.is_dry_run) == (changes, False)
    assert read() == written
    assert (await run(conn, what)).changed == 0
    told = [kind for kind, _ in crowd.read_trail("p3").events]
    assert told[-1] == {STREAKS: "StreakRebuilt", BALANCES: "BalanceRebuilt"}[what]


async def test_a_history_that_cannot_be_read_is_left_alone_and_named(
    crowd: World, conn: Connection
) -> None:
    lost = (
        "update xp.xp_awards set policy_version = {} where user_id in (select user_id"
        " from xp.xp_users where external_user_id = 'p2') and reward_day_id = '2026-03-02'"
    )
    damage(crowd, lost.format(9))
    report = await run(conn, STREAKS)
    assert (report.changed, report.unreadable_players, report.unreadable) == (0, 1, ("p2",))
    damage(crowd, lost.format(1))


async def test_an_unknown_player_is_not_rebuilt(crowd: World, conn: Connection) -> None:
    with pytest.raises(PlayerUnknown):
        await run(conn, BALANCES, player="nobody")


async def test_a_claim_that_was_decided_by_the_damage_is_decided_again(
    crowd: World, database: str
) -> None:
    damage(crowd, "update xp.xp_streaks set current_streak = 70")
    async with open_desk(database) as desk, await connect(database) as conn:
        async with conn.transaction():
            await run(conn, STREAKS, player="p0")
            waiting = asyncio.create_task(
                desk.claim(player_id=PlayerId("p0"), policy_key=PolicyKey("daily-login"), now=at(2))
            )
            await await_waiter(database)
        assert (await waiting).streak.current == 3
        await run(conn, STREAKS)


async def test_a_rebuild_that_is_stopped_goes_on_where_it_is_run_again(
    crowd: World, conn: Connection
) -> None:
    names = [f"p{n}" for n in range(5)]
    written = read_streaks(crowd, names)
    damage(crowd, "update xp.xp_streaks set current_streak = 70")

    def stop(players: int, changed: int) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await rebuild(
            conn,
            what=STREAKS,
            is_dry_run=False,
            player_id=None,
            cause=make_cause(at(40)),
            chunk_players=2,
            on_progress=stop,
        )
    assert read_streaks(crowd, names) != written
    assert (await run(conn, STREAKS)).changed == 3
    assert read_streaks(crowd, names) == written


async def test_claims_and_rebuilds_at_once_end_as_claims_alone(
    crowd: World, conn: Connection, database: str
) -> None:
    players = [PlayerId(f"p{n}") for n in range(5)]
    async with open_desk(database) as desk:
        for day in range(2, 8):
            claims = [
                desk.claim(player_id=player, policy_key=PolicyKey("daily-login"), now=at(day))
                for player in players
            ]
            reports = await asyncio.gather(*claims, run(conn, STREAKS), run_elsewhere(database))
            for report in reports[5:]:
                assert isinstance(report, RebuildReport)
                assert (report.changed, report.unreadable_players) == (0, 0)
    assert [streak for _, streak, *_ in read_streaks(crowd, list(players))] == [8] * 5


async def run_elsewhere(dsn: str) -> RebuildReport:
    """Rebuild the balances, on a connection of its own."""
    async with await connect(dsn) as conn:
        return await run(conn, BALANCES)
