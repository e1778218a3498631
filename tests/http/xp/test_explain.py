"""Explanations over HTTP: why a claim would pay what it would, for whom it may be asked, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.db import connect, snapshot
from emberkeep.base.identity import Role
from emberkeep.xp.model import PlayerId, PolicyKey
from emberkeep.xp.service import eligibility, explanation, trial
from emberkeep.xp.service.catalogue import load_catalogue
from tests.claiming import KEY, at
from tests.http.xp.api import POLICY, VERSIONS

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

EXPLAIN = "/v1/daily-login/explain"
PREVIEW = "/v1/daily-login/preview"
ELIGIBILITY = "/v1/daily-login/eligibility?player_id=p-1"
CLAIM = ("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
VETERAN = {
    "time_zone": "Europe/Berlin",
    "current_streak": 4,
    "longest_streak": 9,
    "last_reward_day_id": "2026-02-28",
    "lifetime_xp": 1000,
}


@pytest.fixture(autouse=True)
async def _ready(api: Api) -> None:
    await api.publish()
    await api.add_player()


async def _explain(api: Api, **body: object) -> Any:
    reply = await api.call("POST", EXPLAIN, {"player_id": "p-1"} | body)
    assert reply.status == 200, reply.body
    return reply.json()


def _find(verdict: Any, step: str) -> Any:
    (found,) = (s for s in verdict["steps"] if s["step"] == step)
    return found["facts"]


async def test_an_explanation_comes_to_what_the_claim_then_pays(api: Api, world: World) -> None:
    await api.call(*CLAIM)
    api.now = at(2)
    before = world.read_trail("p-1")
    verdict = await _explain(api)
    assert world.read_trail("p-1") == before
    assert [step["step"] for step in verdict["steps"]] == [
        "policy",
        "segment",
        "reward_day",
        "streak",
        "curve",
        "model",
        "boost",
        "rounding",
        "bonus",
        "season",
        "payment",
    ]
    receipt = (await api.call(*CLAIM)).json()
    assert verdict["eligible"]
    assert verdict["xp_awarded"] == receipt["xp_awarded"] == 160
    assert verdict["streak"] == receipt["streak"]
    assert _find(verdict, "streak")["graced_days"] == 1
    assert _find(verdict, "rounding")["exact_xp"] == "150.0000"


async def test_who_has_claimed_is_told_so_and_when_to_come_back(api: Api) -> None:
    await api.call(*CLAIM)
    verdict = await _explain(api)
    assert (verdict["eligible"], verdict["reason"]) == (False, "already_claimed")
    assert verdict["come_back_at"] == "2026-03-02T00:00:00Z"
    assert verdict["streak"]["current"] == 1
    tomorrow = await _explain(api, at="tomorrow")
    assert (tomorrow["at"], tomorrow["xp_awarded"]) == ("2026-03-02T00:00:00Z", 160)


async def test_a_switch_ahead_is_told_and_decides_from_its_instant_on(api: Api) -> None:
    await api.call("POST", VERSIONS, POLICY | {"base_xp_amount": 200})
    switch = "2026-03-03T12:00:00Z"
    await api.call("POST", f"{VERSIONS}/2/publish", {"effective_at": switch})
    now = await _explain(api)
    assert _find(now, "switch") == {"switch_at": switch, "policy_version": 2}
    assert _find(now, "policy")["in_force_until"] == switch
    for instant, version in (("2026-03-03T11:59:59Z", 1), (switch, 2)):
        assert (await _explain(api, at=instant))["policy_version"] == version
        asked = await api.get(f"{ELIGIBILITY}&at={instant}")
        assert (asked["policy_version"], asked["at"]) == (version, instant)


async def test_why_not_is_an_answer_and_says_when(api: Api) -> None:
    assert (await _explain(api, player_id="p-9"))["reason"] == "player_unknown"
    assert (await _explain(api, policy_key="nothing"))["reason"] == "policy_unknown"
    assert (await _explain(api, policy_version=7))["reason"] == "policy_unknown"
    later = POLICY | {"policy_key": "later"}
    await api.call("POST", "/v1/xp/policies/later/versions", later)
    body = {"effective_at": "2026-04-01T00:00:00Z"}
    await api.call("POST", "/v1/xp/policies/later/versions/1/publish", body)
    verdict = await _explain(api, policy_key="later")
    assert verdict["reason"] == "no_policy_in_force"
    assert verdict["come_back_at"] == "2026-04-01T00:00:00Z"
    window = POLICY["claim_window"] | {"duration_hours": 1, "min_cooldown_hours": 24}
    await api.publish(POLICY | {"claim_window": window}, version=2)
    verdict = await _explain(api)
    assert (verdict["reason"], verdict["come_back_at"]) == ("window_closed", "2026-03-02T00:00:00Z")
    api.now = at(1, 0.5)
    await api.call(*CLAIM)
    api.now = at(2, 0.25)
    verdict = await _explain(api)
    assert (verdict["reason"], verdict["come_back_at"]) == ("cooldown", "2026-03-03T00:30:00Z")


async def test_a_player_who_is_made_up_is_answered_as_a_real_one_would_be(api: Api) -> None:
    await api.call("PUT", f"{VERSIONS.removesuffix('versions')}levels", {"thresholds": [1100]})
    reply = await api.call("POST", PREVIEW, {"player": VETERAN, "days": 4})
    assert reply.status == 200, reply.body
    preview = reply.json()
    assert preview["player_id"] is None
    assert [day["streak"]["current"] for day in preview["days"]] == [5, 6, 7, 1]
    assert [day["level"]["level"] for day in preview["days"]] == [2, 2, 2, 2]
    reply = await api.call(
        "POST", EXPLAIN, {"player": VETERAN | {"grace_used": 1}, "at": "tomorrow"}
    )
    streak = _find(reply.json(), "streak")
    assert (streak["change"], streak["missed_days"], streak["before"]) == ("restarted", 1, 4)
    claimed = VETERAN | {"last_reward_day_id": "2026-03-01"}
    reply = await api.call("POST", EXPLAIN, {"player": claimed})
    assert reply.json()["reason"] == "already_claimed"
    assert reply.json()["come_back_at"] == "2026-03-01T23:00:00Z"


async def test_a_document_that_was_never_saved_decides(api: Api) -> None:
    document = POLICY | {"base_xp_amount": 333}
    document["streak_curve"] = [{"day_index": 0, "multiplier": 1.1, "additive_bonus_xp": 0}]
    verdict = await _explain(api, document=document)
    assert (verdict["policy_version"], verdict["xp_awarded"]) == (0, 366)
    assert _find(verdict, "rounding")["exact_xp"] == "366.3000"
    reply = await api.call("POST", PREVIEW, {"player": VETERAN, "document": document, "days": 1})
    assert reply.json()["total_xp"] == 366
    other = await api.call(
        "POST", EXPLAIN, {"player_id": "p-1", "document": document, "policy_key": "weekend"}
    )
    assert (other.status, other.json()["code"]) == (422, "xp.policy_key_mismatch")


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, ["player_id"]),
        ({"player_id": "p-1", "player": VETERAN}, ["player_id"]),
        ({"player": {"time_zone": "CET"}}, ["player.time_zone"]),
        (
            {
                "player": {
                    "time_zone": 5,
                    "current_streak": 9,
                    "longest_streak": 3,
                    "grace_used": -1,
                    "freezes_held": 1.5,
                    "lifetime_xp": "x",
                    "segment_key": "Not A Slug",
                    "attributes": [],
                    "colour": "red",
                },
                "at": "2026-02-28T00:00:00Z",
            },
            [
                "at",
                "player.colour",
                "player.time_zone",
                "player.grace_used",
                "player.freezes_held",
                "player.lifetime_xp",
                "player.longest_streak",
                "player.last_reward_day_id",
                "player.attributes",
                "player.segment_key",
            ],
        ),
        ({"player": VETERAN | {"last_reward_day_id": "2026-03-03"}}, ["player.last_reward_day_id"]),
        ({"player": VETERAN | {"last_reward_day_id": "0001-01-01"}}, ["player.last_reward_day_id"]),
        ({"player": VETERAN | {"current_streak": 0}}, ["player.current_streak"]),
        ({"player": VETERAN | {"attributes": {"a": "x" * 20_000}}}, ["player.attributes"]),
        ({"player_id": "p-1", "at": "soon"}, ["at"]),
        ({"player_id": "p-1", "at": "2026-03-01T11:59:59Z"}, ["at"]),
        ({"player_id": "p-1", "at": "2027-03-03T00:00:00Z"}, ["at"]),
        (
            {"player_id": "p-1", "document": POLICY | {"grace": {}}, "policy_version": 1},
            ["document", "document.grace.allowed_misses", "document.grace.window_days"],
        ),
        ({"player_id": "p-1", "document": {}, "at": "soon"}, ["at", "document.policy_key"]),
    ],
)
async def test_a_question_that_cannot_be_is_refused_with_every_error(
    api: Api, body: dict[str, object], paths: list[str]
) -> None:
    reply = await api.call("POST", EXPLAIN, body)
    assert reply.status == 422, reply.body
    found = [error["path"] for error in reply.json()["errors"]]
    assert found[: len(paths)] == paths
    if reply.json()["code"] == "xp.question_invalid" and "document" not in body:
        assert found == paths


async def test_eligibility_ahead_counts_the_days_until_then_as_unclaimed(api: Api) -> None:
    await api.call(*CLAIM)
    tomorrow = await api.get(f"{ELIGIBILITY}&at=tomorrow")
    assert (tomorrow["eligible"], tomorrow["streak_preview"]["current"]) == (True, 2)
    later = await api.get(f"{ELIGIBILITY}&at=2026-03-05T00:00:00Z")
    assert (later["reward_day_id"], later["streak_preview"]["current"]) == ("2026-03-05", 1)
    past = await api.call("GET", f"{ELIGIBILITY}&at=2026-03-01T11:59:59Z")
    assert (past.status, past.json()["code"]) == (422, "xp.question_invalid")


@pytest.mark.parametrize("said", [{"policy_version": 1}, {"document": POLICY}, {"player": VETERAN}])
async def test_a_player_asks_for_itself_and_by_what_is_in_force(
    api: Api, said: dict[str, object]
) -> None:
    reply = await api.call("POST", EXPLAIN, {}, role=Role.PLAYER, subject="p-1")
    assert reply.json()["xp_awarded"] == 100
    for route in (EXPLAIN, PREVIEW):
        reply = await api.call("POST", route, said, role=Role.PLAYER, subject="p-1")
        assert (reply.status, reply.json()["code"]) == (403, "request.role_refused")


async def test_asking_writes_nothing(dsn: str) -> None:
    # In a transaction that PostgreSQL lets write nothing.
    async with await connect(dsn) as conn, snapshot(conn):
        catalogue = await load_catalogue(conn)
        for player in (PlayerId("p-1"), None):
            question = trial.read_question(
                player_id=player,
                made_up=None if player else VETERAN,
                policy_version=1,
                at="tomorrow",
                max_award_xp=5000,
                now=at(0),
            )
            how: Any = {"catalogue": catalogue, "server_zone": "UTC", "now": at(0)}
            await eligibility.check_eligibility(conn, question=question, policy_key=KEY, **how)
            await eligibility.project_days(conn, question=question, policy_key=KEY, days=9, **how)
            verdict = await explanation.explain_claim(
                conn,
                question=question,
                policy_key=None,
                default_policy_key=PolicyKey(KEY),
                **how,
            )
            assert verdict.eligible
