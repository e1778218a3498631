"""Appending over HTTP: new events, and links to those that are there."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal
from emberkeep.events.model import Appended, StreamId
from emberkeep.events.routes.origin import Traceparent, find_origin
from emberkeep.events.routes.shapes import MAX_NUMBER, Body, ExpectedBody, StreamPath, to_expected
from emberkeep.events.service import append_to_stream, link_to_stream
from emberkeep.events.service.drafts import EventDraft, make_events
from emberkeep.events.service.services import EventServices

_TAGS: Final = ["events"]
_APPEND_ONCE: Final = {"permission": Permission.APPEND_EVENTS, "idempotent": True}


class AppendBody(Body, frozen=True):
    """Events for one stream: all of them are appended, or none."""

    events: tuple[EventDraft, ...]
    expected_version: ExpectedBody = "any"


class LinkBody(Body, frozen=True):
    """Events that are to stand in a further stream, in this order."""

    event_ids: tuple[Annotated[int, msgspec.Meta(ge=1, le=MAX_NUMBER)], ...]
    expected_version: ExpectedBody = "any"


class Linked(msgspec.Struct, frozen=True, kw_only=True):
    """The stream, and its version after the links."""

    stream_id: StreamId
    stream_version: int


@post(
    "/v1/streams/{stream_id:str}/events",
    opt=_APPEND_ONCE,
    tags=_TAGS,
    summary="Append events to a stream",
    responses={
        200: ResponseSpec(
            Appended, description="The events were there already", generate_examples=False
        )
    },
)
async def append_events(
    stream_id: StreamPath,
    data: JSONBody[AppendBody],
    principal: NamedDependency[Principal],
    now: NamedDependency[datetime.datetime],
    request_id: NamedDependency[str],
    keyed_conn: NamedDependency[Connection | None],
    events: NamedDependency[EventServices],
    traceparent: Traceparent = None,
) -> Response[Appended]:
    """The stream comes to be with its first event. `expected_version` is `any`, `no_stream`,
    `stream_exists` or the version of the last event.

    Give each event an `event_uuid` of your own and the call can be repeated after a lost reply: it
    is answered 200 with where the events stand, and nothing is written twice. `Idempotency-Key`
    does the same for events without ids, for 24 hours and at the price of a transaction.

    The caller goes into the metadata as `actor`; `correlation_id` and `traceparent` too, unless the
    event has its own.

    Refusals: `events.wrong_expected_version` (409, with `expected` and `actual`),
    `events.stream_deleted` and `events.duplicate_event_uuid` (409), `events.append_invalid` (422).
    """
    drafts = make_events(
        data.events, find_origin(principal, request_id=request_id, traceparent=traceparent)
    )
    expected = to_expected(data.expected_version)
    if keyed_conn is None:
        # Joined with others that wait: many appends, one round trip.
        appended = await events.desk.append(
            stream_id=StreamId(stream_id), events=drafts, expected_version=expected, now=now
        )
    else:
        appended = await append_to_stream(
            keyed_conn,
            stream_id=StreamId(stream_id),
            events=drafts,
            expected_version=expected,
            now=now,
        )
    return Response(appended, status_code=200 if appended.is_retry else 201)


@post(
    "/v1/streams/{stream_id:str}/links",
    opt=_APPEND_ONCE,
    tags=_TAGS,
    summary="Put events into a further stream",
)
async def link_events(
    stream_id: StreamPath,
    data: JSONBody[LinkBody],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
) -> Linked:
    """An event keeps its own stream, and stands in this one at a version of it too: all of them, or
    none.

    Refusals: `events.event_unknown` (404), `events.duplicate_link`,
    `events.wrong_expected_version` and `events.stream_deleted` (409), `events.append_invalid` (422).
    """
    version = await link_to_stream(
        conn,
        stream_id=StreamId(stream_id),
        event_ids=data.event_ids,
        expected_version=to_expected(data.expected_version),
        now=now,
    )
    return Linked(stream_id=StreamId(stream_id), stream_version=version)
