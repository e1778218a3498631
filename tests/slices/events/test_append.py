"""Append: whole or not at all, where the stream is expected to be, and once however often it is tried."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import psycopg
import pytest

from emberkeep.base.db import Connection, transaction
from emberkeep.base.errors import EmberkeepError
from emberkeep.events.model import (
    ALL_STREAMS,
    LAST_VERSION,
    Append,
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
    append_batch,
    append_to_stream,
    append_to_streams,
    delete_stream,
    erase_stream,
    make_event,
    read_stream_forward,
    refusals,
)
from tests.claiming import await_waiter
from tests.eventing import (
    NOW,
    append,
    count_events,
    make_append,
    make_events,
    make_uuid,
    read_places,
)

S = StreamId("s")


async def append_json(conn: Connection, data: str) -> Appended:
    """Append one event whose data are this text."""
    event = NewEvent(event_type="Happened", data=data)
    return await append_to_stream(conn, stream_id=S, events=[event], now=NOW)


def list_outcomes(answers: list[Appended | EmberkeepError]) -> list[Any]:
    """Return the versions that each append got, or the code of its refusal."""
    return [
        (answer.first_version, answer.last_version) if isinstance(answer, Appended) else answer.code
        for answer in answers
    ]


MOVED = WrongExpectedVersion.code
TWICE = DuplicateEventUuid.code
GONE = StreamDeleted.code

# New and existing streams


async def test_the_first_append_creates_the_stream_and_versions_start_at_1(
    conn: Connection,
) -> None:
    assert await append(conn, "s", 3) == Appended(
        stream_id=S, first_version=1, last_version=3, first_event_id=1, last_event_id=3
    )


async def test_the_next_append_goes_on_where_the_last_one_ended(conn: Connection) -> None:
    await append(conn, "s", 3)
    await append(conn, "other")
    assert await append(conn, "s", 2) == Appended(
        stream_id=S, first_version=4, last_version=5, first_event_id=5, last_event_id=6
    )


async def test_an_event_is_read_as_it_was_appended(conn: Connection) -> None:
    event = make_event(
        "Claimed",
        {"a": [1, None, "\N{GRINNING FACE}"]},
        metadata={"actor": "x", "correlation_id": "y"},
        event_version=3,
        event_uuid=make_uuid(1),
    )
    await append_to_stream(conn, stream_id=S, events=[event], now=NOW)
    (read,) = await read_stream_forward(conn, stream_id=S)
    assert (read.number, read.event_id, read.stream_id, read.stream_version) == (1, 1, S, 1)
    assert (read.event_type, read.event_version, read.event_uuid) == ("Claimed", 3, make_uuid(1))
    assert read.data == {"a": [1, None, "\N{GRINNING FACE}"]}
    assert read.metadata == {"actor": "x", "correlation_id": "y"}
    assert read.created_at == NOW


async def test_an_event_without_metadata_and_id_has_none(conn: Connection) -> None:
    await append_json(conn, "null")
    (read,) = await read_stream_forward(conn, stream_id=S)
    assert (read.data, read.metadata, read.event_uuid) == (None, {}, None)


@pytest.mark.parametrize("stream_id", ["x" * 512, "\N{GRINNING FACE}" * 512, "it's", "{a,b}", "\\"])
async def test_any_name_of_the_right_length_is_a_stream(conn: Connection, stream_id: str) -> None:
    await append(conn, stream_id, 2)
    events = await read_stream_forward(conn, stream_id=StreamId(stream_id))
    assert [event.stream_id for event in events] == [stream_id, stream_id]


# Expected versions

EMPTY, THREE = 0, 3


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (EMPTY, Expected.ANY),
        (EMPTY, Expected.NO_STREAM),
        (EMPTY, 0),
        (THREE, Expected.ANY),
        (THREE, Expected.STREAM_EXISTS),
        (THREE, 3),
    ],
)
async def test_an_append_is_taken_where_the_stream_is_as_expected(
    conn: Connection, actual: int, expected: ExpectedVersion
) -> None:
    if actual:
        await append(conn, "s", actual)
    assert (await append(conn, "s", expected=expected)).first_version == actual + 1


@pytest.mark.parametrize(
    ("actual", "expected", "told"),
    [
        (EMPTY, Expected.STREAM_EXISTS, "stream_exists"),
        (EMPTY, 1, 1),
        (EMPTY, LAST_VERSION, LAST_VERSION),
        (THREE, Expected.NO_STREAM, "no_stream"),
        (THREE, 0, 0),
        (THREE, 2, 2),
        (THREE, 4, 4),
    ],
)
async def test_a_mismatch_names_expected_and_actual_and_writes_nothing(
    conn: Connection, actual: int, expected: ExpectedVersion, told: object
) -> None:
    if actual:
        await append(conn, "s", actual)
    with pytest.raises(WrongExpectedVersion) as refusal:
        await append(conn, "s", expected=expected)
    assert refusal.value.facts == {"stream_id": "s", "expected": told, "actual": actual}
    assert await count_events(conn) == actual


async def test_who_is_told_the_actual_version_can_try_again_with_it(conn: Connection) -> None:
    await append(conn, "s", 3)
    with pytest.raises(WrongExpectedVersion) as refusal:
        await append(conn, "s", expected=1)
    actual = refusal.value.facts["actual"]
    assert isinstance(actual, int)
    assert (await append(conn, "s", expected=actual)).first_version == 4


@pytest.mark.parametrize("expected", [Expected.NO_STREAM, 0, 2])
async def test_of_appends_with_the_same_expectation_exactly_one_wins(
    dsn: str, conn: Connection, expected: ExpectedVersion
) -> None:
    if expected == 2:
        await append(conn, "s", 2)
    rivals = [await psycopg.AsyncConnection.connect(dsn, autocommit=True) for _ in range(8)]
    try:
        answers = await asyncio.gather(
            *(append(rival, "s", 2, expected=expected) for rival in rivals), return_exceptions=True
        )
    finally:
        for rival in rivals:
            await rival.close()
    assert sum(isinstance(answer, Appended) for answer in answers) == 1
    assert sum(isinstance(answer, WrongExpectedVersion) for answer in answers) == 7
    assert await count_events(conn) == (4 if expected == 2 else 2)


async def test_appends_that_expect_anything_all_win_and_leave_no_gap(
    dsn: str, conn: Connection
) -> None:
    rivals = [await psycopg.AsyncConnection.connect(dsn, autocommit=True) for _ in range(8)]
    try:
        answers = await asyncio.gather(*(append(rival, "s", 3) for rival in rivals))
    finally:
        for rival in rivals:
            await rival.close()
    assert sorted(answer.first_version for answer in answers) == list(range(1, 24, 3))


async def test_an_append_waits_for_the_one_before_it_and_sees_how_it_ended(
    dsn: str, conn: Connection, other: Connection
) -> None:
    await append(conn, "s")
    async with transaction(conn):
        await append(conn, "s")
        rival = asyncio.create_task(append(other, "s", expected=2))
        await await_waiter(dsn)
    assert (await rival).first_version == 3


async def test_an_append_that_is_rolled_back_leaves_versions_as_they_were(
    conn: Connection,
) -> None:
    async with conn.transaction(force_rollback=True):
        await append(conn, "s", 2)
    assert (await append(conn, "s", expected=Expected.NO_STREAM)).first_version == 1


# Ids: an append can be tried again


@pytest.mark.parametrize("expected", [Expected.ANY, Expected.NO_STREAM, 0, Expected.STREAM_EXISTS])
async def test_an_append_that_is_repeated_changes_nothing_and_answers_where_it_stands(
    conn: Connection, expected: ExpectedVersion
) -> None:
    first = await append(conn, "s", uuids=[1, 2])
    await append(conn, "s", 5)
    again = await append(conn, "s", uuids=[1, 2], expected=expected)
    assert again == msgspec.structs.replace(first, is_retry=True)
    assert await count_events(conn) == 7


async def test_one_id_is_enough_to_know_an_append_again(conn: Connection) -> None:
    first = await append(conn, "s", 3, uuids=[1])
    assert await append(conn, "s", 3, uuids=[1]) == msgspec.structs.replace(first, is_retry=True)


async def test_a_repeated_append_of_a_deleted_stream_is_still_known(conn: Connection) -> None:
    first = await append(conn, "s", uuids=[1])
    await delete_stream(conn, stream_id=S, actor="test", now=NOW)
    assert await append(conn, "s", uuids=[1]) == msgspec.structs.replace(first, is_retry=True)
    with pytest.raises(StreamDeleted):
        await append(conn, "s", uuids=[2])


async def test_a_retry_waits_for_the_first_try_that_is_still_under_way(
    dsn: str, conn: Connection, other: Connection
) -> None:
    async with transaction(conn):
        first = await append(conn, "s", uuids=[1], expected=0)
        retry = asyncio.create_task(append(other, "s", uuids=[1], expected=0))
        await await_waiter(dsn)
    assert await retry == msgspec.structs.replace(first, is_retry=True)


async def test_a_retry_of_a_try_that_came_to_nothing_is_the_first_one(
    dsn: str, conn: Connection, other: Connection
) -> None:
    async with conn.transaction(force_rollback=True):
        await append(conn, "s", uuids=[1], expected=0)
        retry = asyncio.create_task(append(other, "s", uuids=[1], expected=0))
        await await_waiter(dsn)
    assert not (await retry).is_retry


@pytest.mark.parametrize(
    ("stream", "count", "uuids"),
    [
        ("other", 1, [1]),
        ("other", 2, [1, 2]),
        ("s", 2, [1, 3]),
        ("s", 2, [3, 1]),
        ("s", 3, [1, 2, 3]),
        ("s", 2, [2, 1]),
        ("s", 2, [1, 4]),
        ("s", 6, [1]),
    ],
    ids=[
        "in another stream",
        "both in another stream",
        "the second is new",
        "the first is new",
        "one more than then",
        "in another order",
        "of two appends",
        "with more events than there are",
    ],
)
async def test_ids_that_belong_to_other_events_are_refused_and_nothing_is_written(
    conn: Connection, stream: str, count: int, uuids: list[int]
) -> None:
    await append(conn, "s", uuids=[1, 2])
    await append(conn, "s", uuids=[5])
    await append(conn, "s", uuids=[4])
    with pytest.raises(DuplicateEventUuid):
        await append(conn, stream, count, uuids=uuids)
    assert await count_events(conn) == 4


async def test_the_same_id_in_two_streams_at_once_is_taken_by_one(
    dsn: str, conn: Connection, other: Connection
) -> None:
    async with transaction(conn):
        await append(conn, "a", uuids=[1])
        rival = asyncio.create_task(append(other, "b", uuids=[1]))
        await await_waiter(dsn)
    with pytest.raises(DuplicateEventUuid):
        await rival
    assert await read_places(conn) == [("a", 1)]


async def test_ids_of_erased_events_can_be_used_again(conn: Connection) -> None:
    await append(conn, "s", uuids=[1])
    await erase_stream(conn, stream_id=S, is_allowed=True, actor="test", now=NOW)
    assert (await append(conn, "other", uuids=[1])).first_version == 1


# Many events


@pytest.mark.parametrize("count", [1_001, 5_001, 10_000])
async def test_an_append_of_thousands_is_one_append(conn: Connection, count: int) -> None:
    assert (await append(conn, "s", count)).last_version == count
    with pytest.raises(WrongExpectedVersion):
        await append(conn, "s", count, expected=0)
    assert await count_events(conn) == count


async def test_a_large_append_is_known_again(conn: Connection) -> None:
    first = await append(conn, "s", uuids=list(range(1, 3_001)))
    again = await append(conn, "s", uuids=list(range(1, 3_001)))
    assert again == msgspec.structs.replace(first, is_retry=True)


async def test_a_batch_of_more_events_than_one_statement_takes_keeps_its_order(
    conn: Connection,
) -> None:
    appends = [make_append(f"s{n % 3}", 1_000, uuids=[n + 1]) for n in range(12)]
    answers = await append_batch(conn, appends=appends, now=NOW)
    assert list_outcomes(answers) == [
        (n // 3 * 1_000 + 1, n // 3 * 1_000 + 1_000) for n in range(12)
    ]
    again = await append_batch(conn, appends=appends, now=NOW)
    assert list_outcomes(again) == list_outcomes(answers)
    assert await count_events(conn) == 12_000


# Many appends in one batch


async def test_each_append_of_a_batch_has_its_own_answer_in_order(conn: Connection) -> None:
    await append(conn, "old", 2)
    await append(conn, "gone", uuids=[1])
    await delete_stream(conn, stream_id=StreamId("gone"), actor="test", now=NOW)
    answers = await append_batch(
        conn,
        appends=[
            make_append("z", 2),
            make_append("old", expected=1),
            make_append("gone"),
            make_append("$all"),
            make_append("old", expected=2),
            make_append("gone", uuids=[1]),
            make_append("a", uuids=[1]),
        ],
        now=NOW,
    )
    assert list_outcomes(answers) == [
        (1, 2),
        MOVED,
        GONE,
        AppendInvalid.code,
        (3, 3),
        (1, 1),
        TWICE,
    ]
    assert await read_places(conn) == [
        *[("old", 1), ("old", 2), ("gone", 1)],
        *[("z", 1), ("z", 2), ("old", 3)],
    ]


async def test_an_append_sees_those_before_it_in_the_batch(conn: Connection) -> None:
    answers = await append_batch(
        conn,
        appends=[
            make_append("s", 2, expected=0),
            make_append("s", expected=0),
            make_append("s", expected=2),
            make_append("s", expected=Expected.STREAM_EXISTS),
            make_append("s", expected=3),
            make_append("s", expected=4),
        ],
        now=NOW,
    )
    assert list_outcomes(answers) == [(1, 2), MOVED, (3, 3), (4, 4), MOVED, (5, 5)]
    assert isinstance(answers[1], WrongExpectedVersion)
    assert answers[1].facts == {"stream_id": "s", "expected": 0, "actual": 2}


async def test_an_append_that_is_refused_is_not_there_for_those_after_it(conn: Connection) -> None:
    await append(conn, "x", uuids=[1])
    answers = await append_batch(
        conn,
        appends=[
            make_append("s", uuids=[1], expected=0),
            make_append("s", expected=1),
            make_append("s", expected=Expected.STREAM_EXISTS),
            make_append("s", 2, expected=0),
            make_append("s", expected=2),
        ],
        now=NOW,
    )
    assert list_outcomes(answers) == [TWICE, MOVED, MOVED, (1, 2), (3, 3)]


async def test_a_batch_that_is_repeated_with_news_in_it_writes_the_news_alone(
    conn: Connection,
) -> None:
    old = [make_append("a", uuids=[1], expected=0), make_append("b", 2, uuids=[2], expected=0)]
    first = await append_batch(conn, appends=old, now=NOW)
    news = [make_append("a", expected=1), make_append("c", uuids=[3]), make_append("b", expected=2)]
    again = await append_batch(conn, appends=[old[0], news[0], old[1], news[1], news[2]], now=NOW)
    assert list_outcomes(again) == [(1, 1), (2, 2), (1, 2), (1, 1), (3, 3)]
    assert [a.is_retry for a in again if isinstance(a, Appended)] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert [a.first_event_id for a in first if isinstance(a, Appended)] == [1, 2]


async def test_one_id_twice_in_a_batch_is_refused_the_second_time(conn: Connection) -> None:
    answers = await append_batch(
        conn,
        appends=[make_append("a", uuids=[1]), make_append("b", uuids=[1]), make_append("c")],
        now=NOW,
    )
    assert list_outcomes(answers) == [(1, 1), TWICE, (1, 1)]


async def test_an_append_twice_in_a_batch_is_written_once(conn: Connection) -> None:
    answers = await append_batch(
        conn, appends=[make_append("a", uuids=[1]), make_append("a", uuids=[1])], now=NOW
    )
    assert list_outcomes(answers) == [(1, 1), (1, 1)]
    assert await count_events(conn) == 1


async def test_a_batch_of_nothing_is_answered_with_nothing(conn: Connection) -> None:
    assert await append_batch(conn, appends=[], now=NOW) == []
    await append_to_streams(conn, appends=[], now=NOW)
    assert await count_events(conn) == 0


async def test_a_batch_is_part_of_its_callers_transaction(conn: Connection) -> None:
    async with conn.transaction(force_rollback=True):
        await append_batch(conn, appends=[make_append("a"), make_append("b")], now=NOW)
        await append_batch(conn, appends=[make_append("a", expected=1)], now=NOW)
    assert await count_events(conn) == 0


# Races


@pytest.mark.parametrize("is_opposite", [False, True])
async def test_batches_that_create_the_same_streams_never_wait_for_each_other(
    dsn: str, conn: Connection, is_opposite: bool
) -> None:
    names = [f"s{n}" for n in range(40)]
    rivals = [await psycopg.AsyncConnection.connect(dsn, autocommit=True) for _ in range(4)]
    try:
        for _ in range(5):
            batches = [
                [make_append(name, 2) for name in (names[::-1] if n % 2 and is_opposite else names)]
                for n in range(4)
            ]
            answers = await asyncio.gather(
                *(
                    append_batch(rival, appends=batch, now=NOW)
                    for rival, batch in zip(rivals, batches, strict=True)
                )
            )
            assert all(isinstance(answer, Appended) for batch in answers for answer in batch)
            names = [f"{name}x" for name in names]
    finally:
        for rival in rivals:
            await rival.close()
    assert await count_events(conn) == 5 * 4 * 40 * 2


async def test_who_comes_second_to_a_new_stream_decides_again(
    dsn: str, conn: Connection, other: Connection
) -> None:
    async with transaction(conn):
        await append(conn, "m", 2)
        rival = asyncio.create_task(
            append_batch(
                other,
                appends=[
                    make_append("a", expected=0),
                    make_append("m", expected=0),
                    make_append("m", expected=2),
                    make_append("z", expected=0),
                ],
                now=NOW,
            )
        )
        await await_waiter(dsn)
    assert list_outcomes(await rival) == [(1, 1), MOVED, (3, 3), (1, 1)]


async def test_a_retry_that_meets_its_first_try_does_not_count_its_neighbours_twice(
    dsn: str, conn: Connection, other: Connection
) -> None:
    await append(conn, "old", 5)
    async with transaction(conn):
        await append(conn, "m", uuids=[1])
        rival = asyncio.create_task(
            append_batch(
                other,
                appends=[
                    make_append("m", uuids=[1]),
                    make_append("m", expected=1),
                    make_append("new", expected=0),
                    make_append("old", expected=5),
                ],
                now=NOW,
            )
        )
        await await_waiter(dsn)
    assert list_outcomes(await rival) == [(1, 1), (2, 2), (1, 1), (6, 6)]


async def test_an_append_that_waits_for_one_that_is_rolled_back_creates_the_stream(
    dsn: str, conn: Connection, other: Connection
) -> None:
    async with conn.transaction(force_rollback=True):
        await append(conn, "s", 2)
        rival = asyncio.create_task(append(other, "s", expected=0))
        await await_waiter(dsn)
    assert (await rival).first_version == 1


# The cheap way, for those who expect nothing


async def test_the_cheap_way_appends_in_the_order_given(conn: Connection) -> None:
    await append_to_streams(
        conn, appends=[make_append("b", 2), make_append("a"), make_append("b")], now=NOW
    )
    assert await read_places(conn) == [("b", 1), ("b", 2), ("a", 1), ("b", 3)]


async def test_the_cheap_way_takes_all_or_nothing(conn: Connection) -> None:
    await append(conn, "gone")
    await delete_stream(conn, stream_id=StreamId("gone"), actor="test", now=NOW)
    with pytest.raises(StreamDeleted), refusals():
        await append_to_streams(conn, appends=[make_append("a"), make_append("gone")], now=NOW)
    assert await count_events(conn) == 1


# Bad input

BAD_APPENDS: list[tuple[dict[str, Any], str]] = [
    ({"stream_id": ""}, "stream_id"),
    ({"stream_id": "x" * 10_240}, "stream_id"),
    ({"stream_id": "a\0b"}, "stream_id"),
    ({"stream_id": "\ud83d"}, "stream_id"),
    ({"stream_id": ALL_STREAMS}, "stream_id"),
    ({"expected_version": -1}, "expected_version"),
    ({"expected_version": 2**63}, "expected_version"),
    ({"events": ()}, "events"),
]


@pytest.mark.parametrize(("changes", "path"), BAD_APPENDS)
async def test_an_append_that_cannot_be_written_is_refused_by_its_path(
    conn: Connection, changes: dict[str, Any], path: str
) -> None:
    bad: Append = msgspec.structs.replace(make_append("s"), **changes)
    with pytest.raises(AppendInvalid) as refusal:
        await append_to_stream(
            conn,
            stream_id=bad.stream_id,
            events=bad.events,
            expected_version=bad.expected_version,
            now=NOW,
        )
    assert [error.path for error in refusal.value.errors] == [path]
    assert await count_events(conn) == 0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param('"' + "x" * 10_485_760 + '"', id="10 MB"),
        pytest.param('"\ud83d"', id="half a surrogate pair"),
        pytest.param(r'"\u0000"', id="NUL"),
        pytest.param(r'{"a\u0000": 1}', id="NUL in a key"),
        pytest.param(r'"\ud83d"', id="half a surrogate pair, escaped"),
        pytest.param("1e400000", id="a huge numeral"),
        pytest.param("[1, -1e-400000]", id="a tiny numeral"),
        pytest.param("", id="nothing"),
        pytest.param("{'a': 1}", id="not JSON"),
        pytest.param('{"a": NaN}', id="no number"),
        pytest.param("1 2", id="two documents"),
        pytest.param("[" * 400_000 + "]" * 400_000, id="too deep"),
        pytest.param("[" * 400_000 + r'"\u0000"' + "]" * 400_000, id="too deep, with NUL"),
    ],
)
async def test_data_that_cannot_be_kept_are_refused_and_nothing_is_written(
    conn: Connection, data: str
) -> None:
    with pytest.raises(AppendInvalid) as refusal:
        await append_json(conn, data)
    assert all(error.path.startswith("events") for error in refusal.value.errors)
    assert refusal.value.errors
    assert await count_events(conn) == 0
    assert (await append_json(conn, "1")).last_version == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("1e5000", id="a numeral of 5,000 digits"),
        pytest.param("1" * 5_000, id="5,000 digits"),
        pytest.param("1e-5000", id="a small numeral"),
        pytest.param("[" * 3_000 + "]" * 3_000, id="3,000 brackets"),
        pytest.param('{"a": 1, "a": 2}', id="one key twice"),
    ],
)
async def test_what_is_taken_can_be_read(conn: Connection, data: str) -> None:
    try:
        await append_json(conn, data)
    except AppendInvalid:
        assert await count_events(conn) == 0
    else:
        (event,) = await read_stream_forward(conn, stream_id=S)
        event.data  # noqa: B018


async def test_a_value_that_cannot_be_kept_is_refused_beside_those_that_can(
    conn: Connection,
) -> None:
    bad = Append(stream_id=S, events=(NewEvent(event_type="E", data="nonsense"),))
    first, refused, last = await append_batch(
        conn, appends=[make_append("a"), bad, make_append("z")], now=NOW
    )
    assert isinstance(refused, AppendInvalid)
    assert [answer.stream_id for answer in (first, last) if isinstance(answer, Appended)] == [
        "a",
        "z",
    ]


async def test_metadata_that_are_no_object_are_refused(conn: Connection) -> None:
    event = msgspec.structs.replace(make_events()[0], metadata='{"a": nonsense}')
    with pytest.raises(AppendInvalid):
        await append_to_stream(conn, stream_id=S, events=[event], now=NOW)
    assert await count_events(conn) == 0
