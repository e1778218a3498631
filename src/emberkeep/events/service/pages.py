"""Pages of events, in the one form that HTTP, tails and the command line show them in."""

from __future__ import annotations

import datetime
import uuid
from typing import Final

import msgspec

from emberkeep.base.db import Connection
from emberkeep.events import store
from emberkeep.events.model import (
    ALL_STREAMS,
    DEFAULT_SCHEMA,
    LAST_VERSION,
    Direction,
    RecordedEvent,
    Source,
    StreamId,
)
from emberkeep.events.rules.subscription import check_source
from emberkeep.events.service.reads import find_next_start, read_page
from emberkeep.events.service.scan import scan_source

MAX_ITEMS: Final = 1_000
"""The most events of a page."""


class EventItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event as others see it. Data and metadata are passed on as they are kept, not decoded."""

    number: int
    event_id: int
    event_uuid: uuid.UUID | None
    stream_id: StreamId
    stream_version: int
    event_type: str
    event_version: int
    data: msgspec.Raw
    metadata: msgspec.Raw
    created_at: datetime.datetime


class EventPage(msgspec.Struct, frozen=True):
    """Some events, and where the page after them begins; None where nothing follows."""

    items: tuple[EventItem, ...]
    next: int | None


async def read_event_page(
    conn: Connection,
    *,
    stream_id: StreamId,
    start: int | None = None,
    direction: Direction = Direction.FORWARD,
    limit: int,
    schema: str = DEFAULT_SCHEMA,
) -> EventPage:
    """Return a page of a stream from the version `start`, or of `$all` after that position.

    :param start: None: the beginning, or the end when read backward
    :raises StreamUnknown: when there is no such stream
    :raises StreamDeleted: when it was deleted
    :raises ReadInvalid: when there can be no such stream, version or count
    """
    events = await read_page(
        conn,
        stream_id=stream_id,
        start=_find_first_start(stream_id, direction) if start is None else start,
        direction=direction,
        max_count=limit + 1,
        schema=schema,
    )
    shown = events[:limit]
    has_more = len(events) > limit
    return EventPage(
        tuple(map(make_item, shown)),
        find_next_start(stream_id, shown[-1], direction) if has_more else None,
    )


async def read_filtered_page(
    conn: Connection,
    *,
    source: Source,
    event_types: tuple[str, ...] | None = None,
    after: int = 0,
    limit: int,
    schema: str = DEFAULT_SCHEMA,
) -> EventPage:
    """Return those of the next events that are wanted, in their common order.

    A page looks at no more events than one statement should, so that it may be short, or empty,
    while more follows: `next` says so.

    :raises SubscriptionInvalid: when nothing of this name can be followed
    """
    check_source(source)
    horizon = await store.read_horizon(conn, schema=schema)
    scan = await scan_source(
        conn,
        source=source,
        after=after,
        horizon=horizon.event_id,
        event_types=event_types,
        max_count=limit,
        schema=schema,
    )
    return EventPage(tuple(map(make_item, scan.events)), None if scan.is_end else scan.position)


def make_item(event: RecordedEvent) -> EventItem:
    """Return the event as others see it."""
    return EventItem(
        number=event.number,
        event_id=event.event_id,
        event_uuid=event.event_uuid,
        stream_id=event.stream_id,
        stream_version=event.stream_version,
        event_type=event.event_type,
        event_version=event.event_version,
        data=msgspec.Raw(event.data_json),
        metadata=msgspec.Raw(event.metadata_json or "null"),
        created_at=event.created_at,
    )


def _find_first_start(stream_id: StreamId, direction: Direction) -> int:
    if direction is Direction.BACKWARD:
        return LAST_VERSION
    return 0 if stream_id == ALL_STREAMS else 1
