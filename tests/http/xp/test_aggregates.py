"""Daily totals over HTTP: what they add up, and that they are reconciled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.base.identity import Role
from tests.claiming import at

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

DAILY = "/v1/xp/aggregates/daily?from=2026-03-01&to=2026-03-31"


@pytest.fixture(autouse=True)
async def _ready(api: Api, world: World) -> None:
    await api.publish()
    world.add_season("s", 0, 9)
    for player in ("a", "b"):
        await api.add_player(player)
    for day in (0, 1):
        api.now = at(day)
        for player in ("a", "b"):
            await api.call("POST", "/v1/daily-login/claim", {"player_id": player})
    for amount in (50, 25, -10):
        body = {"amount": amount, "reason": "QUEST"}
        reply = await api.call("POST", "/v1/players/a/grants", body)
        assert reply.status == 201


async def test_each_day_is_added_up_by_what_it_was_for(api: Api) -> None:
    totals = await api.get(DAILY)
    figures = ("day", "reason", "season_id", "rows", "players", "credits", "debits", "net")
    assert [tuple(item[name] for name in figures) for item in totals["items"]] == [
        ("2026-03-01", "DAILY_LOGIN", "s", 2, 2, 200, 0, 200),
        ("2026-03-02", "DAILY_LOGIN", "s", 2, 2, 320, 0, 320),
        ("2026-03-02", "QUEST", None, 3, 1, 75, 10, 65),
    ]
    assert {(i["policy_key"], i["policy_version"]) for i in totals["items"]} == {("daily-login", 1)}
    assert totals["reconciled"] is True
    assert totals["reconciliation"]["balances_net"] == totals["reconciliation"]["span_net"] == 585


async def test_a_balance_that_the_ledger_does_not_add_up_to_is_told(api: Api, dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update xp.xp_balance set current_balance = current_balance + 1")
    totals = await api.get(DAILY)
    assert totals["reconciled"] is False


@pytest.mark.parametrize(
    "span",
    [
        "from=2026-03-02&to=2026-03-01",
        "from=2026-01-01&to=2027-01-02",
        "from=9999-12-31&to=9999-12-31",
        "from=x&to=2026-01-01",
    ],
)
async def test_a_span_that_cannot_be_is_refused(api: Api, span: str) -> None:
    assert (await api.call("GET", f"/v1/xp/aggregates/daily?{span}")).status == 422


async def test_players_do_not_see_what_all_are_paid(api: Api) -> None:
    assert (await api.call("GET", DAILY, role=Role.PLAYER, subject="a")).status == 403


async def test_a_span_without_a_day_is_told_which(api: Api) -> None:
    reply = await api.call("GET", "/v1/xp/aggregates/daily?to=2026-03-01")
    assert (reply.status, reply.json()["code"]) == (422, "request.invalid")
    assert reply.json()["errors"] == [{"path": "from", "message": "is required"}]
