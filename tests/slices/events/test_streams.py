"""What is known of streams: one by name, or a list of them in any order, page by page."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.errors import EmberkeepError, Invalid
from emberkeep.base.page import CursorInvalid, encode_cursor
from emberkeep.events.model import (
    ALL_STREAMS,
    ReadInvalid,
    StreamId,
    StreamInfo,
    StreamSort,
    StreamUnknown,
)
from emberkeep.events.service import (
    append_to_stream,
    delete_stream,
    paginate_streams,
    read_stream_info,
)
from emberkeep.events.service.streams import _StreamCursor
from tests.eventing import NOW, append, make_events

if TYPE_CHECKING:
    from emberkeep.base.db import Connection

HOUR = datetime.timedelta(hours=1)
S = StreamId("s")


async def append_at(conn: Connection, stream: str, count: int, hour: int) -> None:
    """Append so many events so many hours after noon."""
    await append_to_stream(
        conn, stream_id=StreamId(stream), events=make_events(count), now=NOW + hour * HOUR
    )


async def append_streams(conn: Connection) -> None:
    """Append to four streams, so that every order of them is another."""
    await append_at(conn, "b", 3, 1)
    await append_at(conn, "d", 1, 2)
    await append_at(conn, "a", 2, 3)
    await append_at(conn, "c", 4, 4)
    await append_at(conn, "d", 4, 5)
    await append_at(conn, "a", 4, 6)


# One


async def test_a_stream_is_known_by_its_version_and_its_first_and_last_append(
    conn: Connection,
) -> None:
    await append_at(conn, "s", 2, 0)
    await append_at(conn, "s", 1, 1)
    assert await read_stream_info(conn, stream_id=S) == StreamInfo(
        stream_id=S,
        stream_version=3,
        created_at=NOW,
        updated_at=NOW + HOUR,
        deleted_at=None,
        erased_at=None,
    )


@pytest.mark.parametrize("stream", ["never", "S", ALL_STREAMS])
async def test_nothing_is_known_of_a_stream_that_was_never_written(
    conn: Connection, stream: str
) -> None:
    await append(conn, "s")
    with pytest.raises(StreamUnknown):
        await read_stream_info(conn, stream_id=StreamId(stream))


@pytest.mark.parametrize("stream", ["", "x" * 10_240, "a\0b", "\ud83d"])
async def test_nothing_is_known_of_what_is_no_stream(conn: Connection, stream: str) -> None:
    with pytest.raises(ReadInvalid):
        await read_stream_info(conn, stream_id=StreamId(stream))


# Lists

ORDERS = {
    StreamSort.STREAM_ID: "abcd",
    StreamSort.STREAM_VERSION: "bcda",
    StreamSort.CREATED_AT: "bdac",
    StreamSort.UPDATED_AT: "bcda",
}


async def list_streams(
    conn: Connection,
    *,
    limit: int,
    sort_by: StreamSort = StreamSort.STREAM_ID,
    is_descending: bool = False,
    search: str | None = None,
) -> list[str]:
    """Return the names on all pages, one page after the other."""
    names: list[str] = []
    after = None
    while True:
        page = await paginate_streams(
            conn,
            search=search,
            sort_by=sort_by,
            is_descending=is_descending,
            after=after,
            limit=limit,
        )
        assert len(page.items) <= limit
        names += [info.stream_id for info in page.items]
        after = page.next
        if after is None:
            return names


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 50])
@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("sort_by", StreamSort)
async def test_every_stream_is_listed_once_in_the_order_asked_for(
    conn: Connection, sort_by: StreamSort, is_descending: bool, limit: int
) -> None:
    await append_streams(conn)
    names = await list_streams(conn, sort_by=sort_by, is_descending=is_descending, limit=limit)
    assert names == list(ORDERS[sort_by])[:: -1 if is_descending else 1]


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("sort_by", StreamSort)
async def test_streams_of_the_same_rank_are_in_the_order_of_their_names(
    conn: Connection, sort_by: StreamSort, is_descending: bool
) -> None:
    for name in "cabed":
        await append(conn, name)
    names = await list_streams(conn, sort_by=sort_by, is_descending=is_descending, limit=2)
    assert names == list("abcde")[:: -1 if is_descending else 1]


async def test_a_list_goes_on_after_its_cursor_whatever_was_added_before_it(
    conn: Connection,
) -> None:
    for name in "bdf":
        await append(conn, name)
    page = await paginate_streams(conn, limit=2)
    for name in "ace":
        await append(conn, name)
    rest = await paginate_streams(conn, limit=9, after=page.next)
    assert [info.stream_id for info in page.items] == ["b", "d"]
    assert [info.stream_id for info in rest.items] == ["e", "f"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("player", ["my-player", "player-1", "player-2"]),
        ("player-", ["player-1", "player-2"]),
        ("-1", ["player-1"]),
        ("%", ["100%"]),
        ("_", ["a_b"]),
        ("\\", ["back\\slash"]),
        ("PLAYER", []),
        ("it's", []),
        ("", ["100%", "a_b", "axb", "back\\slash", "my-player", "player-1", "player-2"]),
    ],
)
async def test_a_search_finds_names_that_hold_the_very_text(
    conn: Connection, search: str, found: list[str]
) -> None:
    for name in ["player-2", "player-1", "my-player", "100%", "a_b", "axb", "back\\slash"]:
        await append(conn, name)
    assert sorted(await list_streams(conn, search=search, limit=2)) == found


async def test_a_deleted_stream_is_listed_as_such(conn: Connection) -> None:
    await append(conn, "s")
    await delete_stream(conn, stream_id=S, actor="test", now=NOW)
    page = await paginate_streams(conn)
    assert [(info.stream_id, info.deleted_at) for info in page.items] == [("s", NOW)]


async def test_a_store_without_a_stream_has_an_empty_list(conn: Connection) -> None:
    page = await paginate_streams(conn)
    assert (page.items, page.next) == ((), None)


@pytest.mark.parametrize("cursor", ["", "nonsense", "e30", "W10", "WyJhIl0", "x" * 10_000])
@pytest.mark.parametrize("sort_by", StreamSort)
async def test_what_is_no_cursor_is_refused(
    conn: Connection, sort_by: StreamSort, cursor: str
) -> None:
    with pytest.raises(CursorInvalid):
        await paginate_streams(conn, sort_by=sort_by, after=cursor)


@pytest.mark.parametrize(
    ("sort_by", "value"),
    [
        (StreamSort.STREAM_VERSION, "a"),
        (StreamSort.STREAM_VERSION, "1.5"),
        (StreamSort.STREAM_VERSION, str(2**63)),
        (StreamSort.STREAM_VERSION, "\N{ARABIC-INDIC DIGIT ONE}"),
        (StreamSort.STREAM_VERSION, ""),
        (StreamSort.CREATED_AT, "17"),
        (StreamSort.CREATED_AT, "yesterday"),
        (StreamSort.UPDATED_AT, ""),
        (StreamSort.UPDATED_AT, "2026-W01-1"),
        (StreamSort.STREAM_ID, "a\0b"),
    ],
)
async def test_the_cursor_of_another_list_is_refused(
    conn: Connection, sort_by: StreamSort, value: str
) -> None:
    cursor = encode_cursor(_StreamCursor(value, S))
    with pytest.raises(Invalid):
        await paginate_streams(conn, sort_by=sort_by, after=cursor)


@pytest.mark.parametrize("stream", ["a\0b", ""])
async def test_a_cursor_that_names_no_stream_is_refused(conn: Connection, stream: str) -> None:
    cursor = encode_cursor(_StreamCursor("1", StreamId(stream)))
    with pytest.raises(Invalid):
        await paginate_streams(conn, sort_by=StreamSort.STREAM_VERSION, after=cursor)


@pytest.mark.parametrize("stream", ["x" * 512, "\N{GRINNING FACE}" * 512])
@pytest.mark.parametrize("sort_by", StreamSort)
async def test_a_list_goes_on_after_the_longest_name(
    conn: Connection, sort_by: StreamSort, stream: str
) -> None:
    await append(conn, stream)
    await append(conn, stream[:-1] + "\N{SMILING FACE WITH OPEN MOUTH}")
    names = await list_streams(conn, sort_by=sort_by, limit=1)
    assert len(names) == 2


@pytest.mark.parametrize("search", ["a\0b", "\ud83d"])
async def test_a_search_for_what_no_name_can_hold_is_refused_or_finds_nothing(
    conn: Connection, search: str
) -> None:
    await append(conn, "s")
    try:
        assert await list_streams(conn, search=search, limit=9) == []
    except EmberkeepError as e:
        assert isinstance(e, Invalid)  # noqa: PT017
