"""The appends of one process, sent together; each has its own answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.base.batch import ShuttingDown
from emberkeep.base.db import Connection, DatabaseUnavailable, transaction
from emberkeep.base.errors import EmberkeepError
from emberkeep.events.model import (
    Appended,
    AppendInvalid,
    DuplicateEventUuid,
    Expected,
    ExpectedVersion,
    NewEvent,
    StreamDeleted,
    StreamId,
    WrongExpectedVersion,
)
from emberkeep.events.service import (
    AppendDesk,
    delete_stream,
    read_all_forward,
    read_stream_forward,
)
from tests.claiming import await_waiter
from tests.eventing import NOW, SHOP, append, count_events, make_events, read_places

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence


@contextlib.asynccontextmanager
async def open_desk(
    dsn: str, *, connections: int = 2, schema: str = "event_store"
) -> AsyncGenerator[AppendDesk]:
    """Run a desk as a process of its own would."""
    desk = AppendDesk(dsn, connections=connections, schema=schema)
    await desk.start()
    try:
        yield desk
    finally:
        await desk.stop()


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[AppendDesk]:
    """A desk with two connections."""
    async with open_desk(dsn) as desk:
        yield desk


async def give(
    desk: AppendDesk,
    stream: str,
    count: int = 1,
    *,
    expected: ExpectedVersion = Expected.ANY,
    uuids: Sequence[int] = (),
) -> Appended:
    """Give the desk an append of `make_events`."""
    return await desk.append(
        stream_id=StreamId(stream),
        events=make_events(count, uuids=uuids),
        expected_version=expected,
        now=NOW,
    )


async def test_one_append_is_answered_with_where_it_stands(
    conn: Connection, desk: AppendDesk
) -> None:
    assert await give(desk, "s", 3) == Appended(
        stream_id=StreamId("s"), first_version=1, last_version=3, first_event_id=1, last_event_id=3
    )
    assert await read_places(conn) == [("s", 1), ("s", 2), ("s", 3)]


async def test_every_append_of_a_crowd_has_its_own_place(
    conn: Connection, desk: AppendDesk
) -> None:
    answers = await asyncio.gather(*(give(desk, f"s{n % 7}", 1 + n % 3) for n in range(500)))
    places = {
        (answer.stream_id, version)
        for answer in answers
        for version in range(answer.first_version, answer.last_version + 1)
    }
    events = sum(1 + n % 3 for n in range(500))
    assert len(places) == events == await count_events(conn)
    assert set(await read_places(conn)) == places


async def test_appends_that_wait_are_joined_into_few_statements(conn: Connection, dsn: str) -> None:
    async with open_desk(dsn, connections=1) as desk:
        await asyncio.gather(*(give(desk, f"s{n}") for n in range(300)))
    # A transaction has one number, however many appends it wrote.
    rows = await conn.execute("select count(distinct xmin::text) from event_store.events")
    row = await rows.fetchone()
    assert row is not None
    assert row[0] < 30


async def test_appends_of_one_caller_keep_their_order(conn: Connection, dsn: str) -> None:
    async with open_desk(dsn, connections=1) as desk:
        answers = await asyncio.gather(
            *(give(desk, "s", expected=n) for n in range(50)),
        )
    assert [answer.first_version for answer in answers] == list(range(1, 51))


async def test_of_a_crowd_with_the_same_expectation_one_wins(
    conn: Connection, desk: AppendDesk
) -> None:
    answers = await asyncio.gather(
        *(give(desk, "s", expected=Expected.NO_STREAM) for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(answer, Appended) for answer in answers) == 1
    refusals = [answer for answer in answers if isinstance(answer, WrongExpectedVersion)]
    assert len(refusals) == 49
    assert {refusal.facts["actual"] for refusal in refusals} == {1}
    assert await count_events(conn) == 1


async def test_a_refusal_is_the_answer_of_its_own_append_alone(
    conn: Connection, desk: AppendDesk
) -> None:
    await append(conn, "gone", uuids=[1])
    await delete_stream(conn, stream_id=StreamId("gone"), actor="test", now=NOW)
    answers = await asyncio.gather(
        give(desk, "a"),
        give(desk, "gone"),
        give(desk, "b", expected=3),
        give(desk, "$all"),
        give(desk, "c", uuids=[1]),
        give(desk, "z"),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [
        Appended,
        StreamDeleted,
        WrongExpectedVersion,
        AppendInvalid,
        DuplicateEventUuid,
        Appended,
    ]
    assert await count_events(conn) == 3


@pytest.mark.parametrize(
    "data", ["nonsense", "1e400000", r'"\ud83d"', "[" * 400_000 + "]" * 400_000]
)
async def test_a_value_that_only_the_database_can_refuse_fails_nobody_else(
    conn: Connection, dsn: str, data: str
) -> None:
    bad = NewEvent(event_type="E", data=data)
    async with open_desk(dsn, connections=1) as desk:
        answers = await asyncio.gather(
            *(give(desk, f"a{n}") for n in range(20)),
            desk.append(stream_id=StreamId("bad"), events=[bad], now=NOW),
            *(give(desk, f"z{n}") for n in range(20)),
            return_exceptions=True,
        )
    assert isinstance(answers[20], AppendInvalid)
    assert sum(isinstance(answer, Appended) for answer in answers) == 40
    assert await count_events(conn) == 40


async def test_an_append_that_is_given_twice_is_written_once(
    conn: Connection, desk: AppendDesk
) -> None:
    answers = await asyncio.gather(*(give(desk, "s", uuids=[1, 2]) for _ in range(20)))
    assert {(answer.first_version, answer.last_version) for answer in answers} == {(1, 2)}
    assert len({(answer.first_event_id, answer.last_event_id) for answer in answers}) == 1
    assert [answer.is_retry for answer in answers].count(False) == 1
    assert await count_events(conn) == 2


async def test_one_id_for_two_streams_is_taken_by_one(conn: Connection, desk: AppendDesk) -> None:
    answers = await asyncio.gather(
        give(desk, "a", uuids=[1]), give(desk, "b", uuids=[1]), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {Appended, DuplicateEventUuid}
    assert await count_events(conn) == 1


async def test_an_append_without_ids_gets_one_so_that_it_can_be_sent_again(
    conn: Connection, desk: AppendDesk
) -> None:
    await give(desk, "s", 3)
    events = await read_stream_forward(conn, stream_id=StreamId("s"))
    assert [event.event_uuid is not None for event in events] == [True, False, False]


async def test_an_append_with_ids_of_its_own_keeps_them(conn: Connection, desk: AppendDesk) -> None:
    await desk.append(
        stream_id=StreamId("s"),
        events=[*make_events(1), *make_events(uuids=[7])],
        now=NOW,
    )
    events = await read_all_forward(conn)
    assert [event.event_uuid and event.event_uuid.int for event in events] == [None, 7]


async def test_what_can_never_be_written_is_refused_without_a_connection(dsn: str) -> None:
    desk = AppendDesk(dsn, connections=1)  # Not started: it could not answer.
    with pytest.raises(AppendInvalid) as refusal:
        await give(desk, "")
    assert [error.path for error in refusal.value.errors] == ["stream_id"]
    with pytest.raises(AppendInvalid):
        await give(desk, "s", 0)


async def test_a_connection_that_is_lost_is_replaced_and_the_append_written_once(
    conn: Connection, desk: AppendDesk
) -> None:
    await give(desk, "s")
    await conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'emberkeep-writer' and datname = current_database()"
    )
    answers = await asyncio.gather(*(give(desk, "s") for _ in range(20)))
    assert sorted(answer.first_version for answer in answers) == list(range(2, 22))
    assert await count_events(conn) == 21


async def test_an_append_whose_connection_is_lost_while_it_waits_is_sent_again(
    dsn: str, conn: Connection, other: Connection, desk: AppendDesk
) -> None:
    await append(conn, "s")
    async with transaction(conn):
        await append(conn, "s")
        waiting = asyncio.create_task(give(desk, "s"))
        await await_waiter(dsn)
        await other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'emberkeep-writer' and datname = current_database()"
        )
    assert (await waiting).first_version == 3


async def test_a_desk_that_stops_answers_what_waits_and_takes_nothing_more(
    conn: Connection, dsn: str
) -> None:
    async with open_desk(dsn, connections=1) as desk:
        waiting = [asyncio.create_task(give(desk, f"s{n}")) for n in range(50)]
        await asyncio.sleep(0)
    assert all(isinstance(answer, Appended) for answer in await asyncio.gather(*waiting))
    with pytest.raises(ShuttingDown):
        await give(desk, "s")
    assert await count_events(conn) == 50


async def test_an_append_nobody_waits_for_any_more_is_written_all_the_same(
    conn: Connection, dsn: str
) -> None:
    async with open_desk(dsn) as desk:
        gone = asyncio.create_task(give(desk, "s"))
        await asyncio.sleep(0)
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        await give(desk, "s")
    assert await count_events(conn) == 2


async def test_a_desk_that_cannot_reach_its_database_does_not_open(dsn: str) -> None:
    nowhere = psycopg.conninfo.make_conninfo(dsn, dbname="test_that_is_not_there")
    with pytest.raises(DatabaseUnavailable):
        await AppendDesk(nowhere, connections=1).start()


async def test_a_desk_of_another_store_writes_there(conn: Connection, dsn: str) -> None:
    async with open_desk(dsn, schema=SHOP) as desk:
        await give(desk, "s", 2)
    assert await count_events(conn) == 0
    assert await read_places(conn, schema=SHOP) == [("s", 1), ("s", 2)]


async def test_desks_of_two_processes_share_a_store(conn: Connection, dsn: str) -> None:
    async with open_desk(dsn) as one, open_desk(dsn) as two:
        answers = await asyncio.gather(
            *(give(desk, f"s{n % 5}", 2) for n in range(100) for desk in (one, two))
        )
    assert not any(isinstance(answer, EmberkeepError) for answer in answers)
    assert await count_events(conn) == 400
