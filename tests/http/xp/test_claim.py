"""Claiming the daily login over HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.identity import Role
from tests.claiming import assert_clean, at
from tests.http.xp.api import POLICY

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

CLAIM = "/v1/daily-login/claim"


@pytest.fixture(autouse=True)
async def _ready(api: Api) -> None:
    await api.publish()
    await api.add_player()


async def test_the_first_claim_of_a_day_is_new_and_a_repeat_shows_the_same_receipt(
    api: Api, dsn: str
) -> None:
    first = await api.call("POST", CLAIM, role=Role.PLAYER, subject="p-1")
    again = await api.call("POST", CLAIM, {"player_id": "p-1"}, role=Role.SERVICE)
    assert (first.status, again.status) == (201, 200)
    assert first.json()["status"] == "NEW"
    assert again.json() == first.json() | {"status": "ALREADY_CLAIMED"}
    assert first.json()["xp_awarded"] == 100
    assert first.json()["reward_day_id"] == "2026-03-01"
    assert first.json()["next_boundary_at"] == "2026-03-02T00:00:00Z"
    assert_clean(dsn)


async def test_a_key_replays_status_and_body_of_the_claim(api: Api, world: World) -> None:
    key = {"idempotency-key": "k-1"}
    first = await api.call("POST", CLAIM, {"player_id": "p-1"}, headers=key)
    again = await api.call("POST", CLAIM, {"player_id": "p-1"}, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(world.read_trail("p-1").awards) == 1


@pytest.mark.parametrize("target", [CLAIM, f"{CLAIM}/"])
async def test_a_player_needs_no_body_with_a_key_either(api: Api, target: str) -> None:
    how = {"role": Role.PLAYER, "subject": "p-1", "headers": {"idempotency-key": "k-1"}}
    first = await api.call("POST", target, **how)
    assert first.status == 201, first.body
    assert (await api.call("POST", target, **how)).body == first.body


async def test_a_balance_that_is_full_refuses_the_claim_and_nothing_is_written(
    api: Api, world: World, dsn: str
) -> None:
    await api.call("POST", "/v1/players/p-1/grants", {"amount": 2**53 - 100, "reason": "GIFT"})
    await api.add_player("p-2")
    full, other = await asyncio.gather(
        api.call("POST", CLAIM, {"player_id": "p-1"}), api.call("POST", CLAIM, {"player_id": "p-2"})
    )
    assert (full.status, full.json()["code"]) == (409, "xp.balance_limit")
    assert other.status == 201
    keyed = {"headers": {"idempotency-key": "k-1"}}
    assert (await api.call("POST", CLAIM, {"player_id": "p-1"}, **keyed)).status == 409
    assert world.read_trail("p-1").awards == []
    # One XP less, and there is room for the 100 of the first day.
    await api.call("POST", "/v1/players/p-1/grants", {"amount": -1, "reason": "FEE"})
    refused = await api.call("POST", CLAIM, {"player_id": "p-1"})
    assert refused.status == 409, "what was ever earned is still too much"
    debit = {"amount": -1, "reason": "FEE", "metadata": {"affectsLifetime": True}}
    await api.call("POST", "/v1/players/p-1/grants", debit)
    assert (await api.call("POST", CLAIM, {"player_id": "p-1"}, **keyed)).status == 201
    assert_clean(dsn)


async def test_a_key_for_another_body_is_refused(api: Api) -> None:
    await api.add_player("p-2")
    key = {"idempotency-key": "k-1"}
    await api.call("POST", CLAIM, {"player_id": "p-1"}, headers=key)
    other = await api.call("POST", CLAIM, {"player_id": "p-2"}, headers=key)
    assert other.status == 422
    assert other.json()["code"] == "request.idempotency_key_reused"


async def test_fifty_claims_at_once_keyed_and_not_pay_once(
    api: Api, world: World, dsn: str
) -> None:
    replies = await asyncio.gather(
        *(
            api.call(
                "POST",
                CLAIM,
                {"player_id": "p-1"},
                headers={"idempotency-key": f"k-{index}"} if index % 2 else None,
            )
            for index in range(50)
        )
    )
    assert sorted(reply.status for reply in replies) == [200] * 49 + [201]
    assert len({reply.json()["receipt_id"] for reply in replies}) == 1
    assert len(world.read_trail("p-1").ledger) == 1
    assert_clean(dsn)


async def test_a_refused_claim_leaves_its_key_free(api: Api) -> None:
    key = {"idempotency-key": "k-1"}
    refused = await api.call("POST", CLAIM, {"player_id": "p-9"}, headers=key)
    assert refused.json()["code"] == "xp.player_unknown"
    await api.add_player("p-9")
    granted = await api.call("POST", CLAIM, {"player_id": "p-9"}, headers=key)
    assert granted.status == 201


async def test_a_player_claims_for_nobody_else(api: Api) -> None:
    await api.add_player("p-2")
    reply = await api.call("POST", CLAIM, {"player_id": "p-2"}, role=Role.PLAYER, subject="p-1")
    assert (reply.status, reply.json()["code"]) == (403, "request.not_yourself")


async def test_an_operator_claims_for_nobody(api: Api) -> None:
    reply = await api.call("POST", CLAIM, {"player_id": "p-1"}, role=Role.OPERATOR)
    assert (reply.status, reply.json()["code"]) == (403, "request.role_refused")


async def test_a_claim_outside_the_window_says_when_the_next_one_opens(api: Api) -> None:
    narrow = POLICY | {"claim_window": POLICY["claim_window"] | {"duration_hours": 2}}
    await api.publish(narrow, version=2)
    reply = await api.call("POST", CLAIM, {"player_id": "p-1"})
    assert (reply.status, reply.json()["code"]) == (409, "xp.window_closed")
    assert reply.json()["opens_at"] == "2026-03-02T00:00:00Z"


async def test_a_claim_without_a_policy_in_force_is_refused(api: Api) -> None:
    await api.call("POST", "/v1/xp/policies/daily-login/versions/1/retire")
    api.now = at(0, 13)
    reply = await api.call("POST", CLAIM, {"player_id": "p-1"})
    assert (reply.status, reply.json()["code"]) == (409, "xp.no_policy_in_force")


async def test_a_repeat_after_a_move_west_names_the_boundary_of_the_new_zone(api: Api) -> None:
    first = await api.call("POST", CLAIM, {"player_id": "p-1"})
    moved = await api.call(
        "PUT", "/v1/players/p-1/reward-time-zone", {"time_zone": "America/Los_Angeles"}
    )
    again = await api.call("POST", CLAIM, {"player_id": "p-1"})
    assert moved.json()["effective_at"] == "2026-03-02T00:00:00Z"
    assert again.json()["next_boundary_at"] == "2026-03-02T08:00:00Z"
    assert again.json()["receipt_id"] == first.json()["receipt_id"]
