"""Reading events over HTTP, page by page."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.identity import Role
from tests.http.events.stream import EVENTS, append, make_event

if TYPE_CHECKING:
    from tests.http.xp.api import Api


def _list_numbers(page: Any) -> list[int]:
    return [item["data"]["n"] for item in page["items"]]


async def _read_on(api: Api, target: str, cursor: str) -> list[list[int]]:
    """Return the numbers of every page, followed by its `next`."""
    pages: list[list[int]] = []
    page = await api.get(target)
    while True:
        pages.append(_list_numbers(page))
        if page["next"] is None:
            return pages
        page = await api.get(f"{target}&{cursor}={page['next']}")


async def test_an_item_says_what_happened_where_and_when(api: Api) -> None:
    event_id = "018f2f6e-0000-7000-8000-000000000001"
    place = await append(api, make_event(event_version=3, event_uuid=event_id))
    page = await api.get(EVENTS)
    (item,) = page["items"]
    assert page["next"] is None
    assert item.pop("metadata").keys() == {"actor", "correlation_id"}
    assert item == {
        "number": 1,
        "event_id": place["first_event_id"],
        "event_uuid": event_id,
        "stream_id": "order-17",
        "stream_version": 1,
        "event_type": "Placed",
        "event_version": 3,
        "data": {"n": 1},
        "created_at": "2026-03-01T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("query", "pages"),
    [
        ("limit=2", [[1, 2], [3, 4], [5]]),
        ("limit=2&direction=backward", [[5, 4], [3, 2], [1]]),
        ("limit=5", [[1, 2, 3, 4, 5]]),
        ("limit=1000&direction=backward", [[5, 4, 3, 2, 1]]),
    ],
)
@pytest.mark.parametrize(("target", "cursor"), [(EVENTS, "from"), ("/v1/events", "after")])
async def test_pages_neither_skip_nor_repeat(
    api: Api, target: str, cursor: str, query: str, pages: list[list[int]]
) -> None:
    await append(api, *(make_event(n) for n in range(1, 6)))
    assert await _read_on(api, f"{target}?{query}", cursor) == pages


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("from=0", [1, 2, 3]),
        ("from=2", [2, 3]),
        ("from=4", []),
        (f"from={2**53}", []),
        ("from=2&direction=backward", [2, 1]),
        ("from=0&direction=backward", []),
        (f"from={2**53}&direction=backward", [3, 2, 1]),
    ],
)
async def test_a_page_begins_where_it_is_told_to(api: Api, query: str, numbers: list[int]) -> None:
    await append(api, make_event(1), make_event(2), make_event(3))
    page = await api.get(f"{EVENTS}?{query}")
    assert (_list_numbers(page), page["next"]) == (numbers, None)


async def test_all_streams_have_one_order(api: Api) -> None:
    for n in range(6):
        await append(api, make_event(n), to=f"order-{n % 2}")
    assert _list_numbers(await api.get("/v1/events")) == list(range(6))


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("category=order", [1, 2, 4]),
        ("event_type=Paid", [2, 3]),
        ("event_type=Paid&event_type=Packed", [2, 3, 4]),
        ("category=order&event_type=Paid", [2]),
        ("category=nobody", []),
        ("category=order&after=1", [2, 4]),
    ],
)
async def test_a_page_of_a_category_or_of_types_shows_nothing_else(
    api: Api, query: str, numbers: list[int]
) -> None:
    first = await append(api, make_event(1))
    await append(api, make_event(2, event_type="Paid"), to="order-1")
    await append(api, make_event(3, event_type="Paid"), to="player-1")
    await append(api, make_event(4, event_type="Packed"), to="order-2")
    query = query.replace("after=1", f"after={first['last_event_id']}")
    assert _list_numbers(await api.get(f"/v1/events?{query}")) == numbers
    pages = await _read_on(api, f"/v1/events?limit=1&{query}", "after")
    assert list(itertools.chain(*pages)) == numbers


async def test_a_linked_event_stands_at_its_place_in_the_further_stream(api: Api) -> None:
    place = await append(api, make_event(1), make_event(2))
    await append(api, make_event(3), to="best-of")
    link = {"event_ids": [place["last_event_id"]]}
    assert (await api.call("POST", "/v1/streams/best-of/links", link)).status == 201
    shown = (await api.get("/v1/streams/best-of/events"))["items"][1]
    assert (shown["number"], shown["stream_id"], shown["stream_version"]) == (2, "order-17", 2)
    assert len((await api.get("/v1/events"))["items"]) == 3


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        (EVENTS, 404, "events.stream_unknown"),
        ("/v1/streams/$other/events", 404, "events.stream_unknown"),
        ("/v1/streams/$all/events", 422, "events.read_invalid"),
        (f"/v1/streams/{'x' * 10_000}/events", 422, "events.read_invalid"),
        ("/v1/streams//events", 404, "request.route_unknown"),
        ("/v1/streams/a%00b/events", 422, "request.invalid"),
        (f"{EVENTS}?from=-1", 422, "request.invalid"),
        (f"{EVENTS}?from={2**63}", 422, "request.invalid"),
        (f"{EVENTS}?from=many", 422, "request.invalid"),
        (f"{EVENTS}?limit=0", 422, "request.invalid"),
        (f"{EVENTS}?limit=1001", 422, "request.invalid"),
        (f"{EVENTS}?direction=sideways", 422, "request.invalid"),
        ("/v1/events?after=-1", 422, "request.invalid"),
        (f"/v1/events?after={2**63}", 422, "request.invalid"),
        ("/v1/events?category=a-b", 422, "events.subscription_invalid"),
        ("/v1/events?category=a&direction=backward", 422, "events.read_invalid"),
        ("/v1/events?event_type=a&direction=backward", 422, "events.read_invalid"),
    ],
)
async def test_what_cannot_be_read_is_refused_by_name(
    api: Api, target: str, status: int, code: str
) -> None:
    reply = await api.call("GET", target)
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/problem+json"


async def test_a_deleted_stream_shows_nothing_while_all_streams_keep_its_events(api: Api) -> None:
    await append(api)
    await api.call("DELETE", "/v1/streams/order-17")
    reply = await api.call("GET", EVENTS)
    assert (reply.status, reply.json()["code"]) == (409, "events.stream_deleted")
    assert len((await api.get("/v1/events"))["items"]) == 1


@pytest.mark.parametrize("target", [EVENTS, "/v1/events", "/v1/streams", "/v1/streams/order-17"])
async def test_a_player_reads_nothing(api: Api, target: str) -> None:
    reply = await api.call("GET", target, role=Role.PLAYER, subject="17")
    assert (reply.status, reply.json()["code"]) == (403, "request.role_refused")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, */*;q=0.1"])
async def test_who_asks_for_anything_gets_a_page(api: Api, accept: str) -> None:
    reply = await api.call("GET", "/v1/events", headers={"accept": accept})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
