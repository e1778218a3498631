"""What a test can do with its store: fill it, read it back, wait for what its subject appends."""

from __future__ import annotations

import asyncio
import datetime
import time
from typing import TYPE_CHECKING

import pytest

from emberkeep.events.model import (
    Appended,
    AppendInvalid,
    Category,
    Expected,
    StreamDeleted,
    StreamId,
    WrongExpectedVersion,
)
from emberkeep.events.service import AppendDesk, append_to_stream, delete_stream, make_event
from emberkeep.testing import CleanStore, create_test_event
from tests.eventing import NOW, make_uuid

if TYPE_CHECKING:
    from emberkeep.events.model import RecordedEvent


@pytest.fixture
def store(database: str) -> CleanStore:
    """An empty store."""
    return CleanStore(database)


def make_facts(*names: str) -> list[tuple[str, object]]:
    return [(name, {"n": n}) for n, name in enumerate(names)]


async def fill(store: CleanStore, stream: str, *names: str) -> Appended:
    events = [create_test_event(name, data) for name, data in make_facts(*names)]
    return await store.create_test_stream(stream, events)


def test_a_test_event_says_that_it_is_one() -> None:
    event = create_test_event("A", {"n": 1})
    assert (event.event_type, event.data) == ("A", '{"n":1}')
    assert (event.metadata, event.event_version, event.event_uuid) == ('{"test":true}', 1, None)


def test_a_test_event_can_say_all_that_others_can() -> None:
    event = create_test_event(
        "A", [], metadata={"actor": "me"}, event_version=3, event_uuid=make_uuid(1)
    )
    assert event.metadata == '{"test":true,"actor":"me"}'
    assert (event.event_version, event.event_uuid) == (3, make_uuid(1))


def test_a_test_event_holds_what_json_can_say() -> None:
    with pytest.raises(AppendInvalid):
        create_test_event("A", object())


async def test_a_test_stream_goes_on_where_it_is(store: CleanStore) -> None:
    first = await fill(store, "s-1", "A", "B")
    second = await fill(store, "s-1", "C")
    assert (first.first_version, first.last_version, second.first_version) == (1, 2, 3)


async def test_a_test_stream_may_expect_a_version(store: CleanStore) -> None:
    event = create_test_event("A", {})
    await store.create_test_stream("s-1", [event], expected_version=Expected.NO_STREAM)
    with pytest.raises(WrongExpectedVersion):
        await store.create_test_stream("s-1", [event], expected_version=Expected.NO_STREAM)


async def test_a_test_stream_may_lie_in_the_past(store: CleanStore) -> None:
    await store.create_test_stream("s-1", [create_test_event("A", {})], now=NOW)
    (event,) = await store.read_stream("s-1")
    assert event.created_at == NOW
    assert event.metadata == {"test": True}


async def test_a_stream_is_read_back_as_pairs_to_its_end(store: CleanStore) -> None:
    names = [f"A{n}" for n in range(1_200)]
    await fill(store, "s-1", *names)
    await fill(store, "s-2", "B")
    assert await store.read_facts("s-1") == make_facts(*names)
    assert len(await store.read_facts()) == 1_201


async def test_a_stream_that_is_not_there_holds_nothing(store: CleanStore) -> None:
    assert await store.read_facts("s-1") == []
    await store.assert_events_appended("s-1", [])


async def test_a_deleted_stream_is_not_an_empty_one(store: CleanStore) -> None:
    await fill(store, "s-1", "A")
    async with store.connect() as conn:
        await delete_stream(conn, stream_id=StreamId("s-1"), actor="test", now=NOW)
    with pytest.raises(StreamDeleted):
        await store.read_facts("s-1")


async def test_what_was_appended_is_compared_as_json_has_it(store: CleanStore) -> None:
    data = {"at": NOW, "pair": (1, 2)}
    await store.create_test_stream("s-1", [create_test_event("A", data)])
    await store.assert_events_appended("s-1", [("A", data)])


@pytest.mark.parametrize(
    "expected", [[], make_facts("A"), make_facts("B", "A"), make_facts("A", "B", "C")]
)
async def test_what_was_not_appended_so_is_shown_beside_what_was(
    store: CleanStore, expected: list[tuple[str, object]]
) -> None:
    await fill(store, "s-1", "A", "B")
    with pytest.raises(AssertionError, match=r'found: +A {"n":0}, B {"n":1}'):
        await store.assert_events_appended("s-1", expected)


async def test_only_what_came_after_a_version_is_compared(store: CleanStore) -> None:
    before = await fill(store, "s-1", "A", "B")
    await fill(store, "s-1", "C")
    await store.assert_events_appended("s-1", make_facts("C"), after=before.last_version)


async def test_an_event_that_is_there_need_not_be_waited_for(store: CleanStore) -> None:
    await fill(store, "s-1", "A", "B", "B")
    event = await store.wait_for_event("B", timeout_s=20)
    assert event.stream_version == 2


async def test_an_event_that_has_yet_to_come_is_waited_for(store: CleanStore) -> None:
    waiting = asyncio.create_task(store.wait_for_event("B", timeout_s=20))
    await fill(store, "s-1", "A")
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await fill(store, "s-1", "B")
    assert (await waiting).stream_version == 2


async def test_only_an_event_that_fits_is_waited_for(store: CleanStore) -> None:
    old = await fill(store, "s-1", "A")
    await fill(store, "t-1", "A")
    await fill(store, "s-2", "A", "A")
    wait = store.wait_for_event
    assert (await wait("A", source=Category("t"))).stream_id == "t-1"
    assert (await wait("A", after=old.last_event_id)).stream_id == "t-1"
    assert (await wait("A", matches=lambda event: event.stream_version == 2)).stream_id == "s-2"


async def test_who_waits_in_vain_is_told_what_there_is(store: CleanStore) -> None:
    with pytest.raises(AssertionError, match=r"no B came within 0.1 s; there is: nothing"):
        await store.wait_for_event("B", timeout_s=0.1)
    await fill(store, "s-1", "A")
    with pytest.raises(AssertionError, match=r'there is:\n  s-1 1: A {"n":0}'):
        await store.wait_for_event("B", timeout_s=0.1)


async def test_an_event_that_should_not_be_is_shown(store: CleanStore) -> None:
    await store.assert_no_event("A", within_s=0.05)
    await fill(store, "s-1", "A", "B")
    await store.assert_no_event("A", matches=lambda event: event.stream_version > 1)
    with pytest.raises(AssertionError, match=r'should not be:\n  s-1 2: B {"n":1}'):
        await store.assert_no_event("B", within_s=0)


async def test_an_event_that_should_not_come_is_waited_for(store: CleanStore) -> None:
    await fill(store, "s-1", "A")
    refusing = asyncio.create_task(store.assert_no_event("B", within_s=20))
    await asyncio.sleep(0.2)
    await fill(store, "s-1", "B")
    with pytest.raises(AssertionError, match="s-1 2: B"):
        await refusing


async def test_everything_is_delivered_in_order_to_either_kind_of_handler(
    store: CleanStore,
) -> None:
    await fill(store, "s-1", "A", "B")
    await fill(store, "s-2", "A")
    seen: list[RecordedEvent] = []

    async def handle(event: RecordedEvent) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    assert await store.deliver_all(handle) == 3
    assert await store.deliver_all(seen.append, stream_id="s-1", event_types=["B"]) == 1
    assert [event.event_id for event in seen] == [1, 2, 3, 2]


async def test_what_a_handler_raises_ends_the_delivery(store: CleanStore) -> None:
    await fill(store, "s-1", "A", "B")
    with pytest.raises(ZeroDivisionError):
        await store.deliver_all(lambda _: 1 // 0)  # type: ignore[arg-type, return-value]


async def test_the_hub_follows_this_store(store: CleanStore) -> None:
    await fill(store, "s-1", "A")
    async with store.open_hub() as hub:
        follow = hub.follow(Category("s"), after=0)
        assert (await anext(follow)).event_type == "A"
        await follow.aclose()


async def test_whoever_connects_by_itself_writes_to_this_store(store: CleanStore) -> None:
    desk = AppendDesk(store.dsn, connections=1, schema=store.schema)
    await desk.start()
    now = NOW + datetime.timedelta(days=1)
    await desk.append(stream_id=StreamId("s-1"), events=[make_event("A", {})], now=now)
    await desk.stop()
    await store.assert_events_appended("s-1", [("A", {})])


async def test_a_second_store_shares_nothing_but_the_database(store: CleanStore) -> None:
    shop = await store.add_store("shop_events")
    await fill(store, "s-1", "A")
    await fill(shop, "s-1", "B")
    assert await store.read_facts() == make_facts("A")
    assert await shop.read_facts() == make_facts("B")
    assert (await shop.wait_for_event("B")).event_id == 1
    async with shop.connect() as conn:
        await append_to_stream(
            conn,
            stream_id=StreamId("s-1"),
            events=[make_event("C", {})],
            now=NOW,
            schema=shop.schema,
        )
    await shop.assert_events_appended("s-1", [("C", {})], after=1)


async def test_waiting_in_vain_takes_as_long_as_was_said(store: CleanStore) -> None:
    started = time.monotonic()
    with pytest.raises(AssertionError):
        await store.wait_for_event("A", timeout_s=0.5)
    assert 0.5 <= time.monotonic() - started < 5
