"""Subscriptions over HTTP: what an operator sees of them, and can do about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.identity import Role
from emberkeep.events.model import (
    EVERYTHING,
    Category,
    OneStream,
    OnFailure,
    StreamId,
)
from emberkeep.events.service import make_type_counts, name_source, rebuild_projection
from tests.following import Consumer, make_plan, open_hub, running, until
from tests.http.events.stream import append, make_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from emberkeep.events.model import RecordedEvent, Source
    from emberkeep.events.service import SubscriptionHub
    from tests.http.xp.api import Api

LIST = "/v1/subscriptions"
ONE = f"{LIST}/mailer"


@pytest.fixture
async def hub(dsn: str) -> AsyncIterator[SubscriptionHub]:
    """The hub of a program beside the server."""
    async with open_hub(dsn) as hub:
        yield hub


def _refuse_odd(event: RecordedEvent) -> Exception | None:
    """Fail at every second event."""
    data: Any = event.data
    return ValueError(f"{data['n']} is odd") if data["n"] % 2 else None


async def _work(
    hub: SubscriptionHub,
    api: Api,
    *,
    name: str = "mailer",
    source: Source = EVERYTHING,
    **plan: Any,
) -> None:
    """Work on a subscription until nothing is behind, refusing odd events."""
    consumer = Consumer()
    consumer.find_failure = _refuse_odd
    async with running(hub.run(make_plan(name, source, **plan), consumer.handle)):

        async def is_done() -> bool:
            states = (await api.get(LIST))["items"]
            return any(
                (state["subscription_id"], state["stream_id"]) == (name, name_source(source))
                and (state["lag"] == 0 or state["stopped"])
                for state in states
            )

        await until(is_done)


async def _post(api: Api, target: str, body: object = None) -> Any:
    reply = await api.call("POST", target, {} if body is None else body, role=Role.OPERATOR)
    assert reply.status == 200, reply.body
    return reply.json()


async def _list_states(api: Api) -> dict[int, str]:
    """Return what became of each event that was parked."""
    items = (await api.get(f"{ONE}/parked?all=true"))["items"]
    return {item["event_id"]: item["state"] for item in items}


# --- looking --------------------------------------------------------------------------------------


async def test_a_subscription_says_where_it_stands(api: Api, hub: SubscriptionHub) -> None:
    assert await api.get(LIST) == {"items": [], "next": None}
    await append(api, make_event(1), make_event(2))
    await _work(hub, api)
    await append(api, make_event(4))
    (state,) = (await api.get(LIST))["items"]
    del state["created_at"], state["updated_at"]
    assert state == {
        "subscription_id": "mailer",
        "stream_id": "$all",
        "concurrency_limit": 1,
        "last_seen_event_id": 2,
        "last_seen_stream_version": 0,
        "lag": 1,
        "consumers": 0,
        "leased": 0,
        "stopped": 0,
        "stop_error": None,
        "parked": 1,
    }


async def test_who_works_on_it_is_named_with_the_partitions(api: Api, hub: SubscriptionHub) -> None:
    plan = make_plan("mailer", concurrency_limit=3)
    async with running(hub.run(plan, Consumer().handle)):

        async def is_leased() -> bool:
            states = (await api.get(LIST))["items"]
            return bool(states) and states[0]["leased"] == 3

        await until(is_leased)
        report = await api.get(ONE)
    assert report["subscription"]["subscription_id"] == "mailer"
    (consumer,) = report["consumers"]
    assert consumer["partitions"] == [0, 1, 2]
    assert consumer["consumer_name"]


async def test_subscriptions_are_listed_by_name_in_pages(api: Api, hub: SubscriptionHub) -> None:
    for name in ("b", "a:1", "B", "a-2"):
        await _work(hub, api, name=name)
    names: list[str] = []
    cursor = ""
    while True:
        page = await api.get(f"{LIST}?limit=3{cursor}")
        names += [item["subscription_id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&after={page['next']}"
    assert names == ["B", "a-2", "a:1", "b"]


async def test_a_name_that_several_have_is_told_apart_by_what_they_follow(
    api: Api, hub: SubscriptionHub
) -> None:
    await append(api, make_event(2), to="order-1")
    sources = {
        "$all": EVERYTHING,
        "$category-order": Category("order"),
        "order-1": OneStream(StreamId("order-1")),
    }
    for source in sources.values():
        await _work(hub, api, source=source)
    reply = await api.call("GET", ONE)
    assert reply.status == 404
    problem = reply.json()
    assert problem["code"] == "events.subscription_unknown"
    assert sorted(problem["sources"]) == sorted(sources)
    for name in sources:
        report = await api.get(f"{ONE}?source={name}")
        assert report["subscription"]["stream_id"] == name
        assert (await _post(api, f"{ONE}/replay?source={name}"))["stream_id"] == name
    assert (await api.call("DELETE", f"{ONE}?source=$all")).status == 204
    assert len((await api.get(LIST))["items"]) == 2


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", ONE),
        ("GET", f"{ONE}/parked"),
        ("POST", f"{ONE}/replay"),
        ("POST", f"{ONE}/skip"),
        ("POST", f"{ONE}/resume"),
        ("POST", f"{ONE}/reset"),
        ("DELETE", ONE),
    ],
)
async def test_what_is_not_there_is_unknown(api: Api, method: str, target: str) -> None:
    has_body = target.endswith(("replay", "skip", "reset"))
    reply = await api.call(method, target, {} if has_body else b"")
    assert reply.status == 404
    assert reply.json()["code"] == "events.subscription_unknown"


@pytest.mark.parametrize(
    ("method", "target", "body", "code"),
    [
        ("GET", f"{LIST}?after=nonsense", b"", "request.cursor_invalid"),
        ("GET", f"{LIST}?limit=201", b"", "request.invalid"),
        ("GET", f"{LIST}/{'x' * 256}", b"", "events.subscription_invalid"),
        ("GET", f"{ONE}?source=$everything", b"", "events.subscription_invalid"),
        ("GET", f"{ONE}?source=$category-a-b", b"", "events.subscription_invalid"),
        ("GET", f"{ONE}?source=", b"", "events.subscription_invalid"),
        ("GET", f"{ONE}/parked?after=nonsense", b"", "request.cursor_invalid"),
        ("GET", f"{ONE}/parked?all=perhaps", b"", "request.invalid"),
        ("POST", f"{ONE}/replay", {"event_ids": []}, "request.invalid"),
        ("POST", f"{ONE}/replay", {"event_ids": [0]}, "request.invalid"),
        ("POST", f"{ONE}/replay", {"event_ids": [2**63]}, "request.invalid"),
        ("POST", f"{ONE}/skip", {"event_ids": ["1"]}, "request.invalid"),
        ("POST", f"{ONE}/skip", {"events": [1]}, "request.invalid"),
        ("POST", f"{ONE}/reset", {"after": -1}, "request.invalid"),
        ("POST", f"{ONE}/reset", {"after": "now"}, "request.invalid"),
        ("POST", f"{ONE}/reset", {"after": 2}, "events.subscription_invalid"),
        ("POST", f"{ONE}/reset", {"partitions": 0}, "request.invalid"),
        ("POST", f"{ONE}/reset", {"partitions": 257}, "request.invalid"),
    ],
)
async def test_what_there_cannot_be_is_refused(
    api: Api, hub: SubscriptionHub, method: str, target: str, body: object, code: str
) -> None:
    await append(api, make_event(0))
    await _work(hub, api)
    reply = await api.call(method, target, body)
    assert (reply.status, reply.json()["code"]) == (422, code), reply.body


# --- parked events --------------------------------------------------------------------------------


async def test_what_could_not_be_handled_is_listed_with_the_error(
    api: Api, hub: SubscriptionHub
) -> None:
    await append(api, *(make_event(n) for n in range(4)))
    await _work(hub, api)
    page = await api.get(f"{ONE}/parked?limit=1")
    (item,) = page["items"]
    assert (item["event_id"], item["number"], item["state"]) == (2, 2, "parked")
    assert (item["attempts"], item["error"]) == (1, "ValueError: 1 is odd")
    rest = await api.get(f"{ONE}/parked?limit=1&after={page['next']}")
    assert [item["event_id"] for item in rest["items"]] == [4]
    assert rest["next"] is None


async def test_a_parked_event_is_handled_once_more_when_an_operator_says_so(
    api: Api, hub: SubscriptionHub
) -> None:
    await append(api, *(make_event(n) for n in range(4)))
    await _work(hub, api)
    answer = await _post(api, f"{ONE}/replay", {"event_ids": [2, 3, 99]})
    assert answer == {"subscription_id": "mailer", "stream_id": "$all", "events": 1}
    consumer = Consumer()
    async with running(hub.run(make_plan("mailer"), consumer.handle)):
        await consumer.await_events(1)

        async def is_settled() -> bool:
            return (await _list_states(api))[2] == "replayed"

        await until(is_settled)
    assert consumer.numbers == [1]
    (left,) = (await api.get(f"{ONE}/parked"))["items"]
    assert left["event_id"] == 4


async def test_a_parked_event_that_is_given_up_stays_in_the_list_of_all(
    api: Api, hub: SubscriptionHub
) -> None:
    await append(api, *(make_event(n) for n in range(4)))
    await _work(hub, api)
    assert (await _post(api, f"{ONE}/skip", {"event_ids": [2]}))["events"] == 1
    assert (await _post(api, f"{ONE}/skip"))["events"] == 1
    assert (await api.get(f"{ONE}/parked"))["items"] == []
    items = (await api.get(f"{ONE}/parked?all=true"))["items"]
    assert [(i["state"], i["settled_by"], i["settled_at"]) for i in items] == [
        ("skipped", "operator", "2026-03-01T12:00:00Z")
    ] * 2
    assert (await _post(api, f"{ONE}/replay"))["events"] == 0


# --- going on -------------------------------------------------------------------------------------


async def test_a_subscription_that_stopped_goes_on_with_the_event_it_stopped_at(
    api: Api, hub: SubscriptionHub
) -> None:
    await append(api, *(make_event(n) for n in range(3)))
    await _work(hub, api, on_failure=OnFailure.STOP)
    state = (await api.get(ONE))["subscription"]
    assert (state["stopped"], state["stop_error"]) == (1, "ValueError: 1 is odd")
    assert (await _post(api, f"{ONE}/resume"))["partitions"] == 1
    assert (await _post(api, f"{ONE}/resume"))["partitions"] == 0
    consumer = Consumer()
    async with running(hub.run(make_plan("mailer"), consumer.handle)):
        await consumer.await_events(2)
    assert consumer.numbers == [1, 2]


@pytest.mark.parametrize(
    ("after", "expected"), [("origin", 0), ("current", 4), (1, 1), (0, 0), (4, 4), (None, 2)]
)
async def test_a_subscription_goes_on_where_an_operator_says(
    api: Api, hub: SubscriptionHub, after: str | int | None, expected: int
) -> None:
    await append(api, make_event(0), make_event(2))
    await _work(hub, api)
    await append(api, make_event(4), make_event(6))
    state = await _post(api, f"{ONE}/reset", {"after": after})
    assert (state["last_seen_event_id"], state["lag"]) == (expected, 4 - expected)
    assert state["concurrency_limit"] == 1


async def test_of_a_stream_the_number_is_a_version(api: Api, hub: SubscriptionHub) -> None:
    await append(api, make_event(0), to="other")
    await append(api, make_event(0), make_event(2), make_event(4), to="order-1")
    await _work(hub, api, source=OneStream(StreamId("order-1")))
    state = await _post(api, f"{ONE}/reset", {"after": 1})
    assert (state["last_seen_stream_version"], state["lag"]) == (1, 2)
    state = await _post(api, f"{ONE}/reset", {"after": "current"})
    assert (state["last_seen_stream_version"], state["lag"]) == (3, 0)
    reply = await api.call("POST", f"{ONE}/reset", {"after": 4})
    assert reply.json()["errors"] == [
        {"path": "after", "message": "lies after the present end, which is 3"}
    ]


async def test_a_subscription_falls_into_another_number_of_partitions(
    api: Api, hub: SubscriptionHub
) -> None:
    await append(api, make_event(0), make_event(2))
    await _work(hub, api)
    state = await _post(api, f"{ONE}/reset", {"partitions": 4})
    assert (state["concurrency_limit"], state["last_seen_event_id"]) == (4, 2)
    assert (await _post(api, f"{ONE}/reset", {"after": 1}))["concurrency_limit"] == 4


async def test_a_subscription_that_is_deleted_begins_anew(api: Api, hub: SubscriptionHub) -> None:
    await append(api, make_event(2))
    await _work(hub, api)
    assert (await api.call("DELETE", ONE, role=Role.OPERATOR)).status == 204
    assert (await api.get(LIST))["items"] == []
    consumer = Consumer()
    async with running(hub.run(make_plan("mailer"), consumer.handle)):
        await consumer.await_events(1)
    assert consumer.numbers == [2]


# --- how many events of each type -----------------------------------------------------------------


async def test_event_types_are_counted_by_the_worker(api: Api, hub: SubscriptionHub) -> None:
    await append(api, make_event(1), make_event(2), make_event(3, event_type="Paid"))
    assert await api.get("/v1/event-types") == {"items": [], "lag": None}
    await rebuild_projection(hub, make_type_counts(), on_progress=lambda *_: None)
    await append(api, make_event(4))
    counts = await api.get("/v1/event-types")
    assert [(i["event_type"], i["event_version"], i["events"]) for i in counts["items"]] == [
        ("Paid", 1, 1),
        ("Placed", 1, 2),
    ]
    assert counts["lag"] == 1


# --- who may --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "may_read", "may_manage"),
    [
        (Role.PLAYER, False, False),
        (Role.SERVICE, True, False),
        (Role.OPERATOR, True, True),
        (Role.ADMIN, True, True),
    ],
)
async def test_operators_manage_and_services_look(
    api: Api, role: Role, may_read: bool, may_manage: bool
) -> None:
    looked = [
        (await api.call("GET", target, role=role)).status
        for target in (LIST, ONE, f"{ONE}/parked", "/v1/event-types")
    ]
    managed = [
        (await api.call("POST", f"{ONE}/{target}", {}, role=role)).status
        for target in ("replay", "skip", "resume", "reset")
    ]
    managed.append((await api.call("DELETE", ONE, role=role)).status)
    assert looked == ([200, 404, 404, 200] if may_read else [403] * 4)
    assert managed == [404 if may_manage else 403] * 5
