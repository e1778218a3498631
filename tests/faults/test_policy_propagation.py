"""A new policy reaches every server process: at a word, and without one at the next poll.

Each test looks at repeats, which a server answers from memory until it knows of the new policy: a
new claim would read the policies with its batch, and prove nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.postgres import ensure_database, run_embedded
from emberkeep.migrate.service import apply_migrations
from emberkeep.xp.rules.policy import render_policy
from tests.claiming import KEY, LONG_AGO, World, make_policy
from tests.conftest import lend_server_dir
from tests.faults.proxy import Faults, run_proxy
from tests.faults.serving import Server, connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VERSIONS = f"/v1/xp/policies/{KEY}/versions"
NEVER = "3600"
LISTENER = b"emberkeep-listener"
NOTICED_S = 5.0
"""Much longer than a word takes, much shorter than the poll that is not to help."""

_days = itertools.count(1)


@pytest.fixture(scope="module")
async def place(pytestconfig: pytest.Config) -> AsyncIterator[str]:
    """A durable database with a policy and a player, because servers refuse another."""
    with (
        lend_server_dir(pytestconfig) as directory,
        run_embedded(data_dir=directory / "d") as server,
    ):
        ensure_database(server.dsn, "servers")
        dsn = server.dsn_for("servers")
        await apply_migrations(dsn, now=LONG_AGO)
        world = World(dsn)
        world.publish(make_policy())
        world.add_players("p")
        yield dsn


@contextlib.asynccontextmanager
async def _serving(*servers: Server) -> AsyncIterator[None]:
    try:
        for server in servers:
            await server.await_ready()
        yield
    finally:
        for server in servers:
            server.kill()


async def _publish(server: Server) -> str:
    """Publish a version whose days begin at a minute of their own; return that minute."""
    minute = next(_days)
    async with connected(server) as client:
        document = render_policy(make_policy(window=(minute, 24)))
        created = await client.call("POST", VERSIONS, document)
        assert created.status == 201, created.body
        number = created.body["policy_version"]
        published = await client.call("POST", f"{VERSIONS}/{number}/publish", {})
        assert published.status == 200, published.body
    return f"00:{minute:02}:00Z"


async def _time_agreement(publisher: Server, *servers: Server) -> float:
    """Publish, wait until all agree, and return how long that took."""
    minute = await _publish(publisher)
    published_s = time.monotonic()
    await asyncio.gather(*(_await_boundary(server, minute) for server in (publisher, *servers)))
    return round(time.monotonic() - published_s, 3)


async def _await_boundary(server: Server, minute: str) -> None:
    async with connected(server) as client, asyncio.timeout(NOTICED_S):
        while not (await client.claim("p")).body["next_boundary_at"].endswith(minute):
            await asyncio.sleep(0.02)


async def _remember(*servers: Server) -> None:
    """Have every server remember the receipt of the day."""
    for server in servers:
        async with connected(server) as client:
            for _ in range(2):
                assert (await client.claim("p")).status in (200, 201)


async def test_two_processes_agree_at_a_word(place: str) -> None:
    servers = [Server(place, EMBERKEEP_CATALOGUE_POLL_S=NEVER) for _ in range(2)]
    async with _serving(*servers):
        for publisher in servers:
            await _remember(*servers)
            assert await _time_agreement(publisher, *servers) < NOTICED_S


async def test_without_a_word_a_process_agrees_at_the_next_poll(place: str) -> None:
    """First the word is lost on the way, then there is no connection on which to hear one."""
    faults = Faults(is_deaf=True)
    async with run_proxy(place, faults) as proxied:
        told = Server(place, EMBERKEEP_CATALOGUE_POLL_S=NEVER)
        deaf = Server(proxied, EMBERKEEP_CATALOGUE_POLL_S="1")
        async with _serving(told, deaf):
            await _remember(told, deaf)
            assert await _time_agreement(told, deaf) < NOTICED_S
            await _remember(told, deaf)
            faults.refuses = LISTENER
            World(place).execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = %s",
                LISTENER.decode(),
            )
            async with asyncio.timeout(NOTICED_S):
                while faults.refusals == 0:
                    await asyncio.sleep(0.02)
            assert await _time_agreement(told, deaf) < NOTICED_S
