"""Streams over HTTP: listed, looked at, linked to, deleted, erased."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.identity import Role
from tests.http.events.stream import EVENTS, ORDER, append, make_event

if TYPE_CHECKING:
    from tests.http.xp.api import Api

LINKS = "/v1/streams/best-of/links"


async def _list_names(api: Api, query: str) -> list[str]:
    """Return the names of every page, two a page."""
    names: list[str] = []
    cursor = ""
    while True:
        page = await api.get(f"/v1/streams?limit=2&{query}{cursor}")
        names += [item["stream_id"] for item in page["items"]]
        if page["next"] is None:
            return names
        cursor = f"&after={page['next']}"


async def test_a_stream_says_how_far_it_has_come(api: Api) -> None:
    await append(api, make_event(1), make_event(2))
    created_at = api.now
    api.now = created_at + datetime.timedelta(minutes=1)
    await append(api)
    assert await api.get(ORDER) == {
        "stream_id": "order-17",
        "stream_version": 3,
        "created_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-01T12:01:00Z",
        "deleted_at": None,
        "erased_at": None,
        "metadata": None,
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["order-1", "order-2", "player-1", "player-2"]),
        ("direction=descending", ["player-2", "player-1", "order-2", "order-1"]),
        ("search=order", ["order-1", "order-2"]),
        ("search=-2&direction=descending", ["player-2", "order-2"]),
        ("search=%25", []),
        ("sort_by=stream_version", ["order-1", "order-2", "player-2", "player-1"]),
        ("sort_by=updated_at&direction=descending", ["player-1", "player-2", "order-2", "order-1"]),
        ("sort_by=created_at", ["order-1", "player-1", "order-2", "player-2"]),
    ],
)
async def test_streams_are_searched_sorted_and_paged(
    api: Api, query: str, names: list[str]
) -> None:
    for name in ("order-1", "player-1", "order-2", "player-2", "player-1"):
        api.now += datetime.timedelta(seconds=1)
        await append(api, to=name)
    assert await _list_names(api, query) == names


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("after=nonsense", "request.cursor_invalid"),
        ("sort_by=name", "request.invalid"),
        ("direction=forward", "request.invalid"),
        ("limit=201", "request.invalid"),
        ("search=%00", "request.invalid"),
        ("search=%ED%A0%80", "request.invalid"),
    ],
)
async def test_a_list_that_there_cannot_be_is_refused(api: Api, query: str, code: str) -> None:
    reply = await api.call("GET", f"/v1/streams?{query}")
    assert (reply.status, reply.json()["code"]) == (422, code)


async def test_a_cursor_of_another_order_is_refused(api: Api) -> None:
    await append(api, to="order-1")
    await append(api, to="order-2")
    after = (await api.get("/v1/streams?limit=1"))["next"]
    reply = await api.call("GET", f"/v1/streams?sort_by=created_at&after={after}")
    assert (reply.status, reply.json()["code"]) == (422, "request.cursor_invalid")


@pytest.mark.parametrize("target", [ORDER, "/v1/streams/$all"])
async def test_an_unknown_stream_is_said_to_be_unknown(api: Api, target: str) -> None:
    for method in ("GET", "DELETE"):
        reply = await api.call(method, target)
        assert (reply.status, reply.json()["code"]) == (404, "events.stream_unknown"), method


async def test_links_are_made_in_the_order_that_is_given(api: Api) -> None:
    place = await append(api, make_event(1), make_event(2))
    ids = [place["last_event_id"], place["first_event_id"]]
    reply = await api.call("POST", LINKS, {"event_ids": ids, "expected_version": "no_stream"})
    assert (reply.status, reply.json()) == (201, {"stream_id": "best-of", "stream_version": 2})
    page = await api.get("/v1/streams/best-of/events")
    assert [item["event_id"] for item in page["items"]] == ids


async def test_a_key_makes_a_link_repeatable(api: Api) -> None:
    place = await append(api)
    body, key = {"event_ids": [place["first_event_id"]]}, {"idempotency-key": "k-1"}
    first = await api.call("POST", LINKS, body, headers=key)
    again = await api.call("POST", LINKS, body, headers=key)
    assert (first.status, again.status, again.body) == (201, 201, first.body)
    once_more = await api.call("POST", LINKS, body)
    assert (once_more.status, once_more.json()["code"]) == (409, "events.duplicate_link")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"event_ids": [999]}, 404, "events.event_unknown"),
        ({"event_ids": []}, 422, "events.append_invalid"),
        ({"event_ids": [0]}, 422, "request.invalid"),
        ({"event_ids": [2**63]}, 422, "request.invalid"),
        ({"event_ids": ["1"]}, 422, "request.invalid"),
        ({"event_ids": [1], "expected_version": -1}, 422, "request.invalid"),
    ],
)
async def test_a_link_that_cannot_be_is_refused_and_makes_no_stream(
    api: Api, body: object, status: int, code: str
) -> None:
    reply = await api.call("POST", LINKS, body)
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert (await api.get("/v1/streams"))["items"] == []


@pytest.mark.parametrize(("expected", "said"), [("stream_exists", "stream_exists"), (3, 3)])
async def test_a_link_says_where_its_stream_is(
    api: Api, expected: str | int, said: str | int
) -> None:
    place = await append(api)
    body = {"event_ids": [place["first_event_id"]], "expected_version": expected}
    problem = (await api.call("POST", LINKS, body)).json()
    assert problem["code"] == "events.wrong_expected_version"
    assert (problem["expected"], problem["actual"]) == (said, 0)


async def test_nothing_is_linked_into_all_streams(api: Api) -> None:
    place = await append(api)
    body = {"event_ids": [place["first_event_id"]]}
    reply = await api.call("POST", "/v1/streams/$all/links", body)
    assert (reply.status, reply.json()["code"]) == (422, "events.append_invalid")


async def test_a_deleted_stream_is_listed_with_when(api: Api) -> None:
    await append(api)
    reply = await api.call("DELETE", ORDER, role=Role.OPERATOR)
    assert reply.status == 200
    assert reply.json()["deleted_at"] == "2026-03-01T12:00:00Z"
    assert reply.json() == await api.get(ORDER)
    assert (await api.get("/v1/streams"))["items"] == [reply.json()]
    again = await api.call("DELETE", ORDER)
    assert (again.status, again.json()["code"]) == (409, "events.stream_deleted")


async def test_a_stream_is_deleted_only_where_it_is_expected(api: Api) -> None:
    await append(api, make_event(1), make_event(2))
    reply = await api.call("DELETE", f"{ORDER}?expected_version=1")
    problem = reply.json()
    assert (reply.status, problem["code"]) == (409, "events.wrong_expected_version")
    assert (problem["expected"], problem["actual"]) == (1, 2)
    assert (await api.call("DELETE", f"{ORDER}?expected_version=2")).status == 200


@pytest.mark.parametrize("version", ["-1", str(2**63), "some", "1.0", "", "%2B1"])
@pytest.mark.parametrize("erase", ["false", "true"])
async def test_what_no_stream_can_be_at_is_refused(
    erasing_api: Api, version: str, erase: str
) -> None:
    await append(erasing_api)
    target = f"{ORDER}?expected_version={version}&erase={erase}"
    reply = await erasing_api.call("DELETE", target)
    assert reply.status == 422, reply.body
    assert [error["path"] for error in reply.json()["errors"]] == ["expected_version"]
    assert (await erasing_api.get(ORDER))["deleted_at"] is None


@pytest.mark.parametrize("role", [Role.PLAYER, Role.SERVICE])
async def test_only_operators_and_admins_delete(api: Api, role: Role) -> None:
    await append(api)
    reply = await api.call("DELETE", ORDER, role=role)
    assert (reply.status, reply.json()["code"]) == (403, "request.role_refused")


async def test_erasing_is_refused_unless_the_configuration_allows_it(api: Api) -> None:
    await append(api)
    reply = await api.call("DELETE", f"{ORDER}?erase=true")
    assert (reply.status, reply.json()["code"]) == (403, "events.erasure_forbidden")
    assert len((await api.get(EVENTS))["items"]) == 1


async def test_only_an_admin_erases(erasing_api: Api) -> None:
    await append(erasing_api)
    reply = await erasing_api.call("DELETE", f"{ORDER}?erase=true", role=Role.OPERATOR)
    assert (reply.status, reply.json()["permission"]) == (403, "streams:erase")
    assert len((await erasing_api.get(EVENTS))["items"]) == 1


@pytest.mark.parametrize("was_deleted", [False, True])
async def test_what_is_erased_is_nowhere_any_more(erasing_api: Api, was_deleted: bool) -> None:
    place = await append(erasing_api, make_event(1), make_event(2))
    link = {"event_ids": [place["first_event_id"]]}
    await erasing_api.call("POST", LINKS, link)
    if was_deleted:
        await erasing_api.call("DELETE", ORDER)
    reply = await erasing_api.call("DELETE", f"{ORDER}?erase=true")
    assert reply.status == 200, reply.body
    assert reply.json()["erased_at"] == "2026-03-01T12:00:00Z"
    assert (await erasing_api.get("/v1/events"))["items"] == []
    assert (await erasing_api.get("/v1/streams/best-of/events"))["items"] == []
    again = await erasing_api.call("POST", EVENTS, {"events": [make_event()]})
    assert (again.status, again.json()["code"]) == (409, "events.stream_deleted")
