"""Following the store over HTTP, as server-sent events."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.clock import UTC
from emberkeep.events.model import RecordedEvent, StreamId
from emberkeep.events.routes.tails import render_tail
from tests.http.events.stream import EVENTS, append, make_event
from tests.http.events.tail import open_tail

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.http.events.tail import Message
    from tests.http.xp.api import Api


def _list_numbers(messages: list[Message]) -> list[int]:
    return [message.data["data"]["n"] for message in messages]


async def test_a_tail_catches_up_and_goes_on_without_a_gap_or_a_double(api: Api) -> None:
    await append(api, *(make_event(n) for n in range(700)))

    async def go_on() -> None:
        for n in range(700, 720):
            await append(api, make_event(n), to=f"order-{n}")

    async with open_tail(api, "/v1/events?after=0") as tail:
        _, messages = await asyncio.gather(go_on(), tail.read_events(720))
    assert sorted(_list_numbers(messages)) == list(range(720))
    ids = [int(message.id or "") for message in messages]
    assert ids == sorted(ids)


async def test_a_message_is_the_item_of_the_page_with_its_id_and_type(api: Api) -> None:
    async with open_tail(api, "/v1/events?after=0") as tail:
        assert tail.status == 200
        assert tail.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert "content-length" not in tail.headers
        await append(api)
        (message,) = await tail.read_events(1)
    (item,) = (await api.get("/v1/events"))["items"]
    assert message.data == item
    assert (message.id, message.event) == (str(item["event_id"]), "Placed")


async def test_a_tail_begins_with_what_is_appended_from_now_on(api: Api) -> None:
    await append(api, make_event(1))
    async with open_tail(api, "/v1/events") as tail:
        greeting = await tail.read_message()
        assert greeting is not None
        assert greeting.comment == "following"
        await append(api, make_event(2))
        assert _list_numbers(await tail.read_events(1)) == [2]


@pytest.mark.parametrize("target", ["/v1/events?after=0", f"{EVENTS}?from=1"])
async def test_a_client_that_was_cut_off_goes_on_after_the_last_id(api: Api, target: str) -> None:
    await append(api, *(make_event(n) for n in range(4)))
    async with open_tail(api, target) as tail:
        seen = await tail.read_events(2)
    async with open_tail(api, target, headers={"last-event-id": seen[-1].id or ""}) as tail:
        assert _list_numbers(await tail.read_events(2)) == [2, 3]


async def test_a_tail_of_a_category_and_of_types_shows_nothing_else(api: Api) -> None:
    async with open_tail(
        api, "/v1/events?category=order&event_type=Placed&event_type=Paid"
    ) as tail:
        await append(api, make_event(1), to="player-1")
        await append(api, make_event(2), make_event(3, event_type="Packed"), to="order-1")
        await append(api, make_event(4, event_type="Paid"), to="order-2")
        assert _list_numbers(await tail.read_events(2)) == [2, 4]


async def test_a_stream_can_be_followed_before_it_is_there(api: Api) -> None:
    async with open_tail(api, EVENTS) as tail:
        await append(api, make_event(1), to="order-1")
        await append(api, make_event(2))
        (message,) = await tail.read_events(1)
    assert (message.id, message.data["data"]) == ("1", {"n": 2})


async def test_a_stream_is_followed_from_a_version_on(api: Api) -> None:
    await append(api, make_event(1), make_event(2), make_event(3))
    async with open_tail(api, f"{EVENTS}?from=2") as tail:
        assert [message.id for message in await tail.read_events(2)] == ["2", "3"]


async def test_the_tail_of_a_stream_that_is_deleted_says_so_and_ends(api: Api) -> None:
    await append(api)
    async with open_tail(api, f"{EVENTS}?from=1") as tail:
        await tail.read_events(1)
        await api.call("DELETE", "/v1/streams/order-17")
        (message,) = await tail.read_events(1)
        assert (message.event, message.data["code"]) == ("$ended", "events.stream_deleted")
        assert await tail.read_message() is None


async def test_a_stream_that_was_deleted_is_not_followed(api: Api) -> None:
    await append(api)
    await api.call("DELETE", "/v1/streams/order-17")
    async with open_tail(api, EVENTS) as tail:
        reply = await tail.read_rest()
    assert (reply.status, reply.json()["code"]) == (409, "events.stream_deleted")


@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        ("/v1/events?direction=backward", {}, "events.read_invalid"),
        (f"{EVENTS}?direction=backward", {}, "events.read_invalid"),
        ("/v1/events", {"last-event-id": "x"}, "events.read_invalid"),
        ("/v1/events", {"last-event-id": "-1"}, "events.read_invalid"),
        ("/v1/events", {"last-event-id": str(2**63)}, "events.read_invalid"),
        (f"/v1/events?after={2**63}", {}, "request.invalid"),
        ("/v1/events?category=a-b", {}, "events.subscription_invalid"),
        ("/v1/events?category=", {}, "events.subscription_invalid"),
        ("/v1/streams/$all/events", {}, "events.read_invalid"),
        ("/v1/streams/$other/events", {}, "events.subscription_invalid"),
        (f"/v1/streams/{'x' * 513}/events", {}, "events.subscription_invalid"),
    ],
)
async def test_what_cannot_be_followed_is_refused_before_anything_is_sent(
    api: Api, target: str, headers: dict[str, str], code: str
) -> None:
    async with open_tail(api, target, headers=headers) as tail:
        reply = await tail.read_rest()
    assert (reply.status, reply.json()["code"]) == (422, code)


async def test_when_the_server_begins_to_stop_every_tail_ends_properly(api: Api) -> None:
    async with open_tail(api, "/v1/events") as first, open_tail(api, EVENTS) as second:
        api.app.begin_stop()
        for tail in (first, second):
            assert (await tail.read_message()) is not None, "the greeting"
            assert (await tail.read_message()) is None, "the end"
            assert tail.task is not None
            await tail.task
    assert (await api.get("/v1/events"))["items"] == [], "other requests are answered"


async def test_a_head_is_given_no_tail(api: Api) -> None:
    async with open_tail(api, "/v1/events", method="HEAD") as tail:
        assert tail.status == 200
        assert tail.task is not None
        await tail.task


def _make_event(number: int, event_type: str = "Placed") -> RecordedEvent:
    at = datetime.datetime(2026, 3, 1, tzinfo=UTC)
    return RecordedEvent(
        number, number, None, StreamId("order-1"), number, event_type, 1, "{}", None, at
    )


async def test_a_comment_is_sent_while_nothing_happens() -> None:
    async def follow() -> AsyncGenerator[RecordedEvent]:
        await asyncio.sleep(0.1)
        yield _make_event(1)

    tail = render_tail(follow(), heartbeat_s=0.02)
    said = [await anext(tail) for _ in range(4)]
    assert said == [b": following\n\n"] + [b": still here\n\n"] * 3
    while (chunk := await anext(tail)) == b": still here\n\n":
        pass
    assert chunk.startswith(b"id: 1\n")


async def test_a_type_of_several_lines_is_one_line() -> None:
    async def follow() -> AsyncGenerator[RecordedEvent]:
        yield _make_event(1, "Placed\r\ndata: {}\nid: 99")

    tail = render_tail(follow())
    await anext(tail)
    assert (await anext(tail)).split(b"\n")[1] == b"event: Placed  data: {} id: 99"


async def test_whoever_follows_is_let_go_with_the_client() -> None:
    has_ended = asyncio.Event()

    async def follow() -> AsyncGenerator[RecordedEvent]:
        try:
            yield _make_event(1)
            await asyncio.sleep(60)
        finally:
            has_ended.set()

    tail = render_tail(follow())
    await anext(tail)
    await anext(tail)
    waiting = asyncio.create_task(anext(tail))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    waiting.cancel()
    async with asyncio.timeout(5):
        await has_ended.wait()
