"""Freezes, pauses, repairs and rebuilds over HTTP: who may, what is answered, and how it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.identity import Role
from tests.claiming import assert_clean, at
from tests.http.xp.api import POLICY

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

STREAK = "/v1/players/p-1/streak"
CLAIM = "/v1/daily-login/claim"
KINDER: dict[str, Any] = POLICY | {
    "freezes": {"max_held": 2, "earned_every_days": 5},
    "pause": {"max_days": 7, "cooldown_days": 3},
}


@pytest.fixture(autouse=True)
async def _ready(api: Api) -> None:
    await api.publish(KINDER)
    await api.add_player()


async def claim(api: Api, day: int) -> Any:
    """Claim at noon of `day`; return the receipt."""
    api.now = at(day)
    reply = await api.call("POST", CLAIM, {"player_id": "p-1"}, role=Role.SERVICE)
    assert reply.status in (200, 201), reply.body
    return reply.json()


async def test_everything_that_keeps_a_streak_is_in_one_answer(api: Api) -> None:
    await claim(api, 0)
    body = {"amount": 1, "reason": "birthday"}
    granted = await api.call("POST", f"{STREAK}/freezes", body, role=Role.OPERATOR)
    assert (granted.status, granted.json()["freezes"]) == (201, 1)
    body = {"last_day": "2026-03-05"}
    paused = await api.call("POST", f"{STREAK}/pause", body, role=Role.PLAYER, subject="p-1")
    assert (paused.status, paused.json()["first_day"]) == (201, "2026-03-02")
    api.now = at(2)
    assert await api.get(STREAK, role=Role.PLAYER, subject="p-1") == {
        "player_id": "p-1",
        "current": 1,
        "longest": 1,
        "grace_used": 0,
        "last_reward_day_id": "2026-03-01",
        "today": "2026-03-03",
        "freezes": {"held": 1, "max_held": 2, "claims_to_next": 4},
        "pause": {"first_day": "2026-03-02", "last_day": "2026-03-05", "is_running": True},
    }
    resumed = await api.call("POST", f"{STREAK}/resume", {}, role=Role.PLAYER, subject="p-1")
    assert (resumed.status, resumed.json()["first_day"]) == (201, "2026-03-03")
    # The 3rd was missed: the freeze is spent before grace.
    receipt = await claim(api, 3)
    assert (receipt["streak"]["current"], receipt["explain"]["freezes_used"]) == (2, 1)


async def test_a_repair_is_in_the_history_with_who_and_why(
    api: Api, world: World, dsn: str
) -> None:
    await claim(api, 0)
    api.now = at(4)
    body = {"streak_day": 2, "excuse_from": "2026-03-02", "excuse_to": "2026-03-04", "reason": "x"}
    repaired = await api.call("POST", f"{STREAK}/repair", body, role=Role.OPERATOR, subject="ann")
    assert repaired.status == 201, repaired.body
    assert (await claim(api, 4))["streak"]["current"] == 3
    (action,) = (await api.get(f"{STREAK}/actions"))["items"]
    assert action == repaired.json()
    assert (action["actor"], action["reason"], action["streak_day"]) == ("ann", "x", 2)
    timeline = (await api.get("/v1/players/p-1/timeline"))["items"]
    assert sorted(item["kind"] for item in timeline) == ["award"] * 2 + ["ledger"] * 2 + [
        "streak_action"
    ]
    assert ("StreakRepaired", None) in world.read_trail("p-1").events
    assert_clean(dsn)


async def test_an_idempotency_key_acts_once(api: Api, world: World) -> None:
    body = {"amount": 1, "reason": "birthday"}
    how: dict[str, Any] = {"role": Role.SERVICE, "headers": {"idempotency-key": "k-1"}}
    first = await api.call("POST", f"{STREAK}/freezes", body, **how)
    again = await api.call("POST", f"{STREAK}/freezes", body, **how)
    assert (first.status, again.body) == (201, first.body)
    assert world.execute("select count(*) from xp.xp_streak_actions") == [(1,)]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("freezes", {"amount": -1, "reason": "x"}, 409, "xp.no_freezes_held"),
        ("freezes", {"amount": 0, "reason": ""}, 422, "xp.streak_action_invalid"),
        ("pause", {"last_day": "2026-04-05"}, 409, "xp.pause_refused"),
        ("pause", {"last_day": "tomorrow"}, 422, "request.invalid"),
        ("pause", {"last_day": "2026-03-02", "days": 1}, 422, "request.invalid"),
        ("resume", {}, 409, "xp.not_paused"),
        ("repair", {"streak_day": 3, "reason": "x"}, 409, "xp.repair_refused"),
        ("repair", {"reason": "x"}, 422, "xp.streak_action_invalid"),
    ],
)
async def test_what_cannot_be_done_is_refused(
    api: Api, world: World, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    reply = await api.call("POST", f"{STREAK}/{path}", body)
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert world.execute("select count(*) from xp.xp_streak_actions") == [(0,)]


@pytest.mark.parametrize(
    ("path", "body", "role", "subject"),
    [
        ("freezes", {"amount": 1, "reason": "x"}, Role.PLAYER, "p-1"),
        ("repair", {"streak_day": 1, "reason": "x"}, Role.PLAYER, "p-1"),
        ("repair", {"streak_day": 1, "reason": "x"}, Role.SERVICE, "game"),
        ("pause", {"last_day": "2026-03-02"}, Role.PLAYER, "p-2"),
        ("resume", {}, Role.PLAYER, "p-2"),
    ],
)
async def test_a_player_pauses_their_own_streak_and_operators_do_the_rest(
    api: Api, path: str, body: dict[str, Any], role: Role, subject: str
) -> None:
    reply = await api.call("POST", f"{STREAK}/{path}", body, role=role, subject=subject)
    assert reply.status == 403


async def test_a_rebuild_mends_and_a_dry_run_only_says_so(api: Api, world: World, dsn: str) -> None:
    await claim(api, 0)
    world.execute("update xp.xp_streaks set current_streak = 5")
    world.execute("update xp.xp_balance set lifetime_xp = 5")
    for what in ("streaks", "balances"):
        body = {"what": what, "dry_run": True}
        dry = await api.call("POST", "/v1/xp/rebuilds", body, role=Role.OPERATOR)
        assert (dry.status, dry.json()["changed"]) == (200, 1)
        body = {"what": what, "player_id": "p-1"}
        done = await api.call("POST", "/v1/xp/rebuilds", body, role=Role.OPERATOR)
        assert done.json()[what] == dry.json()[what]
    refused = await api.call("POST", "/v1/xp/rebuilds", body, role=Role.SERVICE)
    unknown = await api.call("POST", "/v1/xp/rebuilds", body | {"player_id": "x"})
    assert (refused.status, unknown.status) == (403, 404)
    assert_clean(dsn)


async def test_the_requests_for_another_zone_are_listed(api: Api) -> None:
    for zone in ("Asia/Tokyo", "Asia/Seoul"):
        await api.call("PUT", "/v1/players/p-1/reward-time-zone", {"time_zone": zone})
    page = await api.get("/v1/players/p-1/time-zone-changes", role=Role.PLAYER, subject="p-1")
    assert [(c["new_time_zone"], c["granted"]) for c in page["items"]] == [
        ("Asia/Seoul", False),
        ("Asia/Tokyo", True),
    ]
