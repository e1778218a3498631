"""Levels over HTTP: curves as documents, and where a player stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emberkeep.base.identity import Role
from tests.http.xp.api import POLICY

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

LEVELS = "/v1/xp/policies/daily-login/levels"
CURVE = {"thresholds": [100, 300, 1000]}
XP = "/v1/players/p-1/xp"


@pytest.fixture(autouse=True)
async def _ready(api: Api) -> None:
    await api.publish()
    await api.add_player()


async def test_a_curve_is_put_read_changed_and_deleted(api: Api) -> None:
    assert (await api.call("GET", LEVELS)).json()["code"] == "xp.level_curve_unknown"
    created = await api.call("PUT", LEVELS, CURVE)
    assert (created.status, created.headers["etag"]) == (201, '"1"')
    assert created.json() == {"policy_key": "daily-login"} | CURVE
    steeper = {"thresholds": [200, 900], "reason": "too easy"}
    changed = await api.call("PUT", LEVELS, steeper, headers={"if-match": '"1"'})
    assert (changed.status, changed.headers["etag"]) == (200, '"2"')
    read = await api.call("GET", LEVELS)
    assert (read.json()["thresholds"], read.headers["etag"]) == ([200, 900], '"2"')
    stale = await api.call("DELETE", LEVELS, headers={"if-match": '"1"'})
    assert (stale.status, stale.json()["etag"]) == (412, '"2"')
    assert (await api.call("DELETE", f"{LEVELS}?reason=none", subject="anna")).status == 204
    assert (await api.call("DELETE", LEVELS)).json()["code"] == "xp.level_curve_unknown"
    assert (await api.call("PUT", LEVELS, CURVE, headers={"if-match": '"2"'})).status == 412
    again = await api.call("PUT", LEVELS, CURVE)
    assert (again.status, again.headers["etag"]) == (201, '"3"'), "nobody has seen this one"
    audit = [
        (step["step"], step["actor"], step["reason"], step["details"]["revision"])
        for step in (await api.get(f"{LEVELS}/audit"))["items"]
    ]
    assert audit == [
        ("created", "admin", "", 3),
        ("deleted", "anna", "none", 2),
        ("edited", "admin", "too easy", 2),
        ("created", "admin", "", 1),
    ]


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, ["thresholds"]),
        ({"thresholds": []}, ["thresholds"]),
        ({"thresholds": [0, 5, "x", 4, 4.5]}, [f"thresholds[{i}]" for i in (0, 2, 4)]),
        ({"thresholds": [5, 5, 4]}, ["thresholds[1]", "thresholds[2]"]),
        ({"thresholds": [2**53]}, ["thresholds[0]"]),
        ({"thresholds": list(range(1, 1002))}, ["thresholds"]),
        ({"thresholds": [-1], "reason": "x" * 501, "x": 1}, ["x", "thresholds[0]", "reason"]),
        ([], ["$"]),
    ],
)
async def test_a_curve_that_cannot_be_is_refused_with_every_error(
    api: Api, body: object, paths: list[str]
) -> None:
    reply = await api.call("PUT", LEVELS, body)
    assert (reply.status, reply.json()["code"]) == (422, "xp.level_curve_invalid"), reply.body
    assert [error["path"] for error in reply.json()["errors"]] == paths


async def test_a_thousand_levels_up_to_the_last_exact_number_can_be(api: Api) -> None:
    thresholds = [*range(1, 1000), 2**53 - 1]
    assert (await api.call("PUT", LEVELS, {"thresholds": thresholds})).status == 201


async def test_only_who_writes_policies_changes_curves_and_everybody_reads_them(api: Api) -> None:
    assert (await api.call("PUT", LEVELS, CURVE, role=Role.SERVICE)).status == 403
    assert (await api.call("PUT", LEVELS, CURVE, role=Role.OPERATOR)).status == 201
    assert (await api.call("GET", LEVELS, role=Role.PLAYER, subject="p-1")).status == 200
    assert (await api.call("DELETE", LEVELS, role=Role.PLAYER, subject="p-1")).status == 403
    missing = await api.call("PUT", LEVELS.replace("daily-login", "nothing"), CURVE)
    assert (missing.status, missing.json()["code"]) == (404, "xp.policy_unknown")


async def test_every_answer_with_a_balance_tells_the_level(api: Api, world: World) -> None:
    assert (await api.get(XP))["level"] is None
    await api.call("PUT", LEVELS, CURVE)
    told = await api.get("/v1/daily-login/eligibility?player_id=p-1")
    assert told["level"]["level"] == 2
    preview = await api.call("POST", "/v1/daily-login/preview", {"player_id": "p-1", "days": 3})
    assert [day["level"]["level"] for day in preview.json()["days"]] == [2, 2, 3]
    receipt = await api.call("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
    assert receipt.json()["level"] == told["level"]
    grant = await api.call("POST", "/v1/players/p-1/grants", {"amount": 900, "reason": "QUEST"})
    assert grant.json()["level"] == {
        "level": 4,
        "xp_into_level": 0,
        "xp_to_next_level": None,
        "next_level_at": None,
        "progress": "1.0000",
    }
    assert (await api.get(XP))["level"] == grant.json()["level"]
    assert world.list_levels("p-1") == [2, 3, 4]


async def test_the_level_is_told_by_the_policy_that_is_named(api: Api) -> None:
    await api.publish(POLICY | {"policy_key": "weekend"})
    await api.call("PUT", LEVELS.replace("daily-login", "weekend"), {"thresholds": [10]})
    await api.call("POST", "/v1/players/p-1/grants", {"amount": 50, "reason": "QUEST"})
    assert (await api.get(XP))["level"] is None
    assert (await api.get(f"{XP}?policy_key=weekend"))["level"]["level"] == 2
    reply = await api.call("GET", f"{XP}?policy_key=nothing")
    assert (reply.status, reply.json()["code"]) == (404, "xp.policy_unknown")
