"""Grants, debits and the ledger over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from emberkeep.base.identity import Role
from tests.claiming import assert_clean, at, await_waiter

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

GRANTS = "/v1/players/p-1/grants"
MOST = 2**53 - 1


@pytest.fixture(autouse=True)
async def _ready(api: Api) -> None:
    await api.add_player()


async def _grant(api: Api, amount: int, **more: Any) -> Any:
    return await api.call("POST", GRANTS, {"amount": amount, "reason": "QUEST"} | more)


async def test_a_grant_moves_the_balance_and_tells_of_it(api: Api, world: World, dsn: str) -> None:
    reply = await _grant(api, 250, metadata={"quest": "q-1"})
    assert reply.status == 201
    assert reply.json()["balance"]["current"] == 250
    assert reply.json()["entry"]["policy_key"] == "none"
    assert (await api.get("/v1/players/p-1/xp"))["balance"]["lifetime"] == 250
    told = world.execute(
        "select stream_id, event_type, data -> 'entry' -> 'amount' from event_store.events"
    )
    assert told == [("player-p-1", "XpGranted", 250)]
    assert_clean(dsn)


async def test_a_grant_names_the_policy_in_force(api: Api) -> None:
    await api.publish()
    entry = (await _grant(api, 1)).json()["entry"]
    assert (entry["policy_key"], entry["policy_version"]) == ("daily-login", 1)


async def test_a_debit_beyond_the_balance_is_refused_and_nothing_is_written(
    api: Api, world: World
) -> None:
    await _grant(api, 100)
    reply = await _grant(api, -101)
    assert (reply.status, reply.json()["code"]) == (409, "xp.insufficient_balance")
    assert reply.json()["balance"]["current"] == 100
    assert world.execute("select count(*) from xp.xp_ledger") == [(1,)]
    assert world.execute("select count(*) from event_store.events") == [(1,)]


async def test_a_debit_lowers_lifetime_only_when_it_says_so(api: Api) -> None:
    await _grant(api, 100)
    assert (await _grant(api, -30)).json()["balance"]["lifetime"] == 100
    answer = await _grant(api, -30, metadata={"affectsLifetime": True})
    assert answer.json()["balance"]["lifetime"] == 70


async def test_a_balance_never_passes_what_json_says_exactly(api: Api) -> None:
    assert (await _grant(api, MOST)).status == 201
    reply = await _grant(api, 1)
    assert (reply.status, reply.json()["code"]) == (409, "xp.balance_limit")
    assert reply.json()["balance"]["current"] == MOST


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"amount": 0}, ["amount"]),
        ({"amount": 2**53}, ["amount"]),
        ({"amount": -(2**53) - 1}, ["amount"]),
        ({"amount": 1.5}, ["amount"]),
        ({"amount": "5"}, ["amount"]),
        ({"reason": "quest"}, ["reason"]),
        ({"reason": "A" * 65}, ["reason"]),
        ({"reason": "DAILY_LOGIN"}, ["reason"]),
        ({"amount": 0, "reason": ""}, ["amount", "reason"]),
        ({"metadata": {"affectsLifetime": "yes"}}, ["metadata.affectsLifetime"]),
        ({"metadata": {"a": "x" * 17_000}}, ["metadata"]),
        ({"season_id": "nowhere"}, ["season_id"]),
        ({"note": "?"}, ["note"]),
    ],
)
async def test_a_grant_that_cannot_be_is_refused_by_every_path(
    api: Api, world: World, body: dict[str, Any], paths: list[str]
) -> None:
    reply = await api.call("POST", GRANTS, {"amount": 1, "reason": "QUEST"} | body)
    assert reply.status == 422, reply.body
    assert [error["path"] for error in reply.json()["errors"]] == paths
    assert world.execute("select count(*) from xp.xp_ledger") == [(0,)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"amount": 1, "reason": "A", "metadata": {"a": NaN}}', 400),
        (b'{"amount": 1, "reason": "A", "metadata": {"a": 1e999}}', 422),
        (b'{"amount": 1, "reason": "A", "metadata": {"a": "\\ud800"}}', 422),
        (b'{"amount": 1, "reason": "A", "metadata": {"a": "\\u0000"}}', 422),
        (b'{"amount": 9007199254740993, "reason": "A"}', 422),
        (b'{"amount": 1' + b"0" * 5000 + b', "reason": "A"}', 422),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
        (b" " * 10_000_000, 413),
        (b"", 422),
        (b"[]", 422),
        (b"\xff\xfe", 400),
    ],
)
async def test_hostile_bodies_get_a_problem_and_write_nothing(
    api: Api, world: World, body: bytes, status: int
) -> None:
    reply = await api.call("POST", GRANTS, body)
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    assert world.execute("select count(*) from xp.xp_ledger") == [(0,)]


async def test_a_grant_repeated_with_its_key_is_written_once(api: Api, world: World) -> None:
    key = {"idempotency-key": "g-1"}
    body = {"amount": 5, "reason": "QUEST"}
    first = await api.call("POST", GRANTS, body, headers=key)
    again = await api.call("POST", GRANTS, body, headers=key)
    assert again.body == first.body
    assert world.execute("select count(*) from xp.xp_ledger") == [(1,)]


async def test_a_player_grants_nothing(api: Api) -> None:
    body = {"amount": 5, "reason": "QUEST"}
    reply = await api.call("POST", GRANTS, body, role=Role.PLAYER, subject="p-1")
    assert reply.status == 403


async def test_fifty_grants_and_debits_at_once_keep_the_ledger_true(
    api: Api, world: World, dsn: str
) -> None:
    await _grant(api, 100)
    amounts = [10 if index % 2 else -40 for index in range(50)]
    replies = await asyncio.gather(*(_grant(api, amount) for amount in amounts))
    written = [a for a, reply in zip(amounts, replies, strict=True) if reply.status == 201]
    refused = [reply for reply in replies if reply.status != 201]
    assert all(reply.json()["code"] == "xp.insufficient_balance" for reply in refused)
    balance = (await api.get("/v1/players/p-1/xp"))["balance"]
    assert balance["current"] == 100 + sum(written) >= 0
    assert balance["lifetime"] == 100 + sum(a for a in written if a > 0)
    assert world.execute("select count(*) from xp.xp_ledger") == [(1 + len(written),)]
    assert_clean(dsn)


async def test_a_grant_that_waits_comes_after_what_it_waited_for(
    api: Api, world: World, dsn: str
) -> None:
    world.add_season("first", 0, 9)
    world.add_season("second", 10, 19)
    with psycopg.connect(dsn) as other:
        other.execute("select 1 from xp.xp_balance for no key update")
        waiting = asyncio.create_task(_grant(api, 5, season_id="first"))
        await await_waiter(dsn)
        other.execute(
            "insert into xp.xp_ledger (user_id, amount, reason, correlation_id, policy_key,"
            " policy_version, season_id)"
            " select user_id, 7, 'QUEST', gen_random_uuid(), 'none', 0, 'second' from xp.xp_users"
        )
    reply = await waiting
    assert reply.json()["balance"]["season_id"] == "first"
    assert reply.json()["balance"]["seasonal"] == 5
    assert_clean(dsn)


@pytest.mark.parametrize("list_name", ["ledger", "timeline"])
async def test_pages_show_each_row_once_whatever_is_added_meanwhile(
    api: Api, list_name: str
) -> None:
    for index in range(7):
        api.now = at(0, 12 + index // 3)  # Several rows of one instant.
        await _grant(api, index + 1)
    seen: list[int] = []
    target = f"/v1/players/p-1/{list_name}?limit=3"
    page = await api.get(target)
    while True:
        seen += [item.get("amount") or item["detail"]["amount"] for item in page["items"]]
        if page["next"] is None:
            break
        await _grant(api, 1000)
        page = await api.get(f"{target}&after={page['next']}")
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_awards_are_paged_by_day(api: Api) -> None:
    await api.publish()
    for day in range(5):
        api.now = at(day, 13)
        await api.call("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
    first = await api.get("/v1/players/p-1/awards?limit=2")
    assert [a["reward_day_id"] for a in first["items"]] == ["2026-03-05", "2026-03-04"]
    rest = await api.get(f"/v1/players/p-1/awards?limit=3&after={first['next']}")
    assert [a["streak"]["current"] for a in rest["items"]] == [3, 2, 1]
    assert rest["next"] is None


async def test_the_timeline_merges_awards_ledger_and_zone_changes(api: Api) -> None:
    await api.publish()
    await api.call("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
    api.now = at(0, 13)
    await api.call("PUT", "/v1/players/p-1/reward-time-zone", {"time_zone": "Asia/Tokyo"})
    await api.call("PUT", "/v1/players/p-1/reward-time-zone", {"time_zone": "Asia/Seoul"})
    items = (await api.get("/v1/players/p-1/timeline"))["items"]
    assert [item["kind"] for item in items] == [
        "time_zone_change",
        "time_zone_change",
        "ledger",
        "award",
    ]
    assert [item["detail"]["granted"] for item in items[:2]] == [False, True]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "after=!!", "after=W10", "after=" + "A" * 600, "limit=1e3"],
)
@pytest.mark.parametrize("list_name", ["ledger", "awards", "timeline"])
async def test_a_bad_page_is_refused(api: Api, list_name: str, query: str) -> None:
    reply = await api.call("GET", f"/v1/players/p-1/{list_name}?{query}")
    assert reply.status == 422, reply.body
    assert reply.json()["errors"][0]["path"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("list_name", "position"),
    [
        ("ledger", ["0001-01-01T00:00:00+23:59", 4]),
        ("ledger", ["9999-12-31T23:59:59-23:59", 2**63 - 1]),
        ("timeline", ["9999-12-31T23:59:59-23:59", "award", 0]),
        ("awards", ["0001-01-01"]),
        ("awards", ["9999-12-31"]),
    ],
)
async def test_a_cursor_from_the_edge_of_the_calendar_is_a_position_like_any_other(
    api: Api, list_name: str, position: list[object]
) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(position).encode()).rstrip(b"=").decode()
    page = await api.get(f"/v1/players/p-1/{list_name}?after={cursor}")
    assert page == {"items": [], "next": None}
