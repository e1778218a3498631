"""A thousand players through the claim path and through the simulation: every award is the same."""

from __future__ import annotations

import datetime
import random
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest

from emberkeep.base.clock import UTC
from emberkeep.base.db import connect
from emberkeep.xp.model import (
    ActivityInvalid,
    Contender,
    FreezeRule,
    Policy,
    SeasonalBoost,
    SimulationTooLarge,
    Tier,
    TieredSeasonalReset,
    WeeklyCycleReset,
)
from emberkeep.xp.rules.policy import render_policy
from emberkeep.xp.rules.simulation import simulator, visits
from emberkeep.xp.rules.simulation.replay import Replay
from emberkeep.xp.rules.simulation.turns import Buffers, take_turns
from emberkeep.xp.service import policies, simulation
from emberkeep.xp.service.history import import_activity
from emberkeep.xp.service.simulation import Lineup, Span, simulate_activity
from emberkeep.xp.store import simulation as store
from tests.claiming import (
    FIRST_DAY,
    KEY,
    World,
    assert_clean,
    at,
    claim,
    day_id,
    make_policy,
    open_writer,
)
from tests.conftest import lend_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from emberkeep.base.postgres import EmbeddedServer
    from emberkeep.xp.model import Season, Simulation

PLAYERS = 1000
NOW = at(400)
CLOCKS = (-660, -300, 0, 0, 0, 60, 330, 840)

# Everything that has a say in an award at once: window, cooldown, grace, freezes, boost, curve,
# tiers and seasons.
POLICY = msgspec.structs.replace(
    make_policy(
        TieredSeasonalReset(
            tiers=(
                Tier(start_day=2, end_day=3, bonus_multiplier=12_500),
                Tier(start_day=5, end_day=9, bonus_multiplier=17_501),
            )
        ),
        grace=(2, 2),
        window=(300, 20),
        cooldown_hours=9,
        curve=((10_000, 0), (11_111, 3), (12_345, 0)),
        boosts=(
            SeasonalBoost(label="Spring", multiplier=20_000, start_at=at(6), end_at=at(9, 7.5)),
            SeasonalBoost(label="May", multiplier=13_333, start_at=at(9, 7.5), end_at=at(11)),
        ),
    ),
    freezes=FreezeRule(max_held=2, earned_every_days=3),
)
OTHER = msgspec.structs.replace(
    make_policy(WeeklyCycleReset(), base_xp=140, grace=(1, 1), window=(0, 24)),
    claim_window=msgspec.structs.replace(POLICY.claim_window, min_cooldown_hours=None),
)


class Award(NamedTuple):
    """What a claim came to, wherever it was decided."""

    player_id: str
    day: datetime.date
    xp: int
    streak_day: int
    grace_used: int
    change: str
    freezes_used: int


def write_history(seed: int) -> list[str]:
    """Return the lines of a login history, shuffled: now and then a player travels."""
    chance = random.Random(seed)  # noqa: S311 - a history, not a secret
    lines: list[str] = []
    for number in range(PLAYERS):
        clock = chance.choice(CLOCKS)
        for day in range(20):
            if chance.random() < 0.05:
                clock = chance.choice(CLOCKS)
            if chance.random() < 0.55:
                lines.extend(
                    f"p{number:04},{at(day, chance.randrange(24 * 4) / 4).isoformat()},{clock}"
                    for _ in range(chance.choice((1, 1, 2)))
                )
    chance.shuffle(lines)
    return ["player,occurred_at,utc_offset_minutes", *lines]


LINES = write_history(1)


@pytest.fixture(scope="module")
async def world(postgres_server: EmbeddedServer, migrated_template: str) -> AsyncIterator[World]:
    """A database in which everybody's days were claimed."""
    with lend_database(postgres_server, template=migrated_template) as name:
        world = World(postgres_server.dsn_for(name))
        world.add_season("first", 0, 7)
        world.add_season("second", 8, 12)
        async with open_writer(world.dsn) as conn:
            await policies.publish_if_unknown(
                conn,
                document=msgspec.json.encode(render_policy(POLICY)),
                max_award_xp=5000,
                actor="test",
                now=at(0),
            )
            await import_activity(
                conn,
                lines=LINES,
                policy_key=KEY,
                server_zone="UTC",
                now=NOW,
                on_progress=lambda _done, _total: None,
            )
        yield world
        assert_clean(world.dsn)


async def load_lineup(world: World, *others: Policy) -> Lineup:
    async with await connect(world.dsn) as conn:
        lineup = await simulation.find_lineup(
            conn,
            versions=[(KEY, 1)],
            documents=[Contender(name=f"other-{i}", policy=p) for i, p in enumerate(others)],
            now=NOW,
        )
    assert lineup.contenders[0].policy == POLICY
    assert len(lineup.seasons) == 2
    return lineup


def read_awards(world: World) -> list[Award]:
    """Return every award in the database, by player and day."""
    rows = world.execute(
        "select external_user_id, reward_day_id::date, xp_awarded, streak_day,"
        " (model_state_snapshot #>> '{streak,grace_used}')::int,"
        " model_state_snapshot #>> '{explain,streak}',"
        " (model_state_snapshot #>> '{explain,freezes_used}')::int"
        " from xp.xp_awards join xp.xp_users using (user_id) order by 1, 2"
    )
    return [Award(*row) for row in rows]


def simulate_awards(lines: Sequence[str], seasons: Sequence[Season]) -> list[Award]:
    """Return every award as the simulation decides it, by player and day."""
    awards: list[Award] = []
    chunks = visits.read_chunks(
        lines, [POLICY.claim_window], latest=NOW, on_line=lambda _line: None
    )
    for chunk in chunks:
        claims, buffers = chunk.claims[0], Buffers()
        turns = take_turns(claims, seasons, buffers)
        outcomes = Replay(POLICY).decide(claims, turns, buffers)
        owners = [
            player
            for player, count in zip(
                chunk.players, (claims.offsets[1:] - claims.offsets[:-1]).tolist(), strict=True
            )
            for _ in range(count)
        ]
        for place, number, xp in zip(turns.places, outcomes.nodes, outcomes.xp, strict=True):
            node = outcomes.known[number]
            assert node.change is not None
            awards.append(
                Award(
                    owners[place],
                    datetime.date.fromordinal(int(claims.days[place])),
                    int(xp),
                    node.state.current_streak,
                    node.state.grace_used,
                    node.change.value,
                    node.freezes_used,
                )
            )
    return sorted(awards)


async def test_every_award_of_a_thousand_players_is_the_same(world: World) -> None:
    lineup = await load_lineup(world)
    awards = read_awards(world)
    assert len({award.player_id for award in awards}) == PLAYERS
    assert len({award.change for award in awards}) >= 6
    assert simulate_awards(LINES, lineup.seasons) == awards


async def simulate_recorded(world: World, lineup: Lineup, span: Span, **how: int) -> Simulation:
    async with await connect(world.dsn) as conn:
        return await simulation.simulate_recorded_claims(
            conn,
            lineup,
            span,
            sample_percent=how.get("sample_percent", 100),
            max_claims=how.get("max_claims"),
            on_progress=lambda _done, _total: None,
        )


def simulate_lines(lines: Sequence[str], lineup: Lineup, span: Span) -> Simulation:
    return simulate_activity(
        lines, lineup, span, latest=NOW, on_progress=lambda _done, _total: None
    )


async def test_figures_are_those_of_the_tables_however_the_players_are_cut(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineup = await load_lineup(world, OTHER)
    span = Span(from_day=FIRST_DAY + datetime.timedelta(days=4), to_day=at(15).date())
    whole = await simulate_recorded(world, lineup, span)
    in_force = whole.versions[0]
    rows = world.execute(
        "select reward_day_id::date, sum(xp_awarded)::bigint, count(*) from xp.xp_awards"
        " where reward_day_id between %s and %s group by 1 order by 1",
        day_id(4),
        day_id(15),
    )
    assert [(day.day, day.xp, day.claims) for day in in_force.days] == rows
    assert (
        in_force.xp
        == sum(xp for _, xp, _ in rows)
        == sum(count.xp_awarded * count.claims for count in in_force.awards)
    )
    totals: dict[str, int] = defaultdict(int)
    for award in read_awards(world):
        if day_id(4) <= award.day.isoformat() <= day_id(15):
            totals[award.player_id] += award.xp
    comparison = whole.comparisons[0]
    for change in (comparison.largest_gains[0], comparison.largest_losses[0]):
        assert totals[change.player_id] == change.baseline_xp
        assert change.xp == change.baseline_xp + change.change_xp
    assert comparison.xp_gained - comparison.xp_lost == whole.versions[1].xp - in_force.xp

    # In pieces: rows, blocks, and the players that are held at once.
    monkeypatch.setattr(store, "_BYTES_AT_ONCE", 1_000)
    monkeypatch.setattr(simulation, "_CLAIMS_AT_ONCE", 300)
    monkeypatch.setattr(simulator, "_CLAIMS_PER_BLOCK", 100)
    assert await simulate_recorded(world, lineup, span) == whole

    monkeypatch.setattr(visits, "MAX_PLAYER_DAYS", 1_500)
    monkeypatch.setattr(visits, "_ROOM", 500)
    header, *lines = LINES
    file = simulate_lines([header, *sorted(lines)], lineup, span)
    assert file.versions[0].days == whole.versions[0].days
    assert file.versions[0].changes == whole.versions[0].changes
    with pytest.raises(ActivityInvalid, match="sort it by player"):
        simulate_lines(LINES, lineup, span)


async def test_a_sample_is_a_share_of_the_players_and_a_limit_refuses(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineup = await load_lineup(world)
    sample = await simulate_recorded(world, lineup, Span(), sample_percent=10)
    ((players,),) = world.execute(
        "select count(distinct user_id) from xp.xp_awards where mod(user_id, 100) < 10"
    )
    assert (sample.players, sample.versions[0].players) == (players, players)
    # Pieces that are smaller than what one player claimed.
    monkeypatch.setattr(store, "_BYTES_AT_ONCE", 1)
    monkeypatch.setattr(simulation, "_CLAIMS_AT_ONCE", 3)
    assert await simulate_recorded(world, lineup, Span(), sample_percent=10) == sample
    with pytest.raises(SimulationTooLarge):
        await simulate_recorded(world, lineup, Span(), max_claims=100)


async def test_another_window_is_said_of_recorded_claims_and_used_on_a_history(
    world: World,
) -> None:
    late = msgspec.structs.replace(
        POLICY,
        claim_window=msgspec.structs.replace(POLICY.claim_window, duration_hours=5),
    )
    lineup = await load_lineup(world, late)
    recorded = await simulate_recorded(world, lineup, Span())
    assert recorded.versions[1].xp == recorded.versions[0].xp
    assert len(recorded.notes) == 1
    narrow = simulate_lines(LINES, lineup, Span()).versions[1]
    assert narrow.claims < recorded.versions[1].claims
    assert narrow.refused.window_closed > 0


async def test_days_that_were_excused_are_so_in_a_simulation(database: str) -> None:
    world = World(database)
    world.publish(make_policy(grace=(0, 0)))
    world.add_players("p")
    async with open_writer(database) as conn:
        await claim(conn, "p", at(0))
        world.execute(
            """update xp.xp_streaks set model_state = '{"excused": [["2026-03-02", "2026-03-04"]]}'"""
        )
        await claim(conn, "p", at(4))
    async with await connect(database) as conn:
        lineup = await simulation.find_lineup(
            conn, versions=[(KEY, 1)], documents=[], now=datetime.datetime(2027, 1, 1, tzinfo=UTC)
        )
    found = await simulate_recorded(world, lineup, Span())
    assert found.versions[0].changes == {"started": 1, "excused": 1}
    assert [count.effective_day for count in found.versions[0].streaks] == [1, 2]
