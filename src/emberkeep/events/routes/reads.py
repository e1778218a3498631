"""Reading over HTTP: pages of one stream, and of all of them in their common order; and tails."""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from emberkeep.base import page
from emberkeep.base.errors import FieldError
from emberkeep.base.identity import Permission
from emberkeep.events.model import (
    ALL_STREAMS,
    EVERYTHING,
    Category,
    Direction,
    OneStream,
    ReadInvalid,
    Source,
    StreamId,
)
from emberkeep.events.routes.shapes import MAX_NUMBER, EventLimit, StreamPath
from emberkeep.events.routes.tails import LastEventId, open_tail, wants_tail
from emberkeep.events.service.pages import EventPage, read_event_page, read_filtered_page
from emberkeep.events.service.services import EventServices

_READ: Final = {"permission": Permission.READ_EVENTS}
_TAGS: Final = ["events"]

Towards = Annotated[Direction, QueryParameter(description="To newer events, or to older ones.")]
Types = Annotated[
    list[str] | None, QueryParameter(description="Only events of this type; may be repeated.")
]


@get(
    "/v1/streams/{stream_id:str}/events",
    opt=_READ,
    tags=_TAGS,
    summary="Read the events of a stream, or follow it",
)
async def list_stream_events(
    stream_id: StreamPath,
    request: Request[Any, Any, Any],
    events: NamedDependency[EventServices],
    from_: Annotated[
        int | None,
        QueryParameter(
            name="from",
            ge=0,
            le=MAX_NUMBER,
            description="The first version of the page: the `next` of the page before. None: the"
            " first version, or the last one when read backward.",
        ),
    ] = None,
    direction: Towards = Direction.FORWARD,
    limit: EventLimit = page.DEFAULT_ITEMS,
    last_event_id: LastEventId = None,
) -> Response[EventPage]:
    """What is linked into the stream is among them, at the `number` where it stands here.

    With `Accept: text/event-stream` it follows the stream, which need not be there yet: what is
    there `from` a version on, or else what is appended from now on.

    Refusals: `events.stream_unknown` (404), `events.stream_deleted` (409), `events.read_invalid`
    and, of a tail, `events.subscription_invalid` (422).
    """
    name = _require_stream(stream_id)
    if wants_tail(request):
        _refuse_backward(direction)
        tail = await open_tail(
            events,
            OneStream(name),
            after=None if from_ is None else max(from_ - 1, 0),
            last_event_id=last_event_id,
            event_types=None,
        )
        return cast("Response[EventPage]", tail)
    async with events.database.connection() as conn:
        found = await read_event_page(
            conn, stream_id=name, start=from_, direction=direction, limit=limit
        )
    return Response(found)


@get("/v1/events", opt=_READ, tags=_TAGS, summary="Read the events of all streams, or follow them")
async def list_events(
    request: Request[Any, Any, Any],
    events: NamedDependency[EventServices],
    after: Annotated[
        int | None,
        QueryParameter(
            ge=0,
            le=MAX_NUMBER,
            description="The `event_id` that the page begins after, or before when read backward:"
            " the `next` of the page before. None: the beginning, or the end.",
        ),
    ] = None,
    direction: Towards = Direction.FORWARD,
    limit: EventLimit = page.DEFAULT_ITEMS,
    category: Annotated[
        str | None,
        QueryParameter(
            description="Only streams of this category: what stands before the first hyphen."
        ),
    ] = None,
    event_type: Types = None,
    last_event_id: LastEventId = None,
) -> Response[EventPage]:
    """In their common order, up to where it is final: nothing ever appears before an event that was
    read. Ids have gaps, where an append was rolled back or events were erased. A page of a
    `category` or an `event_type` may be short, or empty, while `next` says that more follows.

    With `Accept: text/event-stream` it follows all streams: what is there `after` a position, or
    else what is appended from now on. Each message has the event's id as `id`, its type as `event`
    and the item as `data`; a client that was cut off sends the last `id` as `Last-Event-ID`.

    Refusals: `events.read_invalid` and `events.subscription_invalid` (422).
    """
    source = EVERYTHING if category is None else Category(category)
    event_types = None if event_type is None else tuple(event_type)
    if wants_tail(request):
        _refuse_backward(direction)
        tail = await open_tail(
            events,
            source,
            after=after,
            last_event_id=last_event_id,
            event_types=event_types,
        )
        return cast("Response[EventPage]", tail)
    if source is EVERYTHING and event_types is None:
        async with events.database.connection() as conn:
            found = await read_event_page(
                conn, stream_id=ALL_STREAMS, start=after, direction=direction, limit=limit
            )
    else:
        _refuse_backward(direction)
        found = await _filter(events, source, event_types, after=after or 0, limit=limit)
    return Response(found)


async def _filter(
    events: EventServices,
    source: Source,
    event_types: tuple[str, ...] | None,
    *,
    after: int,
    limit: int,
) -> EventPage:
    async with events.database.connection() as conn:
        return await read_filtered_page(
            conn, source=source, event_types=event_types, after=after, limit=limit
        )


def _require_stream(stream_id: str) -> StreamId:
    if stream_id == ALL_STREAMS:
        message = "is no stream: GET /v1/events reads and follows all of them"
        raise ReadInvalid("the read cannot be answered", (FieldError("stream_id", message),))
    return StreamId(stream_id)


def _refuse_backward(direction: Direction) -> None:
    if direction is Direction.BACKWARD:
        message = "is forward only, for a tail and for a category or an event_type"
        raise ReadInvalid("the read cannot be answered", (FieldError("direction", message),))
