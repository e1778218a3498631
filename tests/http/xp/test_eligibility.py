"""Eligibility and preview over HTTP: what a claim would pay, without claiming."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.identity import Role
from tests.claiming import at
from tests.http.xp.api import POLICY, VERSIONS

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

ELIGIBILITY = "/v1/daily-login/eligibility?player_id=p-1"
PREVIEW = "/v1/daily-login/preview"
CLAIM = ("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
MILESTONES = {
    "type": "MilestoneMetaReward",
    "parameters": {"milestones": [{"day": 3, "reward_type": "badge", "reward_value": "three"}]},
}
TIERED = {"type": "TieredSeasonalReset", "parameters": {"tiers": []}}


@pytest.fixture(autouse=True)
async def _ready(api: Api) -> None:
    await api.publish()
    await api.add_player()


async def _preview(api: Api, **body: object) -> Any:
    reply = await api.call("POST", PREVIEW, {"player_id": "p-1"} | body)
    assert reply.status == 200, reply.body
    return reply.json()


async def test_eligibility_foretells_the_claim(api: Api) -> None:
    told = await api.get(ELIGIBILITY)
    receipt = (await api.call(*CLAIM)).json()
    assert (told["eligible"], told["reason"]) == (True, None)
    assert told["projected_xp"] == receipt["xp_awarded"]
    assert told["streak_preview"] == receipt["streak"]
    assert told["next_boundary_at"] == receipt["next_boundary_at"]
    assert told["reward_day_id"] == receipt["reward_day_id"]


async def test_who_has_claimed_is_told_when_to_come_back(api: Api) -> None:
    await api.call(*CLAIM)
    told = await api.get(ELIGIBILITY)
    assert (told["eligible"], told["reason"]) == (False, "already_claimed")
    assert told["projected_xp"] == 0
    assert told["streak_preview"]["current"] == 1
    assert told["next_boundary_at"] == "2026-03-02T00:00:00Z"


async def test_outside_the_window_nobody_is_eligible(api: Api) -> None:
    window = POLICY["claim_window"] | {"duration_hours": 1}
    await api.publish(POLICY | {"claim_window": window}, version=2)
    told = await api.get(ELIGIBILITY)
    assert (told["eligible"], told["reason"]) == (False, "window_closed")
    assert told["next_boundary_at"] == "2026-03-02T00:00:00Z"


async def test_the_cooldown_is_told(api: Api) -> None:
    window = POLICY["claim_window"] | {"min_cooldown_hours": 20}
    await api.publish(POLICY | {"claim_window": window}, version=2)
    await api.call(*CLAIM)
    api.now = at(1, 1)
    told = await api.get(ELIGIBILITY)
    assert (told["eligible"], told["reason"]) == (False, "cooldown")
    assert told["next_boundary_at"] == "2026-03-02T08:00:00Z"


async def test_grace_is_among_the_notes(api: Api) -> None:
    await api.call(*CLAIM)
    api.now = at(2)
    told = await api.get(ELIGIBILITY)
    assert told["notes"] == ["curve row 1", "grace covers 1 day"]


async def test_grace_is_among_the_notes_where_a_cycle_begins_again_too(api: Api) -> None:
    for day in range(7):
        api.now = at(day)
        await api.call(*CLAIM)
    api.now = at(8)
    told = await api.get(ELIGIBILITY)
    assert told["notes"] == ["curve row 0", "grace covers 1 day", "cycle begins again"]


async def test_a_preview_is_what_the_days_then_pay(api: Api) -> None:
    foretold = [day["xp_awarded"] for day in (await _preview(api, days=9))["days"]]
    paid: list[int] = []
    for day in range(9):
        api.now = at(day)
        paid.append((await api.call(*CLAIM)).json()["xp_awarded"])
    assert foretold == paid


async def test_a_preview_begins_with_the_next_day_that_can_be_claimed(
    api: Api, world: World
) -> None:
    await api.call(*CLAIM)
    before = world.read_trail("p-1")
    preview = await _preview(api, days=2)
    assert [day["reward_day_id"] for day in preview["days"]] == ["2026-03-02", "2026-03-03"]
    assert [day["claimable_at"] for day in preview["days"]] == [
        "2026-03-02T00:00:00Z",
        "2026-03-03T00:00:00Z",
    ]
    assert preview["total_xp"] == 320
    assert world.read_trail("p-1") == before


async def test_a_preview_without_days_shows_as_many_as_the_policy_says(api: Api) -> None:
    assert len((await _preview(api))["days"]) == 14


async def test_a_preview_tells_milestones_and_season_ends_ahead(api: Api) -> None:
    await api.publish(POLICY | {"streak_model": MILESTONES}, version=2)
    days = (await _preview(api, days=4))["days"]
    assert [note for note in days[0]["notes"] if "milestone" in note] == ["milestone in 2 days"]
    assert [m["day"] for m in days[2]["milestones"]] == [3]
    season = {"season_id": "s", "start_date": "2026-03-01", "end_date": "2026-03-03"}
    await api.call("POST", "/v1/xp/seasons", season)
    await api.publish(POLICY | {"streak_model": TIERED}, version=3)
    days = (await _preview(api, days=4))["days"]
    assert "season resets in 3 days" in days[0]["notes"]
    assert "season reset" in days[3]["notes"]
    assert [day["streak"]["current"] for day in days] == [1, 2, 3, 1]


async def test_a_named_version_may_be_a_draft(api: Api) -> None:
    await api.call("POST", VERSIONS, POLICY | {"base_xp_amount": 300})
    days = (await _preview(api, days=1, policy_version=2))["days"]
    assert (days[0]["xp_awarded"], days[0]["policy_version"]) == (300, 2)


async def test_a_player_cannot_peek_into_drafts(api: Api) -> None:
    body = {"policy_version": 1, "days": 1}
    reply = await api.call("POST", PREVIEW, body, role=Role.PLAYER, subject="p-1")
    assert (reply.status, reply.json()["code"]) == (403, "request.role_refused")


async def test_a_preview_follows_a_publication_that_waits_and_ends_with_the_policy(
    api: Api,
) -> None:
    await api.call("POST", VERSIONS, POLICY | {"base_xp_amount": 200})
    body = {"effective_at": "2026-03-03T00:00:00Z"}
    await api.call("POST", f"{VERSIONS}/2/publish", body)
    days = (await _preview(api, days=4))["days"]
    assert [day["policy_version"] for day in days] == [1, 1, 2, 2]


@pytest.mark.parametrize("body", [{"days": 0}, {"days": 367}, {"days": "x"}, {"policy_version": 0}])
async def test_a_preview_out_of_bounds_is_refused(api: Api, body: dict[str, object]) -> None:
    reply = await api.call("POST", PREVIEW, {"player_id": "p-1"} | body)
    assert reply.status == 422


async def test_what_is_not_there_is_not_found(api: Api) -> None:
    reply = await api.call("GET", "/v1/daily-login/eligibility?player_id=p-9")
    assert (reply.status, reply.json()["code"]) == (404, "xp.player_unknown")
    reply = await api.call("GET", f"{ELIGIBILITY}&policy_key=nothing")
    assert (reply.status, reply.json()["code"]) == (404, "xp.policy_unknown")
    reply = await api.call("POST", PREVIEW, {"player_id": "p-1", "policy_version": 9})
    assert (reply.status, reply.json()["code"]) == (404, "xp.policy_unknown")


async def test_a_year_ahead_can_be_foretold(api: Api) -> None:
    assert len((await _preview(api, days=366))["days"]) == 366
