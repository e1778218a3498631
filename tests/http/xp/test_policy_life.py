"""The life of a policy over HTTP: deleted, tried, cancelled, rolled back, compared, audited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.identity import Role
from tests.claiming import at
from tests.http.xp.api import POLICY, VERSIONS

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.notes_app import Reply
    from tests.http.xp.api import Api

BASE = "/v1/xp/policies/daily-login"
AUDIT = f"{BASE}/audit"
ROW = {"multiplier": "1.0", "additive_bonus_xp": 0, "cap_next_day": False}
WINTER = {
    "label": "Winter",
    "multiplier": "2",
    "start_utc": "2026-12-20T00:00:00Z",
    "end_utc": "2027-01-03T00:00:00Z",
}
TWICE = POLICY | {"base_xp_amount": 200}


def _refusal(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json()["code"]


async def _audit(api: Api) -> list[tuple[int | None, str, str]]:
    """Return (version, step, reason) of every step, oldest first."""
    items = (await api.get(AUDIT))["items"]
    return [(item["policy_version"], item["step"], item["reason"]) for item in reversed(items)]


# What is listed


async def test_policies_are_listed_with_what_is_in_force_waits_and_is_a_draft(api: Api) -> None:
    await api.publish()
    await api.call("POST", VERSIONS, TWICE | {"display_name": "Twice"})
    await api.call("POST", f"{VERSIONS}/2/publish", {"effective_at": "2026-03-05T00:00:00Z"})
    await api.call("POST", VERSIONS, POLICY)
    await api.call("POST", "/v1/xp/policies/b-side/versions", POLICY | {"policy_key": "b-side"})
    page = await api.get("/v1/xp/policies?limit=1", role=Role.OPERATOR)
    b_side = {
        "policy_key": "b-side",
        "display_name": "Daily login",
        "in_force": None,
        "scheduled": None,
        "scheduled_at": None,
        "draft": 1,
        "newest": 1,
    }
    assert page["items"] == [b_side]
    page = await api.get(f"/v1/xp/policies?limit=1&after={page['next']}")
    daily = b_side | {
        "policy_key": "daily-login",
        "in_force": 1,
        "scheduled": 2,
        "scheduled_at": "2026-03-05T00:00:00Z",
        "draft": 3,
        "newest": 3,
    }
    assert (page["items"], page["next"]) == ([daily], None)
    api.now = at(4, 0)
    (_, then) = (await api.get("/v1/xp/policies"))["items"]
    assert (then["in_force"], then["scheduled"], then["display_name"]) == (2, None, "Twice")


async def test_versions_are_filtered_by_status_author_model_and_text(api: Api) -> None:
    await api.publish(POLICY | {"seasonal_boosts": [WINTER]})
    plateau = {"type": "PlateauCap", "parameters": {"plateau_day": 2, "plateau_multiplier": "2"}}
    steady = POLICY | {"streak_model": plateau, "description": "The STEADY one"}
    await api.publish(steady, version=2)
    await api.call("POST", VERSIONS, POLICY, role=Role.OPERATOR, subject="olga")
    for query, expected in {
        "status=Archived": [1],
        "created_by=olga": [3],
        "model=PlateauCap": [2],
        "q=steady": [2],
        "q=wINTER": [1],
        "q=login": [3, 2, 1],
        "model=WeeklyCycleReset&created_by=admin": [1],
        "status=Draft&created_by=admin": [],
    }.items():
        page = await api.get(f"{VERSIONS}?{query}")
        assert [item["policy_version"] for item in page["items"]] == expected, query
    assert (await api.call("GET", f"{VERSIONS}?status=Lost")).status == 422
    page = await api.get(f"{VERSIONS}?q=login&limit=1")
    page = await api.get(f"{VERSIONS}?q=login&limit=1&after={page['next']}")
    assert [item["policy_version"] for item in page["items"]] == [2]


# Drafts


async def test_a_draft_is_deleted_by_who_has_seen_it_and_its_number_is_not_given_again(
    api: Api, world: World
) -> None:
    await api.publish()
    await api.call("POST", VERSIONS, POLICY | {"seasonal_boosts": [WINTER]})
    await api.call("PUT", f"{VERSIONS}/2", TWICE)
    stale = await api.call("DELETE", f"{VERSIONS}/2", headers={"if-match": '"1"'})
    assert _refusal(stale) == (412, "request.stale")
    gone = await api.call("DELETE", f"{VERSIONS}/2?reason=typo", headers={"if-match": '"2"'})
    assert (gone.status, gone.body) == (204, b"")
    assert _refusal(await api.call("GET", f"{VERSIONS}/2")) == (404, "xp.policy_unknown")
    parts = "select count(*) from xp.xp_policy_streak_curve where policy_version = 2"
    assert world.execute(parts) == [(0,)]
    created = await api.call("POST", VERSIONS, POLICY)
    assert created.json()["policy_version"] == 3
    (entry,) = (i for i in (await api.get(AUDIT))["items"] if i["step"] == "deleted")
    assert (entry["policy_version"], entry["reason"], entry["actor"]) == (2, "typo", "admin")
    assert entry["details"]["document"]["base_xp_amount"] == 200


async def test_what_was_ever_published_is_not_deleted(api: Api) -> None:
    await api.publish()
    for _ in range(2):
        reply = await api.call("DELETE", f"{VERSIONS}/1")
        assert _refusal(reply) == (409, "xp.policy_not_draft")
        await api.call("POST", f"{VERSIONS}/1/retire")
    assert _refusal(await api.call("DELETE", f"{VERSIONS}/9")) == (404, "xp.policy_unknown")


async def test_with_its_only_draft_a_policy_is_unknown_again_but_for_its_audit(api: Api) -> None:
    assert _refusal(await api.call("GET", AUDIT)) == (404, "xp.policy_unknown")
    await api.call("POST", VERSIONS, POLICY)
    assert (await api.call("DELETE", f"{VERSIONS}/1")).status == 204
    for target in (VERSIONS, f"{BASE}/segments", f"{BASE}/diff"):
        assert _refusal(await api.call("GET", target)) == (404, "xp.policy_unknown"), target
    assert (await api.get("/v1/xp/policies"))["items"] == []
    assert await _audit(api) == [(1, "created", ""), (1, "deleted", "")]
    await api.call("POST", VERSIONS, POLICY)
    assert [step for _, step, _ in await _audit(api)] == ["created", "deleted", "created"]


async def test_a_policy_is_whole_however_drafts_come_and_go_at_once(api: Api, world: World) -> None:
    async def come_and_go() -> set[int]:
        created = await api.call("POST", VERSIONS, POLICY)
        if created.status != 201:
            return {created.status}
        return {(await api.call("DELETE", created.headers["location"])).status}

    outcomes = set[int]().union(*await asyncio.gather(*(come_and_go() for _ in range(20))))
    assert outcomes <= {204, 409}, outcomes
    assert world.execute("select count(*) from xp.xp_policies") == [(0,)]


# Documents that are refused

MISTAKES = {
    "more than the cap": ({"base_xp_amount": 4000}, ["streak_curve[1]"]),
    "boosts that overlap": (
        {"seasonal_boosts": [WINTER, WINTER | {"label": "Ice"}]},
        ["seasonal_boosts[1]"],
    ),
    "a gap in the curve": (
        {"streak_curve": [{"day_index": 0, **ROW}, {"day_index": 2, **ROW}]},
        ["streak_curve[1].day_index"],
    ),
    "a model that nobody knows": ({"streak_model": {"type": "Lottery"}}, ["streak_model.type"]),
    "several of them at once": (
        {
            "base_xp_amount": 0,
            "streak_model": {"type": "Lottery"},
            "seasonal_boosts": [WINTER, WINTER | {"multiplier": "0.5"}],
            "streak_curve": [{"day_index": 0, **ROW}, {"day_index": 2, **ROW}],
        },
        [
            "base_xp_amount",
            "seasonal_boosts[1]",
            "seasonal_boosts[1].multiplier",
            "streak_curve[1].day_index",
            "streak_model.type",
        ],
    ),
    "the cap and the overlap": (
        {"base_xp_amount": 4000, "seasonal_boosts": [WINTER, WINTER | {"label": "Ice"}]},
        ["seasonal_boosts[1]", "streak_curve[1]"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_document_with_mistakes_is_refused_with_all_of_them_and_nothing_is_written(
    api: Api, world: World, mistake: tuple[dict[str, Any], list[str]]
) -> None:
    changes, paths = mistake
    wrong = POLICY | changes
    created = await api.call("POST", VERSIONS, POLICY)
    before = await api.get(f"{VERSIONS}/1")
    other = wrong | {"policy_key": "other"}
    for call in (
        ("POST", "/v1/xp/policies/validate", wrong),
        ("POST", "/v1/xp/policies/other/versions", other),
        ("PUT", f"{VERSIONS}/1", wrong),
    ):
        reply = await api.call(*call)
        assert _refusal(reply) == (422, "xp.policy_invalid")
        assert sorted(error["path"] for error in reply.json()["errors"]) == paths
    read = await api.call("GET", f"{VERSIONS}/1")
    assert (read.json(), read.headers["etag"]) == (before, created.headers["etag"])
    assert world.execute("select policy_key from xp.xp_policies") == [("daily-login",)]
    assert await _audit(api) == [(1, "created", "")]


async def test_a_document_is_tried_without_being_written(api: Api, world: World) -> None:
    boosted = POLICY | {"seasonal_boosts": [WINTER]}
    reply = await api.call("POST", "/v1/xp/policies/validate", boosted, role=Role.OPERATOR)
    assert reply.status == 200
    answer = reply.json()
    assert answer["smallest_award"] == {"xp": 100, "streak_day": 1}
    assert answer["largest_award"] == {"xp": 310, "streak_day": 2}
    assert answer["document"]["seasonal_boosts"][0]["multiplier"] == "2.0000"
    assert answer["document"]["preview"] == {"sample_window_days": 14, "default_segment": None}
    assert world.execute("select count(*) from xp.xp_policies") == [(0,)]
    await api.call("POST", VERSIONS, boosted)
    assert (await api.get(f"{VERSIONS}/1"))["document"] == answer["document"]


# Cancelling and rolling back


async def test_a_cancelled_publication_never_was_and_its_predecessor_goes_on(api: Api) -> None:
    await api.publish()
    await api.add_player()
    await api.call("POST", VERSIONS, TWICE)
    schedule = {"effective_at": "2026-03-02T00:00:00Z", "reason": "spring"}
    assert (await api.call("POST", f"{VERSIONS}/2/publish", schedule)).status == 200
    for version in (1, 9):
        refused = await api.call("POST", f"{VERSIONS}/{version}/cancel")
        assert refused.status == (409 if version == 1 else 404)
    cancelled = await api.call("POST", f"{VERSIONS}/2/cancel", {"reason": "too early"})
    assert (cancelled.status, cancelled.json()["status"]) == (200, "Archived")
    assert _refusal(await api.call("POST", f"{VERSIONS}/2/cancel")) == (
        409,
        "xp.policy_not_scheduled",
    )
    api.now = at(1)
    claim = await api.call("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
    assert claim.json()["policy_version"] == 1
    assert (await _audit(api))[-4:] == [
        (1, "superseded", "spring"),
        (2, "published", "spring"),
        (2, "cancelled", "too early"),
        (1, "resumed", "too early"),
    ]
    assert (await api.call("POST", f"{VERSIONS}/2/publish")).status == 200


async def test_a_rollback_puts_what_was_in_force_before_in_force_again(api: Api) -> None:
    await api.publish()
    nowhere = await api.call("POST", f"{BASE}/rollback")
    assert _refusal(nowhere) == (409, "xp.rollback_impossible")
    await api.add_player()
    api.now = at(1)
    await api.publish(TWICE, version=2)
    api.now = at(2)
    back = await api.call("POST", f"{BASE}/rollback", {"reason": "inflation"})
    assert (back.status, back.json()["policy_version"]) == (200, 1)
    assert back.json()["effective_at"] == "2026-03-03T12:00:00Z"
    claim = await api.call("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
    assert (claim.json()["policy_version"], claim.json()["xp_awarded"]) == (1, 100)
    (undone, ended, *_) = (await api.get(AUDIT))["items"]
    assert (undone["step"], undone["policy_version"]) == ("rolled_back", 1)
    assert (ended["step"], ended["policy_version"]) == ("superseded", 2)
    # When it was in force the first time is no longer in its row.
    assert undone["details"]["before"] == {
        "status": "Archived",
        "effective_at": "2026-03-01T12:00:00Z",
        "superseded_at": "2026-03-02T12:00:00Z",
    }


async def test_a_rollback_can_wait_and_name_its_version(api: Api) -> None:
    for version in (1, 2, 3):
        await api.publish(POLICY | {"base_xp_amount": 100 * version}, version=version)
        api.now = at(version)
    wish = {"to_version": 1, "effective_at": "2026-03-05T00:00:00Z"}
    assert (await api.call("POST", f"{BASE}/rollback", wish)).json()["policy_version"] == 1
    active = "/v1/xp/policies/active"
    assert (await api.get(active))["policy_version"] == 3
    past = wish | {"effective_at": "2026-03-01T00:00:00Z"}
    for body, refusal in (
        (wish, (409, "xp.policy_already_published")),
        (past, (422, "xp.effective_at_invalid")),
        ({"to_version": 9}, (404, "xp.policy_unknown")),
        ({"version": 1}, (422, "request.invalid")),
    ):
        assert _refusal(await api.call("POST", f"{BASE}/rollback", body)) == refusal
    api.now = at(4, 0)
    assert (await api.get(active))["policy_version"] == 1


# Differences


async def test_a_difference_holds_changed_values_only(api: Api) -> None:
    milestones = [{"day": 3, "reward_type": "badge", "reward_value": "bronze"}]
    model = {"type": "MilestoneMetaReward", "parameters": {"milestones": milestones}}
    await api.publish(POLICY | {"streak_model": model, "seasonal_boosts": [WINTER]})
    first = POLICY["streak_curve"][0]
    changed = [
        first,
        {**ROW, "day_index": 1, "multiplier": "1.5", "additive_bonus_xp": 20},
        {**ROW, "day_index": 2},
    ]
    milestones = [{"day": 2, "reward_type": "badge", "reward_value": "tin"}, *milestones]
    model = {"type": "MilestoneMetaReward", "parameters": {"milestones": milestones}}
    draft = POLICY | {
        "base_xp_amount": 120,
        "streak_model": model,
        "streak_curve": changed,
        "seasonal_boosts": [WINTER | {"multiplier": "3"}],
    }
    await api.call("POST", VERSIONS, draft)
    difference = await api.get(f"{BASE}/diff", role=Role.OPERATOR)
    assert (difference["from"], difference["to"]) == (1, 2)
    assert difference["changes"] == [
        {"path": "base_xp_amount", "from": 100, "to": 120},
        {
            "path": "streak_model.parameters.milestones[2]",
            "from": None,
            "to": {"day": 2, "reward_type": "badge", "reward_value": "tin"},
        },
        {"path": "streak_curve[1].additive_bonus_xp", "from": 10, "to": 20},
        {
            "path": "streak_curve[2]",
            "from": None,
            "to": {**ROW, "day_index": 2, "multiplier": "1.0000"},
        },
        {"path": 'seasonal_boosts["Winter"].multiplier', "from": "2.0000", "to": "3.0000"},
    ]
    back = await api.get(f"{BASE}/diff?from=2&to=1")
    turned = [{**c, "from": c["to"], "to": c["from"]} for c in difference["changes"]]
    assert sorted(back["changes"], key=repr) == sorted(turned, key=repr)
    assert (await api.get(f"{BASE}/diff?from=1&to=1"))["changes"] == []


async def test_a_difference_leads_from_what_is_in_force_to_what_comes_next(api: Api) -> None:
    await api.call("POST", VERSIONS, POLICY)
    nothing = await api.call("GET", f"{BASE}/diff")
    assert _refusal(nothing) == (409, "xp.no_policy_in_force")
    await api.call("POST", f"{VERSIONS}/1/publish")
    api.now = at(1)
    await api.publish(TWICE, version=2)

    async def show() -> tuple[int, int]:
        difference = await api.get(f"{BASE}/diff")
        return difference["from"], difference["to"]

    assert await show() == (2, 2)
    await api.call("POST", f"{BASE}/rollback", {"effective_at": "2026-03-05T00:00:00Z"})
    assert await show() == (2, 1)
    await api.call("POST", VERSIONS, POLICY)
    assert await show() == (2, 3)
    unknown = await api.call("GET", f"{BASE}/diff?to=9")
    assert _refusal(unknown) == (404, "xp.policy_unknown")


# The audit


async def test_every_step_is_audited_with_its_reason_and_what_it_changed(api: Api) -> None:
    await api.call("POST", f"{VERSIONS}?reason=first%20try", POLICY)
    await api.call("PUT", f"{VERSIONS}/1?reason=more", TWICE)
    body = {"segment_overrides": {"vip": 1}, "reason": "go"}
    await api.call("POST", f"{VERSIONS}/1/publish", body)
    segments = {"segment_overrides": {}, "reason": "no favours"}
    await api.call("PUT", f"{BASE}/segments", segments)
    await api.call("POST", f"{VERSIONS}/1/retire", {"reason": "over"})
    assert await _audit(api) == [
        (1, "created", "first try"),
        (1, "edited", "more"),
        (1, "published", "go"),
        (None, "overridden", "go"),
        (None, "overridden", "no favours"),
        (1, "retired", "over"),
    ]
    items = (await api.get(AUDIT))["items"]
    assert items[4]["details"] == {"revision": 2, "paths": ["base_xp_amount"]}
    assert items[1]["details"] == {"segment_overrides": {}, "before": {"vip": 1}}
    assert items[0]["details"]["superseded_at"] == "2026-03-01T12:00:00Z"
    page = await api.get(f"{AUDIT}?limit=4")
    rest = await api.get(f"{AUDIT}?limit=4&after={page['next']}")
    assert [*page["items"], *rest["items"]] == items
    assert rest["next"] is None


async def test_a_reason_that_cannot_be_kept_is_refused_and_the_step_with_it(
    api: Api, world: World
) -> None:
    reason = "x" * 501
    await api.publish()
    await api.call("POST", VERSIONS, POLICY)
    count = "select count(*) from xp.xp_policy_audit"
    before = world.execute(count)
    query = f"?reason={reason}"
    for method, target, body in (
        ("POST", f"{VERSIONS}{query}", POLICY),
        ("PUT", f"{VERSIONS}/2{query}", POLICY),
        ("DELETE", f"{VERSIONS}/2{query}", b""),
        ("POST", f"{VERSIONS}/2/publish", {"reason": reason}),
        ("POST", f"{VERSIONS}/1/retire", {"reason": reason}),
        ("POST", f"{VERSIONS}/2/cancel", {"reason": reason}),
        ("POST", f"{BASE}/rollback", {"reason": reason}),
        ("PUT", f"{BASE}/segments", {"segment_overrides": {}, "reason": reason}),
    ):
        reply = await api.call(method, target, body)
        assert _refusal(reply) == (422, "xp.reason_invalid"), target
        assert [error["path"] for error in reply.json()["errors"]] == ["reason"]
    assert world.execute(count) == before


async def test_a_policy_may_have_the_name_of_a_call(api: Api) -> None:
    for key in ("active", "validate"):
        target = f"/v1/xp/policies/{key}/versions"
        created = await api.call("POST", target, POLICY | {"policy_key": key})
        assert created.status == 201
        assert (await api.get(created.headers["location"]))["policy_key"] == key


async def test_only_operators_take_steps_and_services_may_look(api: Api) -> None:
    await api.publish()
    steps = (
        ("DELETE", f"{VERSIONS}/1"),
        ("POST", f"{VERSIONS}/1/cancel"),
        ("POST", f"{BASE}/rollback"),
    )
    looks = ("/v1/xp/policies", f"{BASE}/diff", AUDIT)
    for role in (Role.PLAYER, Role.SERVICE):
        for method, target in steps:
            assert (await api.call(method, target, role=role)).status == 403, target
        for target in looks:
            status = 403 if role is Role.PLAYER else 200
            assert (await api.call("GET", target, role=role)).status == status, target
