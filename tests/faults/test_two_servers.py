"""Two server processes on one database: whoever is asked, and whoever dies, a day is paid once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.postgres import ensure_database, run_embedded
from emberkeep.migrate.service import apply_migrations
from tests.claiming import LONG_AGO, World, assert_clean, make_policy
from tests.faults.serving import PATIENCE_S, Reply, Server, connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

CONNECTIONS = 250  # To each server.
CLAIMS = 1000


@pytest.fixture
async def dsn(server_dir: Path) -> AsyncIterator[str]:
    """A durable database, because servers refuse to serve from another."""
    with run_embedded(data_dir=server_dir / "d") as server:
        ensure_database(server.dsn, "servers")
        dsn = server.dsn_for("servers")
        await apply_migrations(dsn, now=LONG_AGO)
        World(dsn).publish(make_policy())
        yield dsn


@pytest.fixture
async def servers(dsn: str) -> AsyncIterator[list[Server]]:
    """Two servers that are ready."""
    started = [Server(dsn) for _ in range(2)]
    try:
        for server in started:
            await server.await_ready()
        yield started
    finally:
        for server in started:
            server.kill()


@pytest.fixture
def world(dsn: str) -> Iterator[World]:
    """The tables behind the servers; clean afterwards."""
    yield World(dsn)
    assert_clean(dsn)


async def test_of_a_thousand_requests_over_two_servers_one_is_paid(
    world: World, servers: list[Server]
) -> None:
    world.add_players("p")
    start = asyncio.Event()

    async def ask(server: Server) -> list[Reply]:
        async with connected(server) as client:
            await start.wait()
            return [await client.claim("p") for _ in range(CLAIMS // CONNECTIONS // 2)]

    asking = [asyncio.create_task(ask(s)) for s in servers for _ in range(CONNECTIONS)]
    await asyncio.sleep(0.5)  # All of them are connected.
    start.set()
    replies = [reply for replies in await asyncio.gather(*asking) for reply in replies]
    assert Counter((reply.status, reply.body["status"]) for reply in replies) == {
        (201, "NEW"): 1,
        (200, "ALREADY_CLAIMED"): CLAIMS - 1,
    }
    figures = {json.dumps({**reply.body, "status": None}) for reply in replies}
    assert len(figures) == 1
    trail = world.read_trail("p")
    assert [receipt for _, _, receipt in trail.awards] == [replies[0].body["receipt_id"]]
    assert (len(trail.ledger), len(trail.events), trail.balance.current) == (1, 1, 100)


async def test_a_server_that_is_killed_takes_no_acknowledged_claim_along(
    world: World, servers: list[Server]
) -> None:
    await _claim_until_a_server_dies(world, servers, prefix="k", players=2000, after=400)


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(40))
async def test_servers_that_are_killed_take_no_acknowledged_claim_along(
    world: World, servers: list[Server], round_: int
) -> None:
    await _claim_until_a_server_dies(
        world, servers, prefix=f"k{round_}-", players=2000, after=50 * round_
    )


async def _claim_until_a_server_dies(
    world: World, servers: list[Server], *, prefix: str, players: int, after: int
) -> None:
    ids = [f"{prefix}{number}" for number in range(players)]
    world.add_players(*ids)
    told: dict[str, Reply] = {}
    repeated: dict[str, Reply] = {}
    doomed, survivor = servers

    async def claim_some(mine: list[str]) -> None:
        """Claim at the server that will die, and where it does not answer at the other."""
        async with connected(doomed) as first, connected(survivor) as second:
            for player in mine:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    told[player] = await first.claim(player)
                repeated[player] = await second.claim(player)

    claiming = [asyncio.create_task(claim_some(ids[n::40])) for n in range(40)]
    async with asyncio.timeout(PATIENCE_S):
        while len(told) < after:
            await asyncio.sleep(0.001)
    await asyncio.to_thread(doomed.kill)
    await asyncio.gather(*claiming)
    assert after <= len(told) < players
    assert len(repeated) == players
    for player, reply in told.items():
        assert (reply.status, reply.body["status"]) == (201, "NEW")
        assert {**repeated[player].body, "status": "NEW"} == reply.body
    # What the dead server wrote without saying so is found; all else is paid by the other one.
    awards = world.execute(
        "select external_user_id, receipt_id::text from xp.xp_awards join xp.xp_users"
        " using (user_id) where external_user_id = any(%s)",
        ids,
    )
    assert dict(awards) == {p: reply.body["receipt_id"] for p, reply in repeated.items()}
