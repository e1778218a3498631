"""Policies over HTTP: drafts, publications, rollback, segments."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.identity import Role
from tests.claiming import at
from tests.http.xp.api import POLICY, VERSIONS

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

ACTIVE = "/v1/xp/policies/active?policy_key=daily-login"


async def test_a_draft_is_created_read_and_edited_by_who_has_seen_it(api: Api) -> None:
    created = await api.call("POST", VERSIONS, POLICY, role=Role.OPERATOR)
    assert (created.status, created.headers["etag"]) == (201, '"1"')
    assert created.headers["location"] == f"{VERSIONS}/1"
    read = await api.call("GET", f"{VERSIONS}/1", role=Role.OPERATOR)
    assert (read.json(), read.headers["etag"]) == (created.json(), '"1"')
    assert read.json()["status"] == "Draft"
    changed = POLICY | {"base_xp_amount": 200}
    edited = await api.call("PUT", f"{VERSIONS}/1", changed, headers={"if-match": '"1"'})
    assert (edited.status, edited.headers["etag"]) == (200, '"2"')
    assert edited.json()["document"]["base_xp_amount"] == 200
    stale = await api.call("PUT", f"{VERSIONS}/1", POLICY, headers={"if-match": '"1"'})
    assert (stale.status, stale.json()["code"]) == (412, "request.stale")
    unread = await api.call("PUT", f"{VERSIONS}/1", POLICY, headers={"if-match": "1"})
    assert unread.status == 422


async def test_the_document_of_a_version_is_a_document_again(api: Api) -> None:
    await api.publish()
    document = (await api.get(f"{VERSIONS}/1"))["document"]
    assert (await api.call("POST", VERSIONS, document)).status == 201
    assert (await api.get(f"{VERSIONS}/2"))["document"] == document


async def test_a_second_draft_is_refused(api: Api) -> None:
    await api.call("POST", VERSIONS, POLICY)
    reply = await api.call("POST", VERSIONS, POLICY)
    assert (reply.status, reply.json()["code"]) == (409, "xp.draft_exists")
    assert reply.json()["policy_version"] == 1


async def test_ten_drafts_at_once_make_one(api: Api, world: World) -> None:
    replies = await asyncio.gather(*(api.call("POST", VERSIONS, POLICY) for _ in range(10)))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 9
    assert world.execute("select count(*) from xp.xp_policy_versions") == [(1,)]


async def test_a_policy_with_mistakes_is_refused_with_all_of_them(api: Api, world: World) -> None:
    wrong = POLICY | {
        "currency": "xp",
        "grace": {"allowed_misses": 3, "window_days": 1},
        "streak_model": {"type": "PlateauCap", "parameters": {"plateau_day": 0}},
        "streak_curve": [{"day_index": 1, "multiplier": 1.23456, "additive_bonus_xp": -1}],
        "colour": "red",
    }
    reply = await api.call("POST", VERSIONS, wrong)
    assert (reply.status, reply.json()["code"]) == (422, "xp.policy_invalid")
    assert {error["path"] for error in reply.json()["errors"]} == {
        "colour",
        "currency",
        "grace.window_days",
        "streak_model.parameters.plateau_day",
        "streak_model.parameters.plateau_multiplier",
        "streak_curve[0].day_index",
        "streak_curve[0].multiplier",
        "streak_curve[0].additive_bonus_xp",
    }
    assert world.execute("select count(*) from xp.xp_policies") == [(0,)]


async def test_a_policy_that_would_pay_more_than_the_cap_is_refused(api: Api) -> None:
    reply = await api.call("POST", VERSIONS, POLICY | {"base_xp_amount": 5001})
    assert reply.json()["code"] == "xp.policy_invalid"
    assert "the largest award is 5000" in reply.json()["errors"][0]["message"]


async def test_the_document_names_the_policy_of_the_path(api: Api) -> None:
    reply = await api.call("POST", VERSIONS, POLICY | {"policy_key": "other"})
    assert (reply.status, reply.json()["code"]) == (422, "xp.policy_key_mismatch")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 422),
        (b"[" * 10_000 + b"]" * 10_000, 400),
        (b"x" * 10_000_000, 413),
        (b'{"policy_key": "\\u0000"}', 422),
        (b'{"policy_key": "\\udc00"}', 422),
        (b'{"base_xp_amount": NaN}', 400),
        (b'{"base_xp_amount": 9007199254740993}', 422),
        (b'{"base_xp_amount": 1e400}', 422),
        (b"null", 422),
    ],
)
async def test_hostile_documents_get_a_problem_and_write_nothing(
    api: Api, world: World, body: bytes, status: int
) -> None:
    reply = await api.call("POST", VERSIONS, body)
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    assert world.execute("select count(*) from xp.xp_policies") == [(0,)]


async def test_publishing_puts_a_version_in_force_and_archives_the_one_before(api: Api) -> None:
    await api.publish()
    api.now = at(1)
    await api.publish(POLICY | {"base_xp_amount": 200}, version=2)
    assert (await api.get(ACTIVE))["policy_version"] == 2
    first = await api.get(f"{VERSIONS}/1")
    assert (first["status"], first["superseded_at"]) == ("Archived", "2026-03-02T12:00:00Z")


async def test_until_its_instant_a_publication_leaves_its_predecessor_in_force(api: Api) -> None:
    await api.publish()
    await api.add_player()
    await api.call("POST", VERSIONS, POLICY | {"base_xp_amount": 200})
    body = {"effective_at": "2026-03-02T06:00:00+01:00"}
    scheduled = await api.call("POST", f"{VERSIONS}/2/publish", body)
    assert scheduled.json()["status"] == "Published"
    assert scheduled.json()["effective_at"] == "2026-03-02T05:00:00Z"
    assert (await api.get(ACTIVE))["policy_version"] == 1
    claim = ("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
    assert (await api.call(*claim)).json()["policy_version"] == 1
    api.now = at(1, 5)
    assert (await api.get(ACTIVE))["policy_version"] == 2
    assert (await api.call(*claim)).json()["policy_version"] == 2


@pytest.mark.parametrize("instant", ["2026-03-01T11:59:59Z", "2099-01-01T00:00:00Z"])
async def test_a_publication_in_the_past_or_beyond_all_plans_is_refused(
    api: Api, instant: str
) -> None:
    await api.call("POST", VERSIONS, POLICY)
    reply = await api.call("POST", f"{VERSIONS}/1/publish", {"effective_at": instant})
    assert (reply.status, reply.json()["code"]) == (422, "xp.effective_at_invalid")
    assert (await api.get(f"{VERSIONS}/1"))["status"] == "Draft"


@pytest.mark.parametrize(
    "instant",
    ["2026-03-02T00:00:00", "tomorrow", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"],
)
async def test_an_instant_that_is_none_is_refused(api: Api, instant: str) -> None:
    await api.call("POST", VERSIONS, POLICY)
    reply = await api.call("POST", f"{VERSIONS}/1/publish", {"effective_at": instant})
    assert reply.status == 422, reply.body


async def test_publishing_an_archived_version_again_is_a_rollback(api: Api) -> None:
    await api.publish()
    api.now = at(1)
    await api.publish(POLICY | {"base_xp_amount": 200}, version=2)
    api.now = at(2)
    assert (await api.call("POST", f"{VERSIONS}/1/publish", {})).status == 200
    assert (await api.get(ACTIVE))["policy_version"] == 1
    assert (await api.get(f"{VERSIONS}/2"))["status"] == "Archived"


async def test_publishing_needs_no_body(api: Api) -> None:
    await api.call("POST", VERSIONS, POLICY)
    assert (await api.call("POST", f"{VERSIONS}/1/publish")).status == 200


async def test_a_published_version_is_neither_edited_nor_published_again(api: Api) -> None:
    await api.publish()
    edit = await api.call("PUT", f"{VERSIONS}/1", POLICY)
    assert (edit.status, edit.json()["code"]) == (409, "xp.policy_not_draft")
    publish = await api.call("POST", f"{VERSIONS}/1/publish", {})
    assert (publish.status, publish.json()["code"]) == (409, "xp.policy_already_published")


async def test_retiring_leaves_nothing_in_force(api: Api) -> None:
    await api.publish()
    api.now = at(1)
    assert (await api.call("POST", f"{VERSIONS}/1/retire")).status == 200
    gone = await api.call("GET", ACTIVE)
    assert (gone.status, gone.json()["code"]) == (409, "xp.no_policy_in_force")
    again = await api.call("POST", f"{VERSIONS}/1/retire")
    assert (again.status, again.json()["code"]) == (409, "xp.policy_not_published")


async def test_two_publications_at_once_leave_one_published(api: Api, world: World) -> None:
    await api.publish()
    await api.publish(POLICY | {"base_xp_amount": 200}, version=2)
    await api.call("POST", VERSIONS, POLICY | {"base_xp_amount": 300})
    replies = await asyncio.gather(
        *(api.call("POST", f"{VERSIONS}/{1 + index % 3}/publish", {}) for index in range(12))
    )
    assert {reply.status for reply in replies} <= {200, 409}
    published = world.execute(
        "select count(*) from xp.xp_policy_versions where status = 'Published'"
    )
    assert published == [(1,)]


async def test_every_step_is_audited_with_who_took_it(api: Api, world: World) -> None:
    who: dict[str, Any] = {"role": Role.OPERATOR, "subject": "olga"}
    await api.call("POST", VERSIONS, POLICY, **who)
    await api.call("PUT", f"{VERSIONS}/1", POLICY, **who)
    await api.call("POST", f"{VERSIONS}/1/publish", {"segment_overrides": {"vip": 1}}, **who)
    await api.call("POST", f"{VERSIONS}/1/publish", {}, **who)
    await api.call("POST", f"{VERSIONS}/1/retire", **who)
    steps = world.execute(
        "select policy_version, step, actor from xp.xp_policy_audit order by audit_id"
    )
    assert steps == [
        (1, "created", "olga"),
        (1, "edited", "olga"),
        (1, "published", "olga"),
        (0, "overridden", "olga"),
        (1, "retired", "olga"),
    ]


async def test_versions_are_listed_newest_first_in_pages(api: Api) -> None:
    for version in (1, 2, 3):
        await api.publish(version=version)
    page = await api.get(f"{VERSIONS}?limit=2")
    assert [item["policy_version"] for item in page["items"]] == [3, 2]
    page = await api.get(f"{VERSIONS}?limit=2&after={page['next']}")
    assert ([item["policy_version"] for item in page["items"]], page["next"]) == ([1], None)


async def test_what_is_not_there_is_not_found(api: Api) -> None:
    for target in (VERSIONS, f"{VERSIONS}/1", ACTIVE, "/v1/xp/policies/daily-login/segments"):
        reply = await api.call("GET", target)
        assert (reply.status, reply.json()["code"]) == (404, "xp.policy_unknown"), target
    reply = await api.call("POST", f"{VERSIONS}/1/publish", {})
    assert (reply.status, reply.json()["code"]) == (404, "xp.policy_unknown")
    reply = await api.call("GET", f"{VERSIONS}/99999999999")
    assert reply.status in (404, 422)


async def test_segments_get_the_version_they_are_given(api: Api) -> None:
    await api.publish()
    await api.publish(POLICY | {"base_xp_amount": 200}, version=2)
    segments = "/v1/xp/policies/daily-login/segments"
    put = await api.call("PUT", segments, {"segment_overrides": {"vip": 1}})
    assert put.json() == {"policy_key": "daily-login", "segment_overrides": {"vip": 1}}
    assert await api.get(segments) == put.json()
    await api.call("PUT", "/v1/players/p-1", {"time_zone": "UTC", "segment_key": "vip"})
    receipt = (await api.call("POST", "/v1/daily-login/claim", {"player_id": "p-1"})).json()
    assert (receipt["policy_version"], receipt["segment"]) == (1, "vip")
    assert (await api.call("PUT", segments, {"segment_overrides": {}})).status == 200
    assert (await api.get(segments))["segment_overrides"] == {}


async def test_a_segment_gets_no_draft_and_no_unknown_version(api: Api) -> None:
    await api.publish()
    await api.call("POST", VERSIONS, POLICY)
    body = {"segment_overrides": {"a": 2, "b": 9, "No Slug": 1}}
    reply = await api.call("PUT", "/v1/xp/policies/daily-login/segments", body)
    assert (reply.status, reply.json()["code"]) == (422, "xp.segment_override_invalid")
    assert {error["path"] for error in reply.json()["errors"]} == {
        "segment_overrides.a",
        "segment_overrides.b",
        "segment_overrides.No Slug",
    }


async def test_who_may_do_what(api: Api) -> None:
    await api.publish()
    for role, status in ((Role.PLAYER, 403), (Role.SERVICE, 403), (Role.OPERATOR, 409)):
        reply = await api.call("POST", f"{VERSIONS}/1/publish", {}, role=role)
        assert reply.status == status, role
    assert (await api.call("GET", ACTIVE, role=Role.PLAYER)).status == 200
    assert (await api.call("GET", VERSIONS, role=Role.PLAYER)).status == 403
