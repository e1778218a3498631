"""The functions as another language calls them: arrays in, rows out, refusals under named constraints."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.eventing import NOW, list_violations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Client = psycopg.Connection[tuple[Any, ...]]

ANY, NO_STREAM, STREAM_EXISTS = None, 0, -1


@pytest.fixture
async def client(dsn: str) -> AsyncIterator[Client]:
    """A client that commits statement by statement; what it leaves is verified."""
    with psycopg.connect(dsn, autocommit=True) as client:
        yield client
    assert await list_violations(dsn) == {}


def append(
    client: Client,
    stream: str,
    count: int = 1,
    *,
    expected: int | None = ANY,
    uuids: list[uuid.UUID] | None = None,
) -> tuple[int, ...]:
    """Append so many events; return first version, last version, first position, last position."""
    row = client.execute(
        "select first_version, last_version, first_event_id, last_event_id"
        " from event_store.append_to_stream(%s, %s, %s::text[], %s::jsonb[], %s,"
        " event_uuids => %s::uuid[])",
        (stream, expected, ["Happened"] * count, ["1"] * count, NOW, uuids),
    ).fetchone()
    assert row is not None
    return row


def call(client: Client, function: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """Call a function of the store and return its rows."""
    places = ", ".join(["%s"] * len(arguments))
    statement = f"select * from event_store.{function}({places})"  # noqa: S608
    return client.execute(statement.encode(), arguments).fetchall()


def count_events(client: Client) -> int:
    ((count,),) = client.execute("select count(*) from event_store.events").fetchall()
    return int(count)


# What is answered


def test_an_append_is_answered_with_versions_and_positions(client: Client) -> None:
    assert append(client, "s", 3) == (1, 3, 1, 3)
    assert append(client, "s", 2, expected=3) == (4, 5, 4, 5)


def test_metadata_forms_and_ids_are_given_event_by_event(client: Client) -> None:
    id_ = uuid.UUID(int=7)
    client.execute(
        "select event_store.append_to_stream('s', 0, '{A,B}', %s::jsonb[], %s,"
        " metadata => %s::jsonb[], event_uuids => %s::uuid[], event_versions => '{1,2}')",
        (['{"a": 1}', "[]"], NOW, ['{"actor": "x"}', None], [None, id_]),
    )
    assert call(client, "read_stream_forward", "s", 1, 9) == [
        (1, 1, None, "s", 1, "A", 1, {"a": 1}, {"actor": "x"}, NOW),
        (2, 2, id_, "s", 2, "B", 2, [], None, NOW),
    ]


def test_every_way_to_read_answers_with_the_same_columns(client: Client) -> None:
    append(client, "s", 2)
    forward = call(client, "read_stream_forward", "s", 1, 9)
    assert call(client, "read_stream_backward", "s", 9, 9) == forward[::-1]
    assert call(client, "read_all_forward", 0, 9) == forward
    assert call(client, "read_all_backward", 9, 9) == forward[::-1]
    assert call(client, "scan_events", 0, 9, None, None, 9) == forward


def test_a_scan_wants_categories_and_types(client: Client) -> None:
    append(client, "player-1")
    append(client, "players-1")
    append(client, "player")
    append(client, "x-player-1")
    assert [row[3] for row in call(client, "scan_events", 0, 9, "player", None, 9)] == [
        "player-1",
        "player",
    ]
    assert call(client, "scan_events", 0, 9, None, ["Other"], 9) == []
    assert len(call(client, "scan_events", 0, 3, None, ["Other", "Happened"], 9)) == 3
    assert len(call(client, "scan_events", 1, 9, None, None, 2)) == 2


def test_links_deletion_and_erasure_answer_with_numbers(client: Client) -> None:
    append(client, "s", 3)
    assert call(client, "link_to_stream", "links", ANY, [3, 1], NOW) == [(2,)]
    assert call(client, "delete_stream", "s", 3, "actor", NOW) == [(3,)]
    assert call(client, "erase_stream", "s", ANY, "actor", NOW) == [(3,)]


def test_a_stream_is_known_and_listed(client: Client) -> None:
    append(client, "s", 3)
    row = ("s", 3, NOW, NOW, None, None, None)
    assert call(client, "read_stream_info", "s") == [row]
    assert call(client, "read_stream_info", "never") == []
    assert call(client, "paginate_streams", None, "stream_id", False, None, None, 9) == [row]


def test_a_snapshot_is_kept_read_and_forgotten(client: Client) -> None:
    state = ("s", 3, "State", "{}", None, NOW)
    assert call(client, "record_snapshot", *state) == [(3,)]
    assert call(client, "read_snapshot", "s") == [("s", 3, "State", {}, None, NOW)]
    assert call(client, "delete_snapshot", "s") == [(True,)]
    assert call(client, "delete_snapshot", "s") == [(False,)]


def test_subscribers_are_notified_on_the_channel_of_the_store(client: Client, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("listen event_store")
        append(client, "s")
        call(client, "link_to_stream", "links", ANY, [1], NOW)
        heard = [(n.channel, n.payload) for n in listener.notifies(timeout=5, stop_after=2)]
    assert heard == [("event_store", ""), ("event_store", "links")]


def test_a_repeated_append_answers_the_original_positions(client: Client) -> None:
    ids = [uuid.UUID(int=n) for n in (1, 2)]
    first = append(client, "s", 2, expected=NO_STREAM, uuids=ids)
    append(client, "s", 2)
    assert append(client, "s", 2, expected=NO_STREAM, uuids=ids) == first
    assert count_events(client) == 4


# What is refused


@pytest.mark.parametrize(
    ("stream", "expected", "actual"),
    [("s", 2, 3), ("s", 4, 3), ("s", NO_STREAM, 3), ("new", STREAM_EXISTS, 0), ("new", 1, 0)],
)
@pytest.mark.parametrize(
    "write",
    [
        lambda client, stream, expected: append(client, stream, expected=expected),
        lambda client, stream, expected: call(client, "link_to_stream", stream, expected, [4], NOW),
    ],
    ids=["append", "link"],
)
def test_a_wrong_version_is_told_in_the_detail_as_json(
    client: Client,
    stream: str,
    expected: int,
    actual: int,
    write: Callable[[Client, str, int], object],
) -> None:
    append(client, "s", 3)
    append(client, "t")
    with pytest.raises(psycopg.errors.RestrictViolation) as refusal:
        write(client, stream, expected)
    diagnosis = refusal.value.diag
    assert diagnosis.constraint_name == "event_streams_expected_version"
    assert json.loads(diagnosis.message_detail or "") == {"expected": expected, "actual": actual}
    assert count_events(client) == 4


REFUSALS: dict[str, tuple[str, type[psycopg.Error]]] = {
    "append_to_stream('', null, '{E}', '{1}', now())": (
        "event_streams_name",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream(null, null, '{E}', '{1}', now())": (
        "event_streams_name",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream('$all', null, '{E}', '{1}', now())": (
        "event_streams_name",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream(repeat('x', 513), null, '{E}', '{1}', now())": (
        "event_streams_name",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream('new', null, '{}', '{}', now())": (
        "events_append_form",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream('new', null, null, null, now())": (
        "events_append_form",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream('new', null, '{E}', '{1,2}', now())": (
        "events_append_form",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream('new', null, '{E,E}', '{1}', now())": (
        "events_append_form",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream('new', null, '{E}', '{1}', now(), metadata => '{}')": (
        "events_append_form",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream('new', null, '{E}', '{1}', now(), event_versions => '{1,2}')": (
        "events_append_form",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream('new', null, '{E}', '{1}', null)": (
        "events_append_form",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream('new', -2, '{E}', '{1}', now())": (
        "events_append_form",
        psycopg.errors.InvalidParameterValue,
    ),
    "append_to_stream('gone', null, '{E}', '{1}', now())": (
        "event_streams_deleted",
        psycopg.errors.RestrictViolation,
    ),
    "append_to_streams('{new,gone}', '{E,E}', '{1,1}', '{1,1}', '{null,null}', now())": (
        "event_streams_deleted",
        psycopg.errors.RestrictViolation,
    ),
    "append_to_stream('new', null, '{E}', '{1}', now(),"
    " event_uuids => '{00000000-0000-0000-0000-000000000001}')": (
        "uq_events_event_uuid",
        psycopg.errors.UniqueViolation,
    ),
    "read_stream_forward('never', 1, 1)": (
        "event_streams_unknown",
        psycopg.errors.NoDataFound,
    ),
    "read_stream_backward('never', 1, 1)": (
        "event_streams_unknown",
        psycopg.errors.NoDataFound,
    ),
    "read_stream_forward('gone', 1, 1)": (
        "event_streams_deleted",
        psycopg.errors.RestrictViolation,
    ),
    "link_to_stream('links', null, '{1}', now())": (
        "uq_event_links_event",
        psycopg.errors.UniqueViolation,
    ),
    "link_to_stream('new', null, '{9}', now())": (
        "event_links_event",
        psycopg.errors.NoDataFound,
    ),
    "link_to_stream('$x', null, '{1}', now())": (
        "event_streams_name",
        psycopg.errors.InvalidParameterValue,
    ),
    "link_to_stream('gone', null, '{1}', now())": (
        "event_streams_deleted",
        psycopg.errors.RestrictViolation,
    ),
    "delete_stream('never', null, 'x', now())": (
        "event_streams_unknown",
        psycopg.errors.NoDataFound,
    ),
    "delete_stream('gone', null, 'x', now())": (
        "event_streams_deleted",
        psycopg.errors.RestrictViolation,
    ),
    "erase_stream('never', null, 'x', now())": (
        "event_streams_unknown",
        psycopg.errors.NoDataFound,
    ),
    "record_snapshot('s', 0, 'T', '1', null, now())": (
        "snapshots_source_version",
        psycopg.errors.CheckViolation,
    ),
    "paginate_streams(null, 'nothing', false, null, null, 9)": (
        "event_streams_sort",
        psycopg.errors.InvalidParameterValue,
    ),
}


@pytest.mark.parametrize("refused", REFUSALS)
def test_a_refusal_has_the_name_of_a_constraint_and_writes_nothing(
    client: Client, refused: str
) -> None:
    append(client, "s", uuids=[uuid.UUID(int=1)])
    append(client, "gone")
    call(client, "delete_stream", "gone", ANY, "x", NOW)
    call(client, "link_to_stream", "links", ANY, [1], NOW)
    constraint, error = REFUSALS[refused]
    with pytest.raises(error) as refusal:
        client.execute(f"select * from event_store.{refused}".encode())  # noqa: S608
    assert refusal.value.diag.constraint_name == constraint
    assert count_events(client) == 2
    assert call(client, "read_stream_info", "new") == []


@pytest.mark.parametrize("data", ["nonsense", r'"\u0000"', "1e400000", "[" * 400_000])
def test_a_text_that_is_no_json_is_refused_before_anything_is_called(
    client: Client, data: str
) -> None:
    with pytest.raises(psycopg.Error):
        client.execute(
            "select event_store.append_to_stream('s', 0, '{E}', array[%s::jsonb], now())", (data,)
        )
    assert count_events(client) == 0


@pytest.mark.parametrize("arrays", ["'{null}', '{1}'", "'{E}', array[null::jsonb]"])
def test_an_event_without_a_type_or_data_is_refused(client: Client, arrays: str) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        client.execute(f"select event_store.append_to_stream('s', 0, {arrays}, now())".encode())
    assert count_events(client) == 0


# Transactions


def test_what_is_appended_in_one_transaction_is_there_together_or_not_at_all(
    client: Client, dsn: str
) -> None:
    with psycopg.connect(dsn) as writer:
        append(writer, "s", 2)
        append(writer, "t", expected=NO_STREAM)
        call(writer, "link_to_stream", "links", ANY, [1], NOW)
        call(writer, "record_snapshot", "s", 1, "T", "1", None, NOW)
        assert count_events(client) == 0
        writer.rollback()
        assert count_events(client) == 0
        append(writer, "s", 2, expected=NO_STREAM)
        append(writer, "t", expected=NO_STREAM)
    assert count_events(client) == 3


def test_a_transaction_sees_its_own_events_in_their_stream(dsn: str) -> None:
    with psycopg.connect(dsn) as writer:
        append(writer, "s", 2)
        assert len(call(writer, "read_stream_forward", "s", 1, 9)) == 2
        assert append(writer, "s", expected=2)[:2] == (3, 3)
        writer.rollback()


def test_a_refusal_ends_the_transaction_it_was_part_of(client: Client, dsn: str) -> None:
    with psycopg.connect(dsn) as writer:
        append(writer, "s")
        with pytest.raises(psycopg.errors.RestrictViolation):
            append(writer, "s", expected=NO_STREAM)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            append(writer, "s")
        writer.commit()
    assert count_events(client) == 0


def test_a_refusal_behind_a_savepoint_can_be_lived_with(client: Client, dsn: str) -> None:
    with psycopg.connect(dsn) as writer:
        append(writer, "s")
        with pytest.raises(psycopg.errors.RestrictViolation), writer.transaction():
            append(writer, "s", expected=NO_STREAM)
        append(writer, "s", expected=1)
    assert count_events(client) == 2
