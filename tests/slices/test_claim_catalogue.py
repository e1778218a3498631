"""A new policy decides the first claim at or after it takes effect, in every process."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.db import connect
from emberkeep.xp.model import ClaimStatus, PlayerId, PolicyNotInForce, Receipt
from emberkeep.xp.rules.catalogue import Catalogue
from emberkeep.xp.rules.policy import render_policy
from emberkeep.xp.service import policies
from emberkeep.xp.service.claims import claim_batch
from tests.claiming import (
    KEY,
    World,
    assert_clean,
    at,
    make_policy,
    make_request,
    open_desk,
    open_writer,
)
from tests.faults.proxy import Faults, run_proxy

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterator

    from emberkeep.xp.service.desk import ClaimDesk

PLAYER = PlayerId("p")
NEVER_S = 3600.0
"""A poll that no test lives to see."""


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with a policy that pays 100 and the player `p`; clean afterwards."""
    world = World(database)
    world.publish(make_policy(base_xp=100))
    world.add_players("p", "q")
    yield world
    assert_clean(database)


async def claim_at(
    desk: ClaimDesk, instant: datetime.datetime, player: PlayerId = PLAYER
) -> Receipt:
    return await desk.claim(player_id=player, policy_key=KEY, now=instant)


async def test_the_switch_is_at_the_instant_and_not_before(world: World) -> None:
    world.publish(make_policy(base_xp=200), version=2, effective_at=at(0, 12))
    async with open_desk(world.dsn) as desk:
        before = await claim_at(desk, at(0, 11.99999))
        after = await claim_at(desk, at(0, 12), PlayerId("q"))
    assert (before.xp_awarded, before.policy_version) == (100, 1)
    assert (after.xp_awarded, after.policy_version) == (200, 2)


async def test_no_job_has_to_run_for_the_switch(world: World) -> None:
    async with open_desk(world.dsn) as desk:
        assert (await claim_at(desk, at(0))).xp_awarded == 100
        world.publish(make_policy(base_xp=200), version=2, effective_at=at(2, 0))
        assert (await claim_at(desk, at(1, 23.9))).xp_awarded == 100
        assert (await claim_at(desk, at(2, 0))).xp_awarded == 200


async def test_the_next_batch_notices_what_was_published(world: World) -> None:
    async with open_desk(world.dsn) as desk:
        assert (await claim_at(desk, at(0))).xp_awarded == 100
        world.publish(make_policy(base_xp=200), version=2)
        # No time for the poll.
        assert (await claim_at(desk, at(1))).xp_awarded == 200


async def test_a_batch_across_the_switch_pays_each_its_own(world: World) -> None:
    world.publish(make_policy(base_xp=200), version=2, effective_at=at(0, 12))
    async with open_writer(world.dsn) as conn:
        answers, catalogue = await claim_batch(
            conn,
            requests=[make_request("p", at(0, 11.9)), make_request("q", at(0, 12.1))],
            catalogue=Catalogue(),
            server_zone="UTC",
            now=at(0, 12.1),
        )
    assert [a.xp_awarded for a in answers if isinstance(a, Receipt)] == [100, 200]
    assert catalogue.revision > 0


async def test_a_remembered_receipt_ends_where_another_version_takes_over(world: World) -> None:
    # The new version's day begins at noon: at 13:00 the reward day is another one.
    world.publish(make_policy(window=(780, 24)), version=2, effective_at=at(0, 6))
    async with open_desk(world.dsn) as desk:
        first = await claim_at(desk, at(0, 1))
        assert first.status is ClaimStatus.NEW
        assert first.reward_day_id == at(0).date()
        # Under the new version it is still the day before, which is never paid after a later one.
        early = await claim_at(desk, at(0, 12))
        assert (early.status, early.receipt_id) == (ClaimStatus.ALREADY_CLAIMED, first.receipt_id)
        assert early.next_boundary_at == at(1, 13)
        assert (await claim_at(desk, at(1, 12.9))).status is ClaimStatus.ALREADY_CLAIMED
        assert (await claim_at(desk, at(1, 13))).status is ClaimStatus.NEW


async def test_a_process_that_hears_nothing_and_never_polls_switches_at_the_instant(
    world: World,
) -> None:
    world.publish(make_policy(base_xp=200), version=2, effective_at=at(0, 12))
    async with (
        run_proxy(world.dsn, Faults(is_deaf=True)) as dsn,
        open_desk(dsn, poll_s=NEVER_S) as d,
    ):
        known = d.catalogue.revision
        assert (await claim_at(d, at(0, 11.99999))).policy_version == 1
        assert (await claim_at(d, at(0, 12), PlayerId("q"))).policy_version == 2
        assert d.catalogue.revision == known
        # What is scheduled while nobody tells it is read by the first batch.
        world.publish(make_policy(base_xp=300), version=3, effective_at=at(2, 0))
        assert (await claim_at(d, at(1, 23.9))).policy_version == 2
        assert (await claim_at(d, at(2, 0))).policy_version == 3


async def test_what_is_cancelled_before_its_instant_never_decides(world: World) -> None:
    async with (
        run_proxy(world.dsn, Faults(is_deaf=True)) as dsn,
        open_desk(dsn, poll_s=NEVER_S) as desk,
        await connect(world.dsn) as conn,
    ):
        who: dict[str, Any] = {"policy_key": KEY, "actor": "test"}
        document = json.dumps(render_policy(make_policy(base_xp=200))).encode()
        await policies.create_version(
            conn, document=document, max_award_xp=5000, now=at(0, 1), **who
        )
        await policies.publish_version(
            conn, policy_version=2, effective_at=at(1, 0), overrides=None, now=at(0, 2), **who
        )
        # This process knows of the publication, and nobody tells it that it is off.
        assert (await claim_at(desk, at(0, 3))).policy_version == 1
        assert desk.catalogue.versions[KEY][1].effective_at == at(1, 0)
        await policies.cancel_version(conn, policy_version=2, now=at(0, 4), **who)
        assert (await claim_at(desk, at(1, 0))).policy_version == 1
        assert (await claim_at(desk, at(9))).policy_version == 1


async def test_a_remembered_receipt_is_forgotten_at_a_word(world: World) -> None:
    async with open_desk(world.dsn, poll_s=NEVER_S) as desk:
        await _retire_and_await_that_it_is_noticed(world, desk)


async def test_a_remembered_receipt_is_forgotten_within_the_poll(world: World) -> None:
    async with (
        run_proxy(world.dsn, Faults(is_deaf=True)) as dsn,
        open_desk(dsn, poll_s=0.2) as desk,
    ):
        await _retire_and_await_that_it_is_noticed(world, desk)


async def test_a_process_whose_ear_was_cut_off_looks_when_it_is_back(world: World) -> None:
    async with open_desk(world.dsn, poll_s=NEVER_S) as desk:
        ears = "from pg_stat_activity where application_name = 'emberkeep-listener'"
        async with asyncio.timeout(5):
            while not world.execute(f"select 1 {ears} and query ~ '^listen' and state = 'idle'"):
                await asyncio.sleep(0.02)
        # The word is said between the end of one connection and the beginning of the next.
        world.execute(f"select pg_terminate_backend(pid) {ears} and datname = current_database()")
        await _retire_and_await_that_it_is_noticed(world, desk)


async def _retire_and_await_that_it_is_noticed(world: World, desk: ClaimDesk) -> None:
    await claim_at(desk, at(0))
    world.retire(at=at(0, 12.5))
    assert (await claim_at(desk, at(0, 12.4))).status is ClaimStatus.ALREADY_CLAIMED
    # Nobody but this player calls, who is answered from memory.
    async with asyncio.timeout(5):
        while (await read_status(desk)) is not None:
            await asyncio.sleep(0.02)


async def read_status(desk: ClaimDesk) -> ClaimStatus | None:
    """Return what a repeat is told; None once the retired policy refuses it."""
    try:
        return (await claim_at(desk, at(0, 13))).status
    except PolicyNotInForce:
        return None


async def test_memory_is_bounded_and_forgets_the_oldest(world: World) -> None:
    players = [f"r{n}" for n in range(20)]
    world.add_players(*players)
    async with open_desk(world.dsn, cache=5) as desk:
        firsts = [await claim_at(desk, at(0), PlayerId(player)) for player in players]
        assert len(desk._receipts) == 5
        repeats = [await claim_at(desk, at(0), PlayerId(player)) for player in players]
        assert [r.receipt_id for r in repeats] == [f.receipt_id for f in firsts]
        assert {r.status for r in repeats} == {ClaimStatus.ALREADY_CLAIMED}


async def test_memory_ends_with_the_day(world: World) -> None:
    async with open_desk(world.dsn) as desk:
        await claim_at(desk, at(0, 0))
        assert (await claim_at(desk, at(0, 23.9999))).status is ClaimStatus.ALREADY_CLAIMED
        assert (await claim_at(desk, at(1, 0))).status is ClaimStatus.NEW
