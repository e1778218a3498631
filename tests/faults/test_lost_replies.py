"""The connection breaks around a commit: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import msgspec
import psycopg
import pytest

from emberkeep.base.db import OutcomeUnknown, connect, transaction
from emberkeep.base.errors import Unavailable
from emberkeep.xp.model import ClaimStatus, PlayerId, Receipt
from emberkeep.xp.service.catalogue import load_catalogue
from tests.claiming import (
    KEY,
    World,
    assert_clean,
    at,
    claim,
    claim_together,
    make_policy,
    make_request,
    open_desk,
    open_writer,
)
from tests.faults.proxy import Cut, Faults, run_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

P = PlayerId("p")
SEEDS = range(4)
PLAYERS = 40


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with the plain policy and the player `p`; clean afterwards."""
    world = World(database)
    world.publish(make_policy())
    world.add_players("p")
    yield world
    assert_clean(database)


def as_repeat(receipt: Receipt) -> Receipt:
    return msgspec.structs.replace(receipt, status=ClaimStatus.ALREADY_CLAIMED)


# The proxy itself


@pytest.mark.parametrize("cut", Cut)
async def test_the_proxy_cuts_where_it_says(world: World, cut: Cut) -> None:
    faults = Faults(cut=cut)
    async with run_proxy(world.dsn, faults) as dsn, open_writer(dsn) as conn:
        with pytest.raises(OutcomeUnknown):
            await claim(conn, "p", at(0))
    assert (faults.commits, faults.cuts) == (1, 1)
    assert len(world.read_trail("p").awards) == (1 if cut is Cut.AFTER else 0)


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("cut", Cut)
async def test_the_proxy_knows_prepared_statements(world: World, cut: Cut, before: int) -> None:
    faults = Faults()
    async with run_proxy(world.dsn, faults) as dsn, open_writer(dsn) as conn:
        for day in range(before):
            await claim(conn, "p", at(day))
        faults.cut = cut
        with pytest.raises(OutcomeUnknown):
            await claim(conn, "p", at(before))
    assert faults.cuts == 1
    assert len(world.read_trail("p").awards) == before + (cut is Cut.AFTER)


@pytest.mark.parametrize("cut", Cut)
async def test_an_explicit_commit_that_breaks_leaves_the_outcome_unknown(
    world: World, cut: Cut
) -> None:
    faults = Faults(cut=cut)
    async with run_proxy(world.dsn, faults) as dsn:
        conn = await connect(dsn)
        with pytest.raises(OutcomeUnknown):
            await _rename(conn, "renamed")
        await conn.close()
    names = world.execute("select external_user_id from xp.xp_users")
    assert names == [("renamed" if cut is Cut.AFTER else "p",)]
    world.execute("update xp.xp_users set external_user_id = 'p'")


async def _rename(conn: psycopg.AsyncConnection, name: str) -> None:
    async with transaction(conn):
        await conn.execute("update xp.xp_users set external_user_id = %(name)s", {"name": name})


# One claim


async def test_when_the_reply_to_the_commit_is_lost_the_same_claim_is_answered(
    world: World,
) -> None:
    faults = Faults(cut=Cut.AFTER, most=1)
    async with run_proxy(world.dsn, faults) as dsn, open_desk(dsn, cache=0) as desk:
        receipt = await desk.claim(player_id=P, policy_key=KEY, now=at(0))
        assert faults.cuts == 1
        again = await desk.claim(player_id=P, policy_key=KEY, now=at(0, 20))
    assert as_repeat(receipt) == again
    trail = world.read_trail("p")
    assert trail.awards == [(receipt.reward_day_id.isoformat(), 100, receipt.receipt_id)]
    assert len(trail.ledger) == len(trail.events) == 1


async def test_when_the_commit_never_arrives_the_claim_is_written_again(world: World) -> None:
    faults = Faults(cut=Cut.BEFORE, most=1)
    async with run_proxy(world.dsn, faults) as dsn, open_desk(dsn) as desk:
        receipt = await desk.claim(player_id=P, policy_key=KEY, now=at(0))
    assert (faults.cuts, receipt.status) == (1, ClaimStatus.NEW)
    assert len(world.read_trail("p").awards) == 1


@pytest.mark.parametrize("cut", Cut)
async def test_a_client_that_was_told_nothing_asks_again_and_gets_the_one_receipt(
    world: World, cut: Cut
) -> None:
    faults = Faults(cut=cut)
    async with run_proxy(world.dsn, faults) as dsn, open_desk(dsn, connections=1) as desk:
        try:
            first = await desk.claim(player_id=P, policy_key=KEY, now=at(0))
        except OutcomeUnknown:
            # Every attempt was cut before its commit, and the desk has lost its patience.
            assert cut is Cut.BEFORE
            first = None
        faults.cut = None
        answer = await desk.claim(player_id=P, policy_key=KEY, now=at(0))
    assert first is None or answer.receipt_id == first.receipt_id
    assert len(world.read_trail("p").awards) == 1


async def test_a_grant_between_the_lost_reply_and_the_retry_does_not_change_the_figures(
    world: World,
) -> None:
    async with run_proxy(world.dsn, Faults(cut=Cut.AFTER)) as dsn, open_writer(dsn) as conn:
        with pytest.raises(OutcomeUnknown):
            await claim(conn, "p", at(0))
    world.grant("p", 1000)
    async with open_writer(world.dsn) as conn:
        answer = await claim(conn, "p", at(0))
    assert (answer.status, answer.balance.current) == (ClaimStatus.ALREADY_CLAIMED, 100)


# Many


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_is_cut_every_claim_is_paid_once(world: World, seed: int) -> None:
    await _claim_through_cuts(world, seed, days=4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1200))
async def test_whatever_is_cut_every_claim_is_paid_once_for_long(world: World, seed: int) -> None:
    await _claim_through_cuts(world, seed, days=30)


async def _claim_through_cuts(world: World, seed: int, *, days: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    players = [f"q{n}" for n in range(PLAYERS)]
    world.add_players(*players)
    faults = Faults(share=0.3, delay_s=0.002, rng=rng)
    told: dict[tuple[str, int], Receipt] = {}

    async def insist(player: str, day: int) -> None:
        while (player, day) not in told:
            try:
                told[player, day] = await desk.claim(
                    player_id=PlayerId(player), policy_key=KEY, now=at(day)
                )
            except Unavailable:
                await asyncio.sleep(rng.random() / 50)

    async with run_proxy(world.dsn, faults) as dsn, open_desk(dsn, batch=8) as desk:
        for day in range(days):
            faults.cut = rng.choice([Cut.BEFORE, Cut.AFTER])
            await asyncio.gather(*(insist(player, day) for player in players))
    assert faults.cuts > 0
    for player in players:
        awards = [(day, receipt) for day, _, receipt in world.read_trail(player).awards]
        mine = [told[player, day] for day in range(days)]
        assert awards == [(r.reward_day_id.isoformat(), r.receipt_id) for r in mine]
        assert [r.balance.current for r in mine] == [100 * n for n in range(1, days + 1)]


# Silence


async def test_while_a_server_is_silent_claims_wait_and_none_is_lost(world: World) -> None:
    faults = Faults()
    async with run_proxy(world.dsn, faults) as dsn, open_desk(dsn) as desk:
        faults.is_black_hole = True
        waiting = asyncio.create_task(desk.claim(player_id=P, policy_key=KEY, now=at(0)))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        faults.is_black_hole = False
        assert (await waiting).status is ClaimStatus.NEW


async def test_new_claims_cost_two_round_trips_whatever_their_number(world: World) -> None:
    players = [f"q{n}" for n in range(PLAYERS)]
    world.add_players(*players)
    faults = Faults()
    async with run_proxy(world.dsn, faults) as dsn, open_writer(dsn) as conn:
        for day in range(2):  # Loads the catalogue, and prepares what is sent.
            answers = await claim_together(conn, [make_request(p, at(day)) for p in players])
        catalogue = await load_catalogue(conn)
        faults.round_trips = 0
        requests = [make_request(p, at(2)) for p in players]
        answers = await claim_together(conn, requests, catalogue)
    assert {a.status for a in answers if isinstance(a, Receipt)} == {ClaimStatus.NEW}
    assert (faults.round_trips, len(answers)) == (2, PLAYERS)
