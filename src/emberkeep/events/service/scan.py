"""Where to begin, and what follows a position, whatever is followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, assert_never

from emberkeep.base import clock
from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.events import store
from emberkeep.events.model import (
    AllStreams,
    Category,
    OneStream,
    RecordedEvent,
    Source,
    Start,
    StartFrom,
    SubscriptionInvalid,
    SubscriptionPlan,
)
from emberkeep.events.rules import subscription as rules
from emberkeep.events.rules.progress import Position

# Where only some events are wanted, one statement looks at no more positions than these.
_WINDOW: Final = 20_000


class Scan(NamedTuple):
    """Events in order, the number to go on after, and whether that is the present end."""

    events: list[RecordedEvent]
    position: int
    is_end: bool


async def scan_source(
    conn: Connection,
    *,
    source: Source,
    after: int,
    horizon: int,
    event_types: Sequence[str] | None,
    max_count: int,
    schema: str,
) -> Scan:
    """Return events after a number, at most so many.

    :param horizon: read before this call, in an earlier statement
    :raises StreamDeleted: when the one stream that is followed was deleted
    """
    match source:
        case OneStream(stream_id):
            events = await store.scan_stream(
                conn,
                stream_id=stream_id,
                after_version=after,
                event_types=event_types,
                max_count=max_count,
                schema=schema,
            )
            position = events[-1].number if events else after
            return Scan(events, position, len(events) < max_count)
        case AllStreams() | Category():
            category = source.name if isinstance(source, Category) else None
        case _:
            assert_never(source)
    # Never past the last event that is there: positions that were handed out and rolled back may be
    # handed out again after a crash of the server, which has not kept that they were.
    first, last = await store.find_bounds(
        conn, after_event_id=after, through_event_id=horizon, schema=schema
    )
    if first is None or last is None:
        return Scan([], after, is_end=True)
    is_filtered = category is not None or event_types is not None
    through = min(last, first - 1 + _WINDOW) if is_filtered else last
    events = await store.scan_events(
        conn,
        after_event_id=after,
        through_event_id=through,
        category=category,
        event_types=event_types,
        max_count=max_count,
        schema=schema,
    )
    if len(events) == max_count:
        return Scan(events, events[-1].number, is_end=False)
    return Scan(events, through, through == last)


async def find_start(conn: Connection, *, source: Source, start: Start, schema: str) -> Position:
    """Return where `start` lies in what is followed.

    :raises SubscriptionInvalid: when nothing stands there yet: what comes before it would be lost
    """
    if start is StartFrom.ORIGIN:
        return Position(0, 0)
    end = await find_end(conn, source=source, schema=schema)
    match start:
        case StartFrom.CURRENT:
            return end
        case number:
            is_stream = isinstance(source, OneStream)
            last = end.stream_version if is_stream else end.event_id
            if number > last:
                raise SubscriptionInvalid(
                    "a subscription cannot begin in the future",
                    (FieldError("after", f"lies after the present end, which is {last:,}"),),
                )
            return Position(0, number) if is_stream else Position(number, 0)


async def find_end(conn: Connection, *, source: Source, schema: str) -> Position:
    """Return the present end of what is followed."""
    horizon = await store.read_horizon(conn, schema=schema)
    _, last = await store.find_bounds(
        conn, after_event_id=0, through_event_id=horizon.event_id, schema=schema
    )
    if not isinstance(source, OneStream):
        return Position(last or 0, 0)
    info = await store.read_stream_info(conn, stream_id=source.stream_id, schema=schema)
    return Position(last or 0, 0 if info is None else info.stream_version)


async def ensure_subscription(conn: Connection, *, plan: SubscriptionPlan, schema: str) -> int:
    """Begin the subscription unless it is there; return into how many partitions it falls.

    :raises SubscriptionInvalid: when it would begin in the future
    """
    start = await find_start(conn, source=plan.source, start=plan.start_from, schema=schema)
    return await store.create_subscription(
        conn,
        subscription_id=plan.subscription_id,
        stream_id=rules.name_source(plan.source),
        start_event_id=start.event_id,
        start_stream_version=start.stream_version,
        concurrency_limit=plan.concurrency_limit,
        now=clock.read_now(),
        schema=schema,
    )
