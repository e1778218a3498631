"""Ledger rows taken back over HTTP: once, whole, and with everything they did to the balance."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.identity import Role
from tests.claiming import assert_clean, at

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api


@pytest.fixture(autouse=True)
async def _ready(api: Api) -> None:
    await api.add_player()


async def _grant(api: Api, amount: int, **more: Any) -> int:
    body = {"amount": amount, "reason": "QUEST"} | more
    reply = await api.call("POST", "/v1/players/p-1/grants", body)
    assert reply.status == 201, reply.body
    return int(reply.json()["entry"]["ledger_id"])


async def _reverse(api: Api, ledger_id: int, player_id: str = "p-1", **body: Any) -> Any:
    return await api.call("POST", f"/v1/players/{player_id}/ledger/{ledger_id}/reverse", body)


async def test_a_reversal_says_what_it_took_back_and_why(api: Api, world: World) -> None:
    ledger_id = await _grant(api, 250)
    reply = await _reverse(api, ledger_id, reason="Sent twice", metadata={"ticket": 7})
    assert reply.status == 201
    answer = reply.json()
    assert answer["reversed"]["ledger_id"] == answer["entry"]["reverses_ledger_id"] == ledger_id
    assert (answer["entry"]["amount"], answer["entry"]["reason"]) == (-250, "REVERSAL")
    assert answer["entry"]["balance_after"] == answer["balance"]["current"] == 0
    assert answer["entry"]["metadata"] == {
        "ticket": 7,
        "reason": "Sent twice",
        "affectsLifetime": True,
    }
    told = world.execute(
        "select event_type, data -> 'reversed' ->> 'ledger_id', metadata ->> 'actor'"
        " from event_store.events order by event_id"
    )
    assert told[-1] == ("XpReversed", str(ledger_id), "admin")


@pytest.mark.parametrize(
    ("amount", "metadata"),
    [(30, {}), (-30, {}), (-30, {"affectsLifetime": True})],
)
async def test_the_balance_is_what_it_was_before_in_every_figure(
    api: Api, world: World, dsn: str, amount: int, metadata: dict[str, Any]
) -> None:
    world.add_season("s", 0, 9)
    await _grant(api, 100, season_id="s")
    before = (await api.get("/v1/players/p-1/xp"))["balance"]
    ledger_id = await _grant(api, amount, metadata=metadata, season_id="s")
    assert (await _reverse(api, ledger_id)).json()["balance"] == before
    assert_clean(dsn)


async def test_a_row_of_a_season_that_is_over_is_taken_back_there_and_only_there(
    api: Api, world: World, dsn: str
) -> None:
    world.add_season("old", 0, 9)
    world.add_season("new", 10, 19)
    await _grant(api, 40, season_id="old")
    ledger_id = await _grant(api, 60, season_id="old")
    await _grant(api, 5, season_id="new")
    balance = (await _reverse(api, ledger_id)).json()["balance"]
    assert balance == {"current": 45, "lifetime": 45, "seasonal": 5, "season_id": "new"}
    assert world.execute("select season_id, season_xp from xp.xp_season_results") == [("old", 40)]
    assert_clean(dsn)


async def test_of_twenty_who_reverse_a_row_at_once_one_does(api: Api, dsn: str) -> None:
    ledger_id = await _grant(api, 100)
    await _grant(api, 5000)
    replies = await asyncio.gather(*(_reverse(api, ledger_id) for _ in range(20)))
    (done,) = [reply for reply in replies if reply.status == 201]
    refused = [reply.json() for reply in replies if reply.status != 201]
    assert {document["code"] for document in refused} == {"xp.already_reversed"}
    assert {d["reversed_by"] for d in refused} == {done.json()["entry"]["ledger_id"]}
    assert (await api.get("/v1/players/p-1/xp"))["balance"]["current"] == 5000
    assert_clean(dsn)


async def test_a_reversal_repeated_with_its_key_answers_the_same(api: Api) -> None:
    ledger_id = await _grant(api, 100)
    target = f"/v1/players/p-1/ledger/{ledger_id}/reverse"
    key = {"idempotency-key": "r-1"}
    first = await api.call("POST", target, {}, headers=key)
    again = await api.call("POST", target, {}, headers=key)
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_claim_that_is_taken_back_stays_claimed(api: Api, dsn: str) -> None:
    await api.publish()
    claim = {"player_id": "p-1"}
    first = (await api.call("POST", "/v1/daily-login/claim", claim)).json()
    (row,) = (await api.get("/v1/players/p-1/ledger"))["items"]
    assert (await _reverse(api, row["ledger_id"])).status == 201
    again = await api.call("POST", "/v1/daily-login/claim", claim)
    assert (again.status, again.json()["receipt_id"]) == (200, first["receipt_id"])
    assert (await api.get("/v1/players/p-1/xp"))["balance"]["current"] == 0
    api.now = at(1)
    after = (await api.call("POST", "/v1/daily-login/claim", claim)).json()
    assert after["streak"]["current"] == 2
    assert_clean(dsn)


async def test_what_cannot_be_reversed_says_why_and_nothing_is_written(
    api: Api, world: World
) -> None:
    await api.add_player("p-2")
    spent = await _grant(api, 100)
    await _grant(api, -80)
    back = (await _reverse(api, await _grant(api, 7))).json()["entry"]["ledger_id"]
    rows = world.execute("select count(*) from xp.xp_ledger")
    for ledger_id, player_id, body, status, code in (
        (spent, "p-1", {}, 409, "xp.insufficient_balance"),
        (spent, "p-2", {}, 404, "xp.entry_unknown"),
        (spent + 999, "p-1", {}, 404, "xp.entry_unknown"),
        (spent, "nobody", {}, 404, "xp.player_unknown"),
        (back, "p-1", {}, 409, "xp.reversal_of_reversal"),
        (spent, "p-1", {"reason": ""}, 422, "xp.reversal_invalid"),
        (spent, "p-1", {"metadata": {"affectsLifetime": False}}, 422, "xp.reversal_invalid"),
    ):
        reply = await _reverse(api, ledger_id, player_id, **body)
        assert (reply.status, reply.json()["code"]) == (status, code), reply.body
    assert world.execute("select count(*) from xp.xp_ledger") == rows


async def test_a_player_reverses_nothing(api: Api) -> None:
    ledger_id = await _grant(api, 5)
    target = f"/v1/players/p-1/ledger/{ledger_id}/reverse"
    assert (await api.call("POST", target, {}, role=Role.PLAYER, subject="p-1")).status == 403
