"""The end of a stream: closed, with its events in `$all`; or erased for good, where that is allowed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from emberkeep.base.db import Connection, transaction
from emberkeep.base.errors import EmberkeepError
from emberkeep.events.model import (
    ALL_STREAMS,
    ErasureForbidden,
    Expected,
    ExpectedVersion,
    ReadInvalid,
    Snapshot,
    SnapshotUnknown,
    StreamDeleted,
    StreamId,
    StreamUnknown,
    WrongExpectedVersion,
)
from emberkeep.events.service import (
    append_to_streams,
    delete_stream,
    erase_stream,
    link_to_stream,
    read_all_backward,
    read_all_forward,
    read_snapshot,
    read_stream_backward,
    read_stream_forward,
    read_stream_info,
    record_snapshot,
    refusals,
)
from tests.claiming import await_waiter
from tests.eventing import NOW, append, list_places, make_append, read_places

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

S = StreamId("s")


async def delete(
    conn: Connection, stream: str = S, *, expected: ExpectedVersion = Expected.ANY
) -> int:
    """Delete a stream; return its last version."""
    return await delete_stream(
        conn, stream_id=StreamId(stream), expected_version=expected, actor="test", now=NOW
    )


async def erase(
    conn: Connection,
    stream: str = S,
    *,
    expected: ExpectedVersion = Expected.ANY,
    is_allowed: bool = True,
) -> int:
    """Erase a stream; return how many events went."""
    return await erase_stream(
        conn,
        stream_id=StreamId(stream),
        is_allowed=is_allowed,
        expected_version=expected,
        actor="test",
        now=NOW,
    )


async def link(conn: Connection, stream: str, *event_ids: int) -> int:
    """Link events into a stream; return its version."""
    return await link_to_stream(conn, stream_id=StreamId(stream), event_ids=event_ids, now=NOW)


async def append_the_cheap_way(conn: Connection) -> None:
    with refusals():
        await append_to_streams(conn, appends=[make_append("s")], now=NOW)


USES: dict[str, Callable[[Connection], Awaitable[Any]]] = {
    "append": lambda conn: append(conn, "s"),
    "append where it is": lambda conn: append(conn, "s", expected=3),
    "append anew": lambda conn: append(conn, "s", expected=Expected.NO_STREAM),
    "append the cheap way": append_the_cheap_way,
    "read forward": lambda conn: read_stream_forward(conn, stream_id=S),
    "read backward": lambda conn: read_stream_backward(conn, stream_id=S),
    "link": lambda conn: link(conn, "s", 4),
    "delete": delete,
}
ENDS = {"deleted": delete, "erased": erase}

# Deleted


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("end", ENDS)
async def test_a_stream_that_has_ended_says_so_whatever_is_asked(
    conn: Connection, end: str, use: str
) -> None:
    await append(conn, "s", 3)
    await append(conn, "t")
    await ENDS[end](conn)
    with pytest.raises(StreamDeleted):
        await USES[use](conn)
    assert (await read_stream_info(conn, stream_id=S)).stream_version == 3


async def test_a_deletion_answers_the_last_version(conn: Connection) -> None:
    await append(conn, "s", 3)
    assert await delete(conn) == 3


async def test_all_streams_still_hold_the_events_of_a_deleted_one(conn: Connection) -> None:
    await append(conn, "s", 2)
    await append(conn, "t")
    await delete(conn)
    assert await read_places(conn) == [("s", 1), ("s", 2), ("t", 1)]
    backward = list_places(await read_all_backward(conn))
    assert backward == [("t", 1), ("s", 2), ("s", 1)]


async def test_links_to_the_events_of_a_deleted_stream_stay(conn: Connection) -> None:
    await append(conn, "s", 2)
    await link(conn, "links", 2)
    await delete(conn)
    events = await read_stream_forward(conn, stream_id=StreamId("links"))
    assert list_places(events) == [("s", 2)]


async def test_a_deletion_stands_in_what_is_known_of_the_stream(conn: Connection) -> None:
    await append(conn, "s")
    await delete(conn)
    info = await read_stream_info(conn, stream_id=S)
    assert (info.stream_version, info.deleted_at, info.erased_at) == (1, NOW, None)
    who = await conn.execute("select deleted_by from event_store.event_streams")
    assert await who.fetchone() == ("test",)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("stream", ["never", ALL_STREAMS, "$other"])
async def test_a_stream_that_was_never_written_has_no_end(
    conn: Connection, stream: str, end: str
) -> None:
    await append(conn, "s")
    with pytest.raises(StreamUnknown):
        await ENDS[end](conn, stream)
    assert await read_places(conn) == [("s", 1)]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("expected", "told"), [(Expected.NO_STREAM, 0), (0, 0), (2, 2), (4, 4), (2**63 - 1, 2**63 - 1)]
)
async def test_an_end_expects_a_version_as_an_append_does(
    conn: Connection, end: str, expected: ExpectedVersion, told: int
) -> None:
    await append(conn, "s", 3)
    with pytest.raises(WrongExpectedVersion) as refusal:
        await ENDS[end](conn, expected=expected)
    assert refusal.value.facts == {"expected": told, "actual": 3}
    assert len(await read_stream_forward(conn, stream_id=S)) == 3
    await ENDS[end](conn, expected=3)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("expected", [-1, 2**63, -(2**63) - 1])
async def test_an_end_cannot_expect_what_no_stream_can_have(
    conn: Connection, end: str, expected: int
) -> None:
    await append(conn, "s")
    with pytest.raises(EmberkeepError) as refusal:
        await ENDS[end](conn, expected=expected)
    assert refusal.value.code in {"events.append_invalid", "events.read_invalid"}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("stream", ["", "x" * 10_240, "a\0b", "\ud83d"])
async def test_an_end_of_what_is_no_stream_is_refused(
    conn: Connection, stream: str, end: str
) -> None:
    with pytest.raises(ReadInvalid) as refusal:
        await ENDS[end](conn, stream)
    assert [error.path for error in refusal.value.errors] == ["stream_id"]


@pytest.mark.parametrize("end", ENDS)
async def test_an_append_that_waits_for_the_end_is_told_of_it(
    dsn: str, conn: Connection, other: Connection, end: str
) -> None:
    await append(conn, "s")
    async with transaction(conn):
        await ENDS[end](conn)
        rival = asyncio.create_task(append(other, "s"))
        await await_waiter(dsn)
    with pytest.raises(StreamDeleted):
        await rival


@pytest.mark.parametrize("end", ENDS)
async def test_an_end_waits_for_an_append_and_takes_its_events_in(
    dsn: str, conn: Connection, other: Connection, end: str
) -> None:
    await append(conn, "s")
    async with transaction(conn):
        await append(conn, "s", 2)
        rival = asyncio.create_task(ENDS[end](other))
        await await_waiter(dsn)
    assert await rival == 3
    assert (await read_stream_info(conn, stream_id=S)).stream_version == 3


# Erased


async def test_events_are_not_erased_unless_the_configuration_allows_it(conn: Connection) -> None:
    await append(conn, "s", 2)
    with pytest.raises(ErasureForbidden):
        await erase(conn, is_allowed=False)
    assert len(await read_stream_forward(conn, stream_id=S)) == 2


async def test_an_erasure_leaves_gaps_and_moves_nothing_in_all_streams(conn: Connection) -> None:
    await append(conn, "s", 2)
    await append(conn, "t")
    await append(conn, "s")
    await append(conn, "t")
    assert await erase(conn) == 3
    events = await read_all_forward(conn)
    assert [(event.event_id, event.stream_id) for event in events] == [(3, "t"), (5, "t")]
    assert [event.event_id for event in await read_all_backward(conn)] == [5, 3]


async def test_nothing_of_an_erased_event_is_left_in_the_tables(conn: Connection) -> None:
    await append(conn, "s", 2)
    await link(conn, "links", 2)
    snapshot = Snapshot(
        source_id="s", source_version=2, source_type="State", data="secret", created_at=NOW
    )
    await record_snapshot(conn, snapshot=snapshot)
    await erase(conn)
    with pytest.raises(SnapshotUnknown):
        await read_snapshot(conn, source_id="s")
    rows = await conn.execute(
        "select (select count(*) from event_store.events),"
        " (select count(*) from event_store.event_links)"
    )
    assert await rows.fetchone() == (0, 0)


async def test_a_deleted_stream_can_be_erased_and_keeps_the_day_of_its_deletion(
    conn: Connection,
) -> None:
    await append(conn, "s", 2)
    await delete(conn)
    assert await erase(conn) == 2
    info = await read_stream_info(conn, stream_id=S)
    assert (info.stream_version, info.deleted_at, info.erased_at) == (2, NOW, NOW)


async def test_erasing_again_finds_nothing(conn: Connection) -> None:
    await append(conn, "s", 2)
    await erase(conn)
    assert await erase(conn) == 0


async def test_links_to_erased_events_go_and_their_streams_still_verify(conn: Connection) -> None:
    await append(conn, "s", 2)
    await append(conn, "t")
    await link(conn, "links", 1, 3, 2)
    await erase(conn)
    links = StreamId("links")
    events = await read_stream_forward(conn, stream_id=links)
    assert [(event.number, event.stream_id) for event in events] == [(2, "t")]
    assert (await read_stream_info(conn, stream_id=links)).stream_version == 3
    assert (await append(conn, "links", expected=3)).first_version == 4
    # What the fixture verifies afterwards.


async def test_erasing_a_stream_of_links_leaves_their_origins(conn: Connection) -> None:
    await append(conn, "s", 2)
    await link(conn, "links", 1, 2)
    await append(conn, "links")
    assert await erase(conn, "links") == 1
    assert await read_places(conn) == [("s", 1), ("s", 2)]
    assert await link(conn, "more", 1) == 1


async def test_streams_that_link_each_other_can_both_be_erased(conn: Connection) -> None:
    await append(conn, "s", 2)
    await append(conn, "t", 2)
    await link(conn, "s", 3)
    await link(conn, "t", 1, 2)
    await erase(conn, "s")
    await erase(conn, "t")
    assert await read_places(conn) == []


async def test_an_erasure_that_is_rolled_back_erased_nothing(conn: Connection) -> None:
    await append(conn, "s", 2)
    async with conn.transaction(force_rollback=True):
        await erase(conn)
    assert len(await read_stream_forward(conn, stream_id=S)) == 2


async def test_the_permission_to_erase_ends_with_the_erasure(conn: Connection) -> None:
    await append(conn, "s")
    await append(conn, "t")
    async with conn.transaction(force_rollback=True):
        await erase(conn)
        with pytest.raises(psycopg.errors.RestrictViolation):
            await conn.execute("delete from event_store.events")
    assert len(await read_places(conn)) == 2


async def test_the_name_of_an_erased_stream_is_never_given_again(conn: Connection) -> None:
    await append(conn, "s", 2)
    await erase(conn)
    for expected in (Expected.ANY, Expected.NO_STREAM, 0, 2):
        with pytest.raises(StreamDeleted):
            await append(conn, "s", expected=expected)
