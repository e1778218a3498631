"""Read: a stream or all of them, from any place, in either direction, a page at a time."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from emberkeep.base.db import Connection, Database, connect, transaction
from emberkeep.events.model import (
    ALL_STREAMS,
    LAST_VERSION,
    Direction,
    OrderUnknown,
    ReadInvalid,
    RecordedEvent,
    StreamDeleted,
    StreamId,
    StreamUnknown,
)
from emberkeep.events.service import (
    Upcasters,
    append_to_stream,
    delete_stream,
    find_next_start,
    iterate_events,
    make_event,
    read_all_backward,
    read_all_forward,
    read_horizon,
    read_page,
    read_stream_backward,
    read_stream_forward,
    stream_causes,
)
from tests.eventing import NOW, append, list_places

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

S = StreamId("s")
FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD


def list_numbers(events: Sequence[RecordedEvent]) -> list[int]:
    return [event.number for event in events]


async def append_two_streams(conn: Connection) -> None:
    """Append s 1-2, then t 1-2, then s 3-5."""
    await append(conn, "s", 2)
    await append(conn, "t", 2)
    await append(conn, "s", 3)


ALL = [("s", 1), ("s", 2), ("t", 1), ("t", 2), ("s", 3), ("s", 4), ("s", 5)]

# One stream


@pytest.mark.parametrize(
    ("start", "count", "versions"),
    [
        (0, 9, [1, 2, 3, 4, 5]),
        (1, 9, [1, 2, 3, 4, 5]),
        (1, 2, [1, 2]),
        (2, 2, [2, 3]),
        (5, 9, [5]),
        (6, 9, []),
        (LAST_VERSION, 9, []),
    ],
)
async def test_a_stream_is_read_from_a_version_on(
    conn: Connection, start: int, count: int, versions: list[int]
) -> None:
    await append_two_streams(conn)
    events = await read_stream_forward(conn, stream_id=S, start_version=start, max_count=count)
    assert list_places(events) == [("s", version) for version in versions]
    assert list_numbers(events) == versions


@pytest.mark.parametrize(
    ("start", "count", "versions"),
    [
        (LAST_VERSION, 9, [5, 4, 3, 2, 1]),
        (LAST_VERSION, 2, [5, 4]),
        (5, 2, [5, 4]),
        (4, 2, [4, 3]),
        (1, 9, [1]),
        (0, 9, []),
    ],
)
async def test_a_stream_is_read_from_a_version_back(
    conn: Connection, start: int, count: int, versions: list[int]
) -> None:
    await append_two_streams(conn)
    events = await read_stream_backward(conn, stream_id=S, start_version=start, max_count=count)
    assert list_numbers(events) == versions


async def test_a_read_begins_at_the_end_it_is_read_from(conn: Connection) -> None:
    await append_two_streams(conn)
    assert list_numbers(await read_stream_forward(conn, stream_id=S)) == [1, 2, 3, 4, 5]
    assert list_numbers(await read_stream_backward(conn, stream_id=S)) == [5, 4, 3, 2, 1]
    assert list_places(await read_all_forward(conn)) == ALL
    assert list_places(await read_all_backward(conn)) == ALL[::-1]


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("stream_id", ["never", "S", "s ", "$other"])
async def test_a_stream_that_was_never_written_is_unknown(
    conn: Connection, stream_id: str, direction: Direction
) -> None:
    await append(conn, "s")
    with pytest.raises(StreamUnknown):
        await read_page(
            conn, stream_id=StreamId(stream_id), start=1, direction=direction, max_count=1
        )


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"stream_id": ""}, "stream_id"),
        ({"stream_id": "x" * 10_240}, "stream_id"),
        ({"stream_id": "a\0b"}, "stream_id"),
        ({"stream_id": "\ud83d"}, "stream_id"),
        ({"start": -1}, "from"),
        ({"start": 2**63}, "from"),
        ({"max_count": 0}, "limit"),
        ({"max_count": -1}, "limit"),
        ({"max_count": 10_001}, "limit"),
        ({"stream_id": ALL_STREAMS, "start": -1}, "from"),
        ({"stream_id": ALL_STREAMS, "start": 2**63}, "from"),
        ({"stream_id": ALL_STREAMS, "max_count": 0}, "limit"),
    ],
)
async def test_a_read_that_there_cannot_be_is_refused_by_its_path(
    conn: Connection, direction: Direction, changes: dict[str, Any], path: str
) -> None:
    await append(conn, "s")
    asked: dict[str, Any] = {"stream_id": S, "start": 1, "max_count": 1} | changes
    with pytest.raises(ReadInvalid) as refusal:
        await read_page(conn, direction=direction, **asked)
    assert [error.path for error in refusal.value.errors] == [path]


async def test_events_are_shown_in_their_newest_form(conn: Connection) -> None:
    upcasters = Upcasters(
        {("Moved", 1): lambda data: data + 1, ("Moved", 2): lambda data: data * 10}
    )
    await append_to_stream(
        conn,
        stream_id=S,
        events=[make_event("Moved", 1), make_event("Moved", 5, event_version=2)],
        now=NOW,
    )
    for stream_id in (S, ALL_STREAMS):
        shown = await read_page(
            conn,
            stream_id=stream_id,
            start=0,
            direction=FORWARD,
            max_count=9,
            upcasters=upcasters,
        )
        assert [(event.event_version, event.data) for event in shown] == [(3, 20), (3, 50)]
    kept = await read_stream_forward(conn, stream_id=S)
    assert [(event.event_version, event.data) for event in kept] == [(1, 1), (2, 5)]


# All streams


@pytest.mark.parametrize(
    ("after", "count", "places"),
    [(0, 9, ALL), (0, 3, ALL[:3]), (2, 3, ALL[2:5]), (6, 9, ALL[6:]), (7, 9, []), (99, 9, [])],
)
async def test_all_streams_are_read_after_a_position_in_the_order_of_writing(
    conn: Connection, after: int, count: int, places: list[tuple[str, int]]
) -> None:
    await append_two_streams(conn)
    events = await read_all_forward(conn, after_event_id=after, max_count=count)
    assert list_places(events) == places
    assert list_numbers(events) == [event.event_id for event in events]


@pytest.mark.parametrize(
    ("before", "count", "places"),
    [
        (LAST_VERSION, 9, ALL[::-1]),
        (8, 2, [("s", 5), ("s", 4)]),
        (5, 2, [("t", 2), ("t", 1)]),
        (2, 9, [("s", 1)]),
        (1, 9, []),
        (0, 9, []),
    ],
)
async def test_all_streams_are_read_before_a_position_newest_first(
    conn: Connection, before: int, count: int, places: list[tuple[str, int]]
) -> None:
    await append_two_streams(conn)
    events = await read_all_backward(conn, before_event_id=before, max_count=count)
    assert list_places(events) == places


async def test_a_store_without_an_event_is_empty_in_both_directions(conn: Connection) -> None:
    assert await read_all_forward(conn) == []
    assert await read_all_backward(conn) == []
    horizon = await read_horizon(conn)
    assert (horizon.event_id, horizon.last_event_id, horizon.is_waiting) == (0, 0, False)


@pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
async def test_all_streams_are_not_read_in_a_transaction_that_keeps_one_snapshot(
    dsn: str, conn: Connection, level: psycopg.IsolationLevel
) -> None:
    await append(conn, "s")
    async with await connect(dsn) as reader:
        await reader.set_isolation_level(level)
        for read in (read_all_forward, read_all_backward):
            async with reader.transaction(force_rollback=True):
                with pytest.raises(OrderUnknown):
                    await read(reader)
        async with transaction(reader):
            assert list_numbers(await read_stream_forward(reader, stream_id=S)) == [1]


# Lazy


async def collect(events: AsyncIterator[RecordedEvent]) -> list[tuple[str, int]]:
    return list_places([event async for event in events])


@pytest.mark.parametrize("page_size", [1, 2, 3, 5, 7, 100])
@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("stream_id", [S, ALL_STREAMS])
async def test_an_iteration_yields_every_event_once_whatever_fits_a_page(
    conn: Connection, pool: Database, stream_id: StreamId, direction: Direction, page_size: int
) -> None:
    await append_two_streams(conn)
    places = [place for place in ALL if stream_id in (place[0], ALL_STREAMS)]
    found = iterate_events(pool, stream_id=stream_id, direction=direction, page_size=page_size)
    assert await collect(found) == (places if direction is FORWARD else places[::-1])


@pytest.mark.parametrize(
    ("stream_id", "start", "direction", "places"),
    [
        (S, 4, FORWARD, [("s", 4), ("s", 5)]),
        (S, 2, BACKWARD, [("s", 2), ("s", 1)]),
        (S, 6, FORWARD, []),
        (ALL_STREAMS, 5, FORWARD, [("s", 4), ("s", 5)]),
        (ALL_STREAMS, 3, BACKWARD, [("s", 2), ("s", 1)]),
    ],
)
async def test_an_iteration_begins_where_it_is_told(
    conn: Connection,
    pool: Database,
    stream_id: StreamId,
    start: int,
    direction: Direction,
    places: list[tuple[str, int]],
) -> None:
    await append_two_streams(conn)
    found = iterate_events(pool, stream_id=stream_id, start=start, direction=direction, page_size=1)
    assert await collect(found) == places


async def test_an_iteration_holds_no_connection_between_two_events(
    conn: Connection, pool: Database
) -> None:
    await append(conn, "s", 5)
    seen = 0
    async for _ in iterate_events(pool, stream_id=S, page_size=2):
        async with pool.connection() as lent:  # The only one there is.
            await lent.execute("select 1")
        seen += 1
    assert seen == 5


async def test_an_iteration_can_be_broken_off_early(conn: Connection, pool: Database) -> None:
    await append(conn, "s", 5)
    async with contextlib.aclosing(iterate_events(pool, stream_id=S, page_size=2)) as events:
        async for event in events:
            if event.number == 3:
                break
    async with pool.connection() as lent:
        assert list_numbers(await read_stream_forward(lent, stream_id=S)) == [1, 2, 3, 4, 5]


async def test_nothing_is_read_before_it_is_asked_for(conn: Connection, pool: Database) -> None:
    events = iterate_events(pool, stream_id=S)
    await append(conn, "s")
    assert await collect(events) == [("s", 1)]


@pytest.mark.parametrize("stream_id", [S, ALL_STREAMS])
async def test_an_iteration_goes_on_into_what_is_appended_meanwhile(
    conn: Connection, pool: Database, stream_id: StreamId
) -> None:
    await append(conn, "s", 3)
    places = []
    async for event in iterate_events(pool, stream_id=stream_id, page_size=2):
        places.append((event.stream_id, event.stream_version))
        if event.stream_version == 1:
            await append(conn, "s", 2)
    assert places == [("s", version) for version in range(1, 6)]


async def test_an_iteration_backward_does_not_turn_round_for_what_is_appended_meanwhile(
    conn: Connection, pool: Database
) -> None:
    await append(conn, "s", 3)
    places = []
    async for event in iterate_events(pool, direction=BACKWARD, page_size=1):
        places.append(event.stream_version)
        await append(conn, "s")
    assert places == [3, 2, 1]


async def test_an_iteration_says_so_when_its_stream_is_deleted_meanwhile(
    conn: Connection, pool: Database
) -> None:
    await append(conn, "s", 3)
    events = iterate_events(pool, stream_id=S, page_size=1)
    assert (await anext(events)).number == 1
    await delete_stream(conn, stream_id=S, actor="test", now=NOW)
    with pytest.raises(StreamDeleted):
        await anext(events)


@pytest.mark.parametrize("direction", Direction)
async def test_an_iteration_of_an_unknown_stream_says_so(
    pool: Database, direction: Direction
) -> None:
    with pytest.raises(StreamUnknown):
        await collect(iterate_events(pool, stream_id=S, direction=direction))
    assert await collect(iterate_events(pool, direction=direction)) == []


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("stream_id", [S, ALL_STREAMS])
async def test_pages_join_without_gap_and_without_double(
    conn: Connection, stream_id: StreamId, direction: Direction
) -> None:
    await append_two_streams(conn)
    start = 1 if direction is FORWARD else LAST_VERSION
    if (stream_id, direction) == (ALL_STREAMS, FORWARD):
        start = 0
    places: list[tuple[str, int]] = []
    while page := await read_page(
        conn, stream_id=stream_id, start=start, direction=direction, max_count=2
    ):
        places += list_places(page)
        start = find_next_start(stream_id, page[-1], direction)
    wanted = [place for place in ALL if stream_id in (place[0], ALL_STREAMS)]
    assert places == (wanted if direction is FORWARD else wanted[::-1])


# Causes


async def test_causes_are_streamed_in_order_with_their_streams(conn: Connection) -> None:
    for stream, cause in [("s", "b"), ("t", "a"), ("s", "\N{GRINNING FACE}"), ("t", "B")]:
        event = make_event("Claimed", 1, metadata={"correlation_id": cause})
        await append_to_stream(conn, stream_id=StreamId(stream), events=[event], now=NOW)
    await append(conn, "s")
    async with transaction(conn):
        causes = [pair async for pair in stream_causes(conn, event_type="Claimed")]
    assert causes == [("B", "t"), ("a", "t"), ("b", "s"), ("\N{GRINNING FACE}", "s")]
