"""An operator's day against real servers: change, preview, publish, take back, and see who did it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emberkeep.base import clock
from emberkeep.base.postgres import ensure_database, run_embedded
from emberkeep.migrate.service import apply_migrations
from tests.claiming import KEY, LONG_AGO, World, make_policy
from tests.faults.serving import Client, Reply, Server, connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ACTIVITY = Path(__file__).parents[2] / "examples" / "activity.csv.gz"
POLICY = f"/v1/xp/policies/{KEY}"
PLAYERS = tuple(f"{side}-{when}" for when in ("before", "after", "back") for side in ("a", "b"))
WAIT_S = 4.0
"""From the publication to its instant: long enough to claim on both servers before it."""


@contextlib.asynccontextmanager
async def _open_servers(server_dir: Path) -> AsyncIterator[tuple[str, Client, Client]]:
    """Lend a database with a policy in force and players, and a client of each of two servers."""
    with run_embedded(data_dir=server_dir / "d") as postgres:
        ensure_database(postgres.dsn, "day")
        dsn = postgres.dsn_for("day")
        await apply_migrations(dsn, now=LONG_AGO)
        world = World(dsn)
        world.publish(make_policy())
        world.add_players(*PLAYERS)
        servers = [Server(dsn), Server(dsn)]
        try:
            for server in servers:
                await server.await_ready()
            async with connected(servers[0]) as a, connected(servers[1]) as b:
                yield dsn, a, b
        finally:
            for server in servers:
                server.kill()


def _simulate(dsn: str, *versions: str) -> dict[str, Any]:
    """Return what versions would have paid to the people of the login history."""
    words = [word for version in versions for word in ("--version", version)]
    run = subprocess.run(
        [
            Path(sys.executable).with_name("emberkeep"),
            *("xp", "simulate", "--activity", str(ACTIVITY), *words, "--json"),
        ],
        env={**os.environ, "EMBERKEEP_DATABASE_URL": dsn, "EMBERKEEP_DEFAULT_POLICY_KEY": KEY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def _paid(reply: Reply) -> tuple[int, int, int]:
    return reply.status, reply.body["policy_version"], reply.body["xp_awarded"]


async def _call(client: Client, method: str, path: str, body: object = None) -> dict[str, Any]:
    reply = await client.call(method, path, body)
    assert reply.status in (200, 201), reply.body
    return reply.body


async def test_an_operators_day(server_dir: Path) -> None:
    async with _open_servers(server_dir) as (dsn, a, b):
        active = await _call(a, "GET", f"/v1/xp/policies/active?policy_key={KEY}")
        dearer = {**active["document"], "base_xp_amount": 150}

        # A draft that breaks rules is refused with all of them, and leaves nothing behind.
        broken = {**dearer, "base_xp_amount": 9_000_000, "streak_curve": [], "streak_model": {}}
        refused = await a.call("POST", f"{POLICY}/versions", broken)
        assert refused.status == 422
        assert {error["path"] for error in refused.body["errors"]} == {
            "streak_curve",
            "streak_model.type",
        }
        assert (await a.call("GET", f"{POLICY}/versions/2")).status == 404

        # Draft, validate, simulate over real history, look at the difference.
        valid = await _call(a, "POST", "/v1/xp/policies/validate", dearer)
        assert valid["document"]["base_xp_amount"] == 150
        draft = await _call(a, "POST", f"{POLICY}/versions?reason=spring", dearer)
        assert (draft["policy_version"], draft["status"]) == (2, "Draft")
        simulation = await asyncio.to_thread(_simulate, dsn, f"{KEY}:1", f"{KEY}:2")
        now_paid, then_paid = simulation["versions"]
        assert (now_paid["players"], now_paid["claims"]) == (6737, 29624)
        assert (now_paid["xp"], then_paid["xp"]) == (2_962_400, 4_443_600)
        assert then_paid["inflation_percent"] == "50.00"
        diff = await _call(b, "GET", f"{POLICY}/diff?from=1&to=2")
        assert diff["changes"] == [{"path": "base_xp_amount", "from": 100, "to": 150}]

        # Schedule: until its instant both servers pay by the old version, from then on by the new.
        publish_at = clock.read_now() + datetime.timedelta(seconds=WAIT_S)
        scheduled = await _call(
            a,
            "POST",
            f"{POLICY}/versions/2/publish",
            {"effective_at": publish_at.isoformat(), "reason": "spring begins"},
        )
        assert scheduled["status"] == "Published"
        assert _paid(await a.claim("a-before")) == (201, 1, 100)
        assert _paid(await b.claim("b-before")) == (201, 1, 100)
        assert clock.read_now() < publish_at, "the machine was too slow"
        await asyncio.sleep(max(0.0, (publish_at - clock.read_now()).total_seconds()) + 0.01)
        assert _paid(await a.claim("a-after")) == (201, 2, 150)
        assert _paid(await b.claim("b-after")) == (201, 2, 150)

        # Roll back: what was paid stays, and the next claim is the old version's again.
        rolled = await _call(b, "POST", f"{POLICY}/rollback", {"reason": "too generous"})
        assert (rolled["policy_version"], rolled["status"]) == (1, "Published")
        assert _paid(await a.claim("a-back")) == (201, 1, 100)
        assert _paid(await b.claim("b-back")) == (201, 1, 100)
        assert _paid(await b.claim("a-after")) == (200, 2, 150)
        ledger = await _call(a, "GET", "/v1/players/a-after/ledger")
        assert [row["policy_version"] for row in ledger["items"]] == [2]

        # The audit tells all of it, newest first, with who and why.
        audit = await _call(a, "GET", f"{POLICY}/audit")
        steps = [
            (step["policy_version"], step["step"], step["actor"], step["reason"])
            for step in audit["items"]
        ]
        assert steps == [
            (1, "rolled_back", "tests", "too generous"),
            (2, "superseded", "tests", "too generous"),
            (2, "published", "tests", "spring begins"),
            (1, "superseded", "tests", "spring begins"),
            (2, "created", "tests", "spring"),
        ]
