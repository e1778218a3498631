"""Following the store for a while: what is there, then what comes, without a gap or a double."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.db import Connection, connect
from emberkeep.events.model import (
    EVERYTHING,
    Append,
    Category,
    Expected,
    OneStream,
    RecordedEvent,
    Source,
    StreamDeleted,
    StreamId,
    SubscriptionInvalid,
)
from emberkeep.events.service import (
    append_batch,
    delete_stream,
    link_to_stream,
    make_event,
    read_all_forward,
)
from emberkeep.events.service.tails import begin_tail
from tests.eventing import NOW, append, list_places
from tests.following import PATIENCE_S, open_hub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from emberkeep.events.service import SubscriptionHub


@pytest.fixture
async def hub(dsn: str) -> AsyncIterator[SubscriptionHub]:
    """A hub that hears of appends."""
    async with open_hub(dsn) as hub:
        yield hub


async def take(follow: AsyncIterator[RecordedEvent], count: int) -> list[RecordedEvent]:
    """Return the next events, so many."""
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(follow) for _ in range(count)]


async def test_what_is_there_comes_first_and_then_what_is_appended(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 2)
    follow = hub.follow(EVERYTHING, after=0)
    assert list_places(await take(follow, 2)) == [("a-1", 1), ("a-1", 2)]
    await append(conn, "b-1", 1)
    assert list_places(await take(follow, 1)) == [("b-1", 1)]


async def test_from_now_on_means_nothing_from_before(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 3)
    follow = hub.follow(EVERYTHING)
    waiting = asyncio.ensure_future(take(follow, 1))
    await asyncio.sleep(0.2)
    await append(conn, "b-1", 1)
    assert list_places(await waiting) == [("b-1", 1)]


async def test_one_goes_on_after_the_number_of_the_last_event(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1", 3)
    first = await take(hub.follow(EVERYTHING, after=0), 2)
    assert list_places(await take(hub.follow(EVERYTHING, after=first[-1].number), 1)) == [
        ("a-1", 3)
    ]


SOURCES: list[tuple[Source, list[tuple[str, int]]]] = [
    (EVERYTHING, [("a-1", 1), ("b-1", 1), ("a-2", 1)]),
    (Category("a"), [("a-1", 1), ("a-2", 1)]),
    (OneStream(StreamId("b-1")), [("b-1", 1)]),
]


@pytest.mark.parametrize(("source", "places"), SOURCES)
async def test_only_what_belongs_to_the_source_comes(
    hub: SubscriptionHub, conn: Connection, source: Source, places: list[tuple[str, int]]
) -> None:
    for stream in ("a-1", "b-1", "a-2"):
        await append(conn, stream)
    assert list_places(await take(hub.follow(source, after=0), len(places))) == places


async def test_only_the_types_that_are_asked_for_come(
    hub: SubscriptionHub, conn: Connection
) -> None:
    events = tuple(make_event(kind, {}) for kind in ("A", "B", "A", "C"))
    await append_batch(conn, appends=[Append(stream_id=StreamId("s"), events=events)], now=NOW)
    follow = hub.follow(EVERYTHING, after=0, event_types=("C", "B"))
    assert [event.event_type for event in await take(follow, 2)] == ["B", "C"]


async def test_a_rare_event_behind_many_others_is_found(
    hub: SubscriptionHub, conn: Connection
) -> None:
    for _ in range(5):
        await append(conn, "many-1", 9_000)
    await append(conn, "rare-1")
    assert list_places(await take(hub.follow(Category("rare"), after=0), 1)) == [("rare-1", 1)]


async def test_a_stream_that_is_not_there_yet_can_be_followed(
    hub: SubscriptionHub, conn: Connection
) -> None:
    follow = hub.follow(OneStream(StreamId("later")), after=0)
    waiting = asyncio.ensure_future(take(follow, 1))
    await asyncio.sleep(0.1)
    await append(conn, "later", expected=Expected.NO_STREAM)
    assert list_places(await waiting) == [("later", 1)]


async def test_a_link_comes_at_its_place_in_the_stream_that_is_followed(
    hub: SubscriptionHub, conn: Connection
) -> None:
    appended = await append(conn, "a-1", 2)
    follow = hub.follow(OneStream(StreamId("links")), after=0)
    waiting = asyncio.ensure_future(take(follow, 1))
    await asyncio.sleep(0.1)
    await link_to_stream(
        conn, stream_id=StreamId("links"), event_ids=[appended.last_event_id], now=NOW
    )
    (event,) = await waiting
    assert (event.number, event.stream_id, event.stream_version) == (1, "a-1", 2)


async def test_the_end_of_a_stream_ends_who_follows_it(
    hub: SubscriptionHub, conn: Connection
) -> None:
    await append(conn, "a-1")
    follow = hub.follow(OneStream(StreamId("a-1")), after=0)
    await take(follow, 1)
    await delete_stream(conn, stream_id=StreamId("a-1"), actor="test", now=NOW)
    await append(conn, "b-1")
    with pytest.raises(StreamDeleted):
        await take(hub.follow(OneStream(StreamId("a-1")), after=0), 1)


async def test_a_tail_does_not_begin_in_the_future(hub: SubscriptionHub, conn: Connection) -> None:
    await append(conn, "a-1", 2)
    for source in (EVERYTHING, OneStream(StreamId("a-1"))):
        await begin_tail(hub, source, after=2)
        with pytest.raises(SubscriptionInvalid):
            await begin_tail(hub, source, after=3)


async def test_what_cannot_be_followed_is_refused(hub: SubscriptionHub) -> None:
    with pytest.raises(SubscriptionInvalid):
        await take(hub.follow(Category("a-b")), 1)


async def test_the_switch_from_past_to_present_loses_nothing_and_doubles_nothing(
    dsn: str, hub: SubscriptionHub, conn: Connection
) -> None:
    """Four writers append all the while that somebody catches up."""
    total = 4 * 150

    async def write(writer: int) -> None:
        async with await connect(dsn) as own:
            for _ in range(150):
                await append(own, f"w{writer}-1")

    writing = [asyncio.create_task(write(n)) for n in range(4)]
    await asyncio.sleep(0.05)
    followed = await take(hub.follow(EVERYTHING, after=0), total)
    await asyncio.gather(*writing)
    stored = await read_all_forward(conn, max_count=10_000)
    assert [event.event_id for event in followed] == [event.event_id for event in stored]


async def test_what_commits_late_is_not_skipped(
    hub: SubscriptionHub, conn: Connection, other: Connection
) -> None:
    follow = hub.follow(EVERYTHING, after=0)
    async with conn.transaction():
        await append(conn, "late-1")
        await append(other, "early-1")
        waiting = asyncio.ensure_future(take(follow, 2))
        await asyncio.sleep(0.3)
        assert not waiting.done(), "what was drawn later may not come first"
    assert list_places(await waiting) == [("late-1", 1), ("early-1", 1)]


async def test_what_nobody_notifies_is_found_by_looking(dsn: str, conn: Connection) -> None:
    async with open_hub(dsn, listens=False, poll_s=0.1) as deaf:
        follow = deaf.follow(EVERYTHING, after=0)
        waiting = asyncio.ensure_future(take(follow, 2))
        await append(conn, "a-1")
        await asyncio.sleep(0.3)
        await append(conn, "a-1")
        assert list_places(await waiting) == [("a-1", 1), ("a-1", 2)]


async def test_whoever_follows_outlives_a_broken_connection_of_the_watcher(
    hub: SubscriptionHub, conn: Connection
) -> None:
    follow = hub.follow(EVERYTHING, after=0)
    await append(conn, "a-1")
    await take(follow, 1)
    killed = await conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'emberkeep-watcher' and datname = current_database()"
    )
    assert killed.rowcount == 1
    await append(conn, "a-1")
    assert list_places(await take(follow, 1)) == [("a-1", 2)]
    await append(conn, "a-1")
    assert list_places(await take(follow, 1)) == [("a-1", 3)]
