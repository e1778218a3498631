"""Appending events over HTTP."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.identity import Role
from tests.http.events.stream import EVENTS, append, make_event

if TYPE_CHECKING:
    from tests.http.xp.api import Api

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ID = "018f2f6e-0000-7000-8000-000000000001"


async def test_the_answer_says_where_the_events_stand(api: Api) -> None:
    first = await append(api)
    assert first == {
        "stream_id": "order-17",
        "first_version": 1,
        "last_version": 1,
        "first_event_id": first["first_event_id"],
        "last_event_id": first["first_event_id"],
        "is_retry": False,
    }
    second = await append(api, make_event(2), make_event(3))
    assert (second["first_version"], second["last_version"]) == (2, 3)
    assert first["last_event_id"] < second["first_event_id"] < second["last_event_id"]


@pytest.mark.parametrize(
    ("expected", "before", "status"),
    [
        ("any", 0, 201),
        ("any", 2, 201),
        ("no_stream", 0, 201),
        ("no_stream", 2, 409),
        ("stream_exists", 0, 409),
        ("stream_exists", 2, 201),
        (0, 0, 201),
        (0, 2, 409),
        (1, 2, 409),
        (2, 2, 201),
        (3, 2, 409),
        (2**53, 2, 409),
    ],
)
@pytest.mark.parametrize("headers", [None, {"idempotency-key": "k-1"}], ids=["joined", "keyed"])
async def test_an_append_is_refused_unless_the_stream_is_where_it_is_expected(
    api: Api, expected: str | int, before: int, status: int, headers: dict[str, str] | None
) -> None:
    for n in range(before):
        await append(api, make_event(n))
    body = {"events": [make_event()], "expected_version": expected}
    reply = await api.call("POST", EVENTS, body, headers=headers)
    assert reply.status == status, reply.body
    if status == 409:
        problem = reply.json()
        assert problem["code"] == "events.wrong_expected_version"
        assert (problem["expected"], problem["actual"]) == (expected, before)
        assert problem["stream_id"] == "order-17"


async def test_of_fifty_who_expect_the_same_version_one_appends(api: Api) -> None:
    await append(api)
    body = {"events": [make_event()], "expected_version": 1}
    replies = await asyncio.gather(*(api.call("POST", EVENTS, body) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 49
    assert (await api.get("/v1/streams/order-17"))["stream_version"] == 2


async def test_an_append_with_ids_can_be_repeated(api: Api) -> None:
    event = make_event(event_uuid=ID)
    first = await append(api, event, make_event(2), expected_version="no_stream")
    await append(api, make_event(3))
    body = {"events": [event, make_event(2)], "expected_version": "no_stream"}
    again = await api.call("POST", EVENTS, body)
    assert again.status == 200
    assert again.json() == first | {"is_retry": True}
    assert (await api.get("/v1/streams/order-17"))["stream_version"] == 3


async def test_an_id_of_another_stream_is_refused_and_nothing_is_written(api: Api) -> None:
    await append(api, make_event(event_uuid=ID), to="order-1")
    body = {"events": [make_event(), make_event(event_uuid=ID)]}
    reply = await api.call("POST", EVENTS, body)
    assert (reply.status, reply.json()["code"]) == (409, "events.duplicate_event_uuid")
    assert (await api.call("GET", EVENTS)).status == 404


async def test_a_key_makes_an_append_without_ids_repeatable(api: Api) -> None:
    body, key = {"events": [make_event()]}, {"idempotency-key": "k-1"}
    first = await api.call("POST", EVENTS, body, headers=key)
    again = await api.call("POST", EVENTS, body, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert again.headers["idempotency-replayed"] == "true"
    assert (await api.get("/v1/streams/order-17"))["stream_version"] == 1
    other = await api.call("POST", EVENTS, {"events": [make_event(2)]}, headers=key)
    assert (other.status, other.json()["code"]) == (422, "request.idempotency_key_reused")


async def test_a_refused_append_leaves_its_key_free(api: Api) -> None:
    body, key = {"events": [make_event()], "expected_version": 1}, {"idempotency-key": "k-1"}
    assert (await api.call("POST", EVENTS, body, headers=key)).status == 409
    await append(api)
    assert (await api.call("POST", EVENTS, body, headers=key)).status == 201


async def _read_metadata(api: Api) -> Any:
    return (await api.get(EVENTS))["items"][0]["metadata"]


async def test_metadata_say_who_appended_and_in_which_call(api: Api) -> None:
    reply = await api.call(
        "POST",
        EVENTS,
        {"events": [make_event()]},
        role=Role.SERVICE,
        subject="game-server",
        headers={"x-request-id": "call-7", "traceparent": TRACE},
    )
    assert reply.status == 201
    assert await _read_metadata(api) == {
        "actor": "game-server",
        "correlation_id": "call-7",
        "traceparent": TRACE,
    }


async def test_a_callers_metadata_stand_but_for_the_actor(api: Api) -> None:
    given = {
        "actor": "somebody else",
        "correlation_id": "journey-1",
        "causation_id": "42",
        "traceparent": TRACE.replace("4bf9", "0000"),
        "weight": 1.5,
    }
    reply = await api.call(
        "POST",
        EVENTS,
        {"events": [make_event(metadata=given)]},
        headers={"x-request-id": "call-7", "traceparent": TRACE},
    )
    assert reply.status == 201
    assert await _read_metadata(api) == given | {"actor": "admin"}


@pytest.mark.parametrize(
    "header",
    ["", "nonsense", f"{TRACE}-x", TRACE.upper(), "00-" + "0" * 32 + TRACE[35:], "\xff" * 600],
)
async def test_a_trace_that_cannot_be_read_is_left_out(api: Api, header: str) -> None:
    body = {"events": [make_event()]}
    reply = await api.call("POST", EVENTS, body, headers={"traceparent": header})
    assert reply.status == 201
    assert "traceparent" not in await _read_metadata(api)


async def test_data_are_kept_to_the_last_digit(api: Api) -> None:
    body = b'{"events": [{"event_type": "Placed", "data": {"price": 0.12345678901234567890}}]}'
    assert (await api.call("POST", EVENTS, body)).status == 201
    assert b'"data":{"price": 0.12345678901234567890}' in (await api.call("GET", EVENTS)).body


async def test_a_deleted_stream_takes_no_more_events(api: Api) -> None:
    await append(api)
    assert (await api.call("DELETE", "/v1/streams/order-17")).status == 200
    reply = await api.call("POST", EVENTS, {"events": [make_event()]})
    assert (reply.status, reply.json()["code"]) == (409, "events.stream_deleted")


@pytest.mark.parametrize("role", [Role.PLAYER, Role.OPERATOR])
async def test_players_and_operators_append_nothing(api: Api, role: Role) -> None:
    reply = await api.call("POST", EVENTS, {"events": [make_event()]}, role=role)
    assert (reply.status, reply.json()["code"]) == (403, "request.role_refused")


def _change(**changes: object) -> dict[str, Any]:
    return {"events": [make_event(**changes)]}


@pytest.mark.parametrize("headers", [None, {"idempotency-key": "k-1"}], ids=["joined", "keyed"])
@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        pytest.param({"events": []}, 422, "events", id="no events"),
        pytest.param({"events": [make_event()] * 10_001}, 422, "events", id="10,001 events"),
        pytest.param(_change(event_type=""), 422, "events[0].event_type", id="an empty type"),
        pytest.param(_change(event_type="x" * 256), 422, "events[0].event_type", id="a long type"),
        pytest.param(_change(event_version=0), 422, "events[0].event_version", id="version 0"),
        pytest.param(_change(event_version=2**31), 422, "events[0].event_version", id="2^31"),
        pytest.param(_change(event_version=2**63), 422, "events[0].event_version", id="2^63"),
        pytest.param(_change(event_uuid="7"), 422, "events[0].event_uuid", id="no UUID"),
        pytest.param(_change(metadata=[]), 422, "events[0].metadata", id="metadata as a list"),
        pytest.param(
            _change(metadata={"x": "y" * 70_000}), 422, "events[0].metadata", id="large metadata"
        ),
        pytest.param(_change(data={"n": 2**63}), 422, "events[0].data.n", id="2^63 in data"),
        pytest.param(_change(other=1), 422, "events[0].other", id="an unknown field"),
        pytest.param({"events": [make_event(event_uuid=ID)] * 2}, 422, "events", id="one id twice"),
        pytest.param(
            {"events": [make_event()], "expected_version": -1},
            422,
            "expected_version",
            id="version -1",
        ),
        pytest.param(
            {"events": [make_event()], "expected_version": 2**63},
            422,
            "expected_version",
            id="version 2^63",
        ),
        pytest.param(
            {"events": [make_event()], "expected_version": "some"},
            422,
            "expected_version",
            id="no expectation",
        ),
        pytest.param(
            b'{"events": [{"event_type": "x", "data": "a\\u0000b"}]}',
            422,
            "events[0].data",
            id="NUL",
        ),
        pytest.param(
            b'{"events": [{"event_type": "a\\u0000b", "data": 1}]}',
            422,
            "events[0].event_type",
            id="NUL in a type",
        ),
        pytest.param(
            b'{"events": [{"event_type": "x", "data": "\\ud800"}]}',
            422,
            "events[0].data",
            id="half of a surrogate pair",
        ),
        pytest.param(
            b'{"events": [{"event_type": "x", "data": "\xff"}]}',
            422,
            "events[0].data",
            id="data that are not UTF-8",
        ),
        pytest.param(
            b'{"events": [{"event_type": "x", "data": 1, "metadata": {"a": "\xff"}}]}',
            422,
            "events[0].metadata",
            id="metadata that are not UTF-8",
        ),
        pytest.param(
            b'{"events": [{"event_type": "x", "data": 1e999999}]}',
            422,
            "events[0].data",
            id="10^999999",
        ),
        pytest.param(b'{"events": [{"event_type": "x", "data": nul}]}', 400, None, id="no JSON"),
        pytest.param(
            b'{"events": [{"event_type": "x", "data": "%b"}]}' % (b"x" * 10_000_000),
            413,
            None,
            id="10 MB",
        ),
    ],
)
async def test_bad_input_is_named_and_nothing_is_written(
    api: Api, headers: dict[str, str] | None, body: object, status: int, path: str | None
) -> None:
    reply = await api.call("POST", EVENTS, body, headers=headers)
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    if path is not None:
        assert [error["path"] for error in reply.json()["errors"]] == [path]
    assert (await api.get("/v1/events"))["items"] == []


@pytest.mark.parametrize(
    ("stream_id", "status", "code"),
    [
        pytest.param("", 404, "request.route_unknown", id="empty"),
        pytest.param("x" * 10_000, 422, "events.append_invalid", id="10 kB"),
        pytest.param("x" * 513, 422, "events.append_invalid", id="one too long"),
        pytest.param("$all", 422, "events.append_invalid", id="$all"),
        pytest.param("$other", 422, "events.append_invalid", id="a name of the store itself"),
        pytest.param("a%00b", 422, "request.invalid", id="NUL"),
        pytest.param("%ED%A0%80", 422, "request.invalid", id="half of a surrogate pair"),
        pytest.param("%ff", 422, "request.invalid", id="not UTF-8"),
    ],
)
async def test_a_name_that_no_stream_can_have_is_refused(
    api: Api, stream_id: str, status: int, code: str
) -> None:
    reply = await api.call("POST", f"/v1/streams/{stream_id}/events", {"events": [make_event()]})
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert (await api.get("/v1/events"))["items"] == []


@pytest.mark.parametrize("stream_id", ["x" * 512, "%E2%82%AC-1", "a%20b", "a%2Cb", "%25", "'"])
async def test_any_other_name_will_do(api: Api, stream_id: str) -> None:
    await append(api, to=stream_id)
    assert len((await api.get(f"/v1/streams/{stream_id}/events"))["items"]) == 1


async def test_a_bad_append_does_not_fail_those_it_is_joined_with(api: Api) -> None:
    bad = b'{"events": [{"event_type": "x", "data": 1e999999}]}'
    replies = await asyncio.gather(
        *(
            api.call("POST", EVENTS, {"events": [make_event(event_uuid=uuid.UUID(int=n))]})
            for n in range(1, 20)
        ),
        api.call("POST", EVENTS, bad),
    )
    assert [reply.status for reply in replies] == [201] * 19 + [422]
    assert (await api.get("/v1/streams/order-17"))["stream_version"] == 19
