"""Links: an event that stands in a further stream too, and is still the event it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.db import Connection, transaction
from emberkeep.events.model import (
    ALL_STREAMS,
    AppendInvalid,
    DuplicateLink,
    EventUnknown,
    Expected,
    ExpectedVersion,
    StreamDeleted,
    StreamId,
    StreamUnknown,
    WrongExpectedVersion,
)
from emberkeep.events.service import (
    delete_stream,
    erase_stream,
    link_to_stream,
    read_stream_backward,
    read_stream_forward,
    read_stream_info,
)
from tests.claiming import await_waiter
from tests.eventing import NOW, append, list_places, read_places

if TYPE_CHECKING:
    from collections.abc import Sequence

LINKS = StreamId("links")


async def link(
    conn: Connection,
    *event_ids: int,
    stream: str = LINKS,
    expected: ExpectedVersion = Expected.ANY,
) -> int:
    """Link events into a stream; return its version."""
    return await link_to_stream(
        conn,
        stream_id=StreamId(stream),
        event_ids=event_ids,
        expected_version=expected,
        now=NOW,
    )


async def read_links(conn: Connection) -> list[tuple[int, str, int]]:
    """Return what stands in the stream of links: number, origin, version there."""
    events = await read_stream_forward(conn, stream_id=LINKS)
    return [(event.number, event.stream_id, event.stream_version) for event in events]


async def test_a_linked_event_stands_in_the_stream_and_keeps_the_version_of_its_origin(
    conn: Connection,
) -> None:
    await append(conn, "s", 3)
    assert await link(conn, 2, 3) == 2
    assert await read_links(conn) == [(1, "s", 2), (2, "s", 3)]


async def test_a_linked_event_is_the_very_event(conn: Connection) -> None:
    await append(conn, "s", uuids=[7])
    await link(conn, 1)
    (origin,) = await read_stream_forward(conn, stream_id=StreamId("s"))
    (linked,) = await read_stream_forward(conn, stream_id=LINKS)
    assert linked == origin


async def test_events_are_linked_in_the_order_given(conn: Connection) -> None:
    await append(conn, "s", 2)
    await append(conn, "t", 2)
    assert await link(conn, 4, 1, 3) == 3
    assert await read_links(conn) == [(1, "t", 2), (2, "s", 1), (3, "t", 1)]
    backward = await read_stream_backward(conn, stream_id=LINKS, start_version=2)
    assert [event.number for event in backward] == [2, 1]


async def test_links_and_events_of_its_own_share_the_versions_of_a_stream(
    conn: Connection,
) -> None:
    await append(conn, "s", 2)
    await append(conn, LINKS, 1, expected=0)
    assert await link(conn, 1, 2, expected=1) == 3
    assert (await append(conn, LINKS, 1, expected=3)).first_version == 4
    assert await read_links(conn) == [(1, LINKS, 1), (2, "s", 1), (3, "s", 2), (4, LINKS, 4)]
    assert (await read_stream_info(conn, stream_id=LINKS)).stream_version == 4


async def test_all_streams_show_an_event_once_however_often_it_is_linked(
    conn: Connection,
) -> None:
    await append(conn, "s", 2)
    await link(conn, 1, 2)
    await link(conn, 2, stream="more")
    assert await read_places(conn) == [("s", 1), ("s", 2)]


async def test_a_linked_event_can_be_linked_on(conn: Connection) -> None:
    await append(conn, "s")
    await link(conn, 1, stream="first")
    await link(conn, 1)
    assert await read_links(conn) == [(1, "s", 1)]


@pytest.mark.parametrize("event_ids", [[1], [2, 1], [3, 3]])
async def test_an_event_stands_once_in_a_stream_and_a_refusal_links_nothing(
    conn: Connection, event_ids: Sequence[int]
) -> None:
    await append(conn, "s", 3)
    await link(conn, 1)
    with pytest.raises(DuplicateLink):
        await link(conn, *event_ids)
    assert await read_links(conn) == [(1, "s", 1)]


async def test_an_event_is_not_linked_into_the_stream_it_was_written_to(conn: Connection) -> None:
    await append(conn, "s", 2)
    with pytest.raises(DuplicateLink):
        await link(conn, 1, stream="s")
    assert (await read_stream_info(conn, stream_id=StreamId("s"))).stream_version == 2


async def test_an_event_that_is_not_there_is_named_and_nothing_is_linked(conn: Connection) -> None:
    await append(conn, "s")
    with pytest.raises(EventUnknown) as refusal:
        await link(conn, 1, 9, 8)
    assert refusal.value.facts == {"event_id": 8}
    with pytest.raises(StreamUnknown):
        await read_links(conn)


async def test_an_event_that_is_not_committed_cannot_be_linked(
    conn: Connection, other: Connection
) -> None:
    async with transaction(conn):
        await append(conn, "s")
        with pytest.raises(EventUnknown):
            await link(other, 1)
        assert await link(conn, 1) == 1


@pytest.mark.parametrize(
    ("expected", "told", "actual"),
    [
        (Expected.NO_STREAM, 0, 1),
        (Expected.STREAM_EXISTS, "stream_exists", 0),
        (0, 0, 1),
        (2, 2, 1),
        (1, 1, 0),
    ],
)
async def test_a_link_expects_a_version_as_an_append_does(
    conn: Connection, expected: ExpectedVersion, told: object, actual: int
) -> None:
    await append(conn, "s", 2)
    if actual:
        await link(conn, 1)
    with pytest.raises(WrongExpectedVersion) as refusal:
        await link(conn, 2, expected=expected)
    assert refusal.value.facts == {"expected": told, "actual": actual}


async def test_a_deleted_stream_takes_no_links_but_its_events_can_be_linked(
    conn: Connection,
) -> None:
    await append(conn, "s", 2)
    await link(conn, 1)
    await delete_stream(conn, stream_id=LINKS, actor="test", now=NOW)
    with pytest.raises(StreamDeleted):
        await link(conn, 2)
    await delete_stream(conn, stream_id=StreamId("s"), actor="test", now=NOW)
    assert await link(conn, 2, stream="more") == 1
    more = await read_stream_forward(conn, stream_id=StreamId("more"))
    assert list_places(more) == [("s", 2)]


@pytest.mark.parametrize("stream", ["", "x" * 10_240, "a\0b", "\ud83d", ALL_STREAMS])
async def test_a_link_into_what_is_no_stream_is_refused(conn: Connection, stream: str) -> None:
    await append(conn, "s")
    with pytest.raises(AppendInvalid) as refusal:
        await link(conn, 1, stream=stream)
    assert [error.path for error in refusal.value.errors] == ["stream_id"]


@pytest.mark.parametrize("event_ids", [[], [0], [-1], [2**63]])
async def test_a_link_to_what_is_no_event_is_refused(
    conn: Connection, event_ids: Sequence[int]
) -> None:
    with pytest.raises(AppendInvalid) as refusal:
        await link(conn, *event_ids)
    assert [error.path for error in refusal.value.errors] == ["event_ids"]


async def test_of_two_who_link_the_same_event_at_once_one_is_told(
    dsn: str, conn: Connection, other: Connection
) -> None:
    await append(conn, "s")
    async with transaction(conn):
        await link(conn, 1)
        rival = asyncio.create_task(link(other, 1))
        await await_waiter(dsn)
    with pytest.raises(DuplicateLink):
        await rival


async def test_a_link_to_an_event_that_is_being_erased_is_refused(
    conn: Connection, other: Connection
) -> None:
    await append(conn, "s", 2)
    async with transaction(conn):
        await erase_stream(conn, stream_id=StreamId("s"), is_allowed=True, actor="test", now=NOW)
        rival = asyncio.create_task(link(other, 1))
        await asyncio.wait({rival}, timeout=0.2)
    with pytest.raises(EventUnknown):
        await rival


async def test_a_link_that_comes_before_the_erasure_goes_with_it(
    conn: Connection, other: Connection
) -> None:
    await append(conn, "s", 2)
    async with transaction(conn):
        await link(conn, 1)
        erasure = asyncio.create_task(
            erase_stream(other, stream_id=StreamId("s"), is_allowed=True, actor="test", now=NOW)
        )
        await asyncio.wait({erasure}, timeout=0.2)
    assert await erasure == 2
    assert await read_links(conn) == []
