"""Tails: events as they are appended, as server-sent events that a client can go on from.

Source: the HTML standard's "Server-sent events". `id` is the event's number, which a client that
was cut off sends back as `Last-Event-ID`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from litestar import Request
from litestar.params import HeaderParameter
from litestar.response import Stream

from emberkeep.base.errors import EmberkeepError, FieldError
from emberkeep.events.model import LAST_VERSION, ReadInvalid, RecordedEvent, Source
from emberkeep.events.service.pages import make_item
from emberkeep.events.service.services import EventServices
from emberkeep.events.service.tails import begin_tail

MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT_S: Final = 15.0
"""How long nothing is sent: a client that is gone is noticed only when something is."""

_PLAIN: Final = "application/json"
_NUMBER: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_LINE_ENDS: Final = re.compile(r"[\r\n]")
# Sent at once, so that the client knows that it is connected, and where proxies would wait.
_GREETING: Final = b": following\n\n"
_HEARTBEAT: Final = b": still here\n\n"
_HEADERS: Final = {"x-accel-buffering": "no"}

_encode = msgspec.json.Encoder().encode

LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        description="For a tail: the `id` of the last event that arrived. It goes on after that.",
    ),
]


def wants_tail(request: Request[Any, Any, Any]) -> bool:
    """Say whether the client would rather follow than have a page."""
    return request.accept.best_match([_PLAIN, MEDIA_TYPE]) == MEDIA_TYPE


async def open_tail(
    events: EventServices,
    source: Source,
    *,
    after: int | None,
    last_event_id: str | None,
    event_types: tuple[str, ...] | None,
) -> Stream:
    """Return the answer that follows `source`: after what the client has, or from now on.

    :raises ReadInvalid: when `Last-Event-ID` is not the id of an event
    :raises SubscriptionInvalid: when nothing of this name can be followed
    :raises StreamDeleted: when the one stream was deleted
    """
    followed = await begin_tail(
        events.hub,
        source,
        after=after if last_event_id is None else _parse_id(last_event_id),
        event_types=event_types,
    )
    return Stream(render_tail(followed), media_type=MEDIA_TYPE, headers=_HEADERS)


async def render_tail(
    events: AsyncIterator[RecordedEvent], *, heartbeat_s: float = HEARTBEAT_S
) -> AsyncGenerator[bytes]:
    """Yield each event as it is sent, and a comment after so long a silence."""
    yield _GREETING
    upcoming = asyncio.ensure_future(anext(events))
    try:
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=heartbeat_s)
            if not done:
                yield _HEARTBEAT
                continue
            yield _render(upcoming.result())
            upcoming = asyncio.ensure_future(anext(events))
    except EmberkeepError as e:
        # The status has been sent long ago; this is all that is left to say why it ends.
        yield _render_refusal(e)
    finally:
        # Not gathered: who cancels us may do so again and again, and a query that is being cancelled
        # must not be cut off in that, or its connection is lost.
        upcoming.cancel()
        await asyncio.wait({upcoming})


def _render(event: RecordedEvent) -> bytes:
    event_type = _LINE_ENDS.sub(" ", event.event_type)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (
        event.number,
        event_type.encode(),
        _encode(make_item(event)),
    )


def _render_refusal(error: EmberkeepError) -> bytes:
    document = {"code": error.code, "detail": error.message}
    return b"event: $ended\ndata: %b\n\n" % _encode(document)


def _parse_id(text: str) -> int:
    if _NUMBER.fullmatch(text) is None or int(text) > LAST_VERSION:
        message = "is not the id of an event"
        raise ReadInvalid(
            "the tail cannot go on from there", (FieldError("Last-Event-ID", message),)
        )
    return int(text)
