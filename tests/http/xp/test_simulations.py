"""Simulations over HTTP: what versions of a policy would have paid for the claims of this database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.identity import Role
from tests.claiming import at
from tests.http.xp.api import POLICY, VERSIONS

if TYPE_CHECKING:
    from tests.http.xp.api import Api

SIMULATIONS = "/v1/xp/simulations"
CLAIM = "/v1/daily-login/claim"


@pytest.fixture
async def claimed(api: Api) -> Api:
    """Three days of one player and one of another, under a published version; and a draft."""
    await api.publish()
    for day, player_id in ((0, "p-1"), (0, "p-2"), (1, "p-1"), (3, "p-1")):
        api.now = at(day)
        if day == 0:
            await api.add_player(player_id)
        reply = await api.call("POST", CLAIM, {}, role=Role.PLAYER, subject=player_id)
        assert reply.status == 201, reply.body
    reply = await api.call("POST", VERSIONS, POLICY | {"base_xp_amount": 200})
    assert reply.status == 201
    return api


async def simulate(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    reply = await api.call("POST", SIMULATIONS, body, role=Role.OPERATOR)
    assert reply.status == 200, reply.body
    return reply.json()


async def test_a_draft_is_compared_with_the_version_in_force(claimed: Api) -> None:
    found = await simulate(claimed, {"policy_key": "daily-login", "versions": [2]})
    in_force, draft = found["versions"]
    # Days 1, 2 and, by grace, 3 of one player, and day 1 of the other: 100, 160, 160 and 100.
    assert (in_force["name"], in_force["xp"], in_force["claims"]) == ("daily-login:1", 520, 4)
    assert (draft["name"], draft["xp"], draft["is_baseline"]) == ("daily-login:2", 1020, False)
    assert (draft["inflation_percent"], draft["grace_days"]) == ("96.15", 1)
    (comparison,) = found["comparisons"]
    assert [change["player_id"] for change in comparison["largest_gains"]] == ["p-1", "p-2"]
    assert found["notes"] == []


async def test_a_document_takes_part_without_being_saved(claimed: Api) -> None:
    # A multiplier that no binary float is: its digits arrive as they were sent.
    row = {"day_index": 0, "multiplier": 1.0001, "additive_bonus_xp": 0}
    document = POLICY | {"streak_curve": [row], "base_xp_amount": 4999}
    found = await simulate(
        claimed,
        {
            "policy_key": "daily-login",
            "document": document,
            "from": "2026-03-02",
            "to": "2026-03-03",
        },
    )
    assert [(v["name"], v["claims"], v["xp"]) for v in found["versions"]] == [
        ("daily-login:1", 1, 160),
        ("document", 1, 4999),
    ]
    assert found["versions"][1]["days"] == [{"day": "2026-03-02", "xp": 4999, "claims": 1}]


async def test_what_cannot_be_run_is_refused_with_all_reasons(claimed: Api) -> None:
    span = {"from": "2026-03-02", "to": "2026-03-01"}
    body: dict[str, Any] = {"policy_key": "daily-login", "document": None} | span
    reply = await claimed.call("POST", SIMULATIONS, body)
    assert (reply.status, reply.json()["code"]) == (422, "xp.simulation_invalid")
    assert [error["path"] for error in reply.json()["errors"]] == ["to", "versions"]
    body = {"policy_key": "daily-login", "versions": [1, 8, 9]}
    reply = await claimed.call("POST", SIMULATIONS, body)
    assert (reply.status, reply.json()["code"]) == (404, "xp.policy_unknown")
    assert reply.json()["versions"] == ["daily-login:8", "daily-login:9"]
    body = {"policy_key": "daily-login", "document": {"policy_key": "daily-login"}}
    reply = await claimed.call("POST", SIMULATIONS, body)
    assert (reply.status, reply.json()["code"]) == (422, "xp.policy_invalid")


async def test_more_claims_than_a_request_may_replay_are_refused(claimed: Api) -> None:
    # Frozen, as settings are while a server runs.
    object.__setattr__(claimed.xp, "max_simulated_claims", 3)
    body = {"policy_key": "daily-login", "versions": [1]}
    reply = await claimed.call("POST", SIMULATIONS, body)
    assert (reply.status, reply.json()["code"]) == (422, "xp.simulation_too_large")
    assert (reply.json()["claims"], reply.json()["max_claims"]) == (4, 3)


async def test_one_simulation_runs_at_a_time(claimed: Api) -> None:
    body = {"policy_key": "daily-login", "versions": [1]}
    async with claimed.xp.simulating:
        reply = await claimed.call("POST", SIMULATIONS, body)
    assert (reply.status, reply.json()["code"]) == (503, "xp.simulation_running")
    assert (await claimed.call("POST", SIMULATIONS, body)).status == 200


async def test_players_do_not_simulate(claimed: Api) -> None:
    body = {"policy_key": "daily-login", "versions": [1]}
    reply = await claimed.call("POST", SIMULATIONS, body, role=Role.PLAYER, subject="p-1")
    assert reply.status == 403
