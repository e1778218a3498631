"""What can be appended, linked, kept and asked for, whatever the store holds; every fault by its path."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from emberkeep.events.model import (
    ALL_STREAMS,
    LAST_VERSION,
    Append,
    AppendInvalid,
    Expected,
    NewEvent,
    ReadInvalid,
    Snapshot,
    StreamId,
)
from emberkeep.events.rules.append import (
    check_append,
    check_link,
    check_page,
    check_schema,
    check_snapshot,
    check_stream_id,
    make_event,
)
from tests.eventing import NOW, make_append, make_events, make_uuid

if TYPE_CHECKING:
    from emberkeep.base.errors import Invalid

MEGABYTE = 1_048_576
SURROGATE = "\ud83d"
FIRST_FACE = "\N{GRINNING FACE}"


def list_paths(invalid: Invalid) -> list[str]:
    return [error.path for error in invalid.errors]


def make_one(**changes: Any) -> Append:
    """Return an append of one event that is changed in some way."""
    event = msgspec.structs.replace(make_events()[0], **changes)
    return msgspec.structs.replace(make_append("s"), events=(event,))


def as_text(size: int) -> str:
    """Return a JSON string of so many bytes."""
    return '"' + "x" * (size - 2) + '"'


# Names of streams and types


@pytest.mark.parametrize(
    "stream_id",
    ["s", "x" * 512, FIRST_FACE * 512, "player-1", "a b", "'; drop table x", "s$all", "\x01"],
)
def test_a_stream_has_a_name_of_1_to_512_characters(stream_id: str) -> None:
    check_append(make_append(stream_id))
    assert check_stream_id(stream_id) == stream_id


@pytest.mark.parametrize("stream_id", ["", "x" * 513, "x" * 10_240, "a\0b", SURROGATE])
def test_a_name_that_no_stream_can_have_is_refused_whatever_is_asked(stream_id: str) -> None:
    with pytest.raises(AppendInvalid) as append:
        check_append(make_append(stream_id))
    with pytest.raises(AppendInvalid) as link:
        check_link(StreamId(stream_id), [1], Expected.ANY)
    with pytest.raises(ReadInvalid) as read:
        check_stream_id(stream_id)
    for refusal in (append, link, read):
        assert list_paths(refusal.value) == ["stream_id"]


@pytest.mark.parametrize("stream_id", [ALL_STREAMS, StreamId("$"), StreamId("$category-player")])
def test_names_of_the_store_itself_can_be_read_but_not_written(stream_id: StreamId) -> None:
    assert check_stream_id(stream_id) == stream_id
    with pytest.raises(AppendInvalid) as append:
        check_append(make_append(stream_id))
    with pytest.raises(AppendInvalid) as link:
        check_link(stream_id, [1], Expected.ANY)
    assert list_paths(append.value) == list_paths(link.value) == ["stream_id"]


@pytest.mark.parametrize("event_type", ["E", "x" * 255, "player.Claimed v2"])
def test_an_event_has_a_type_of_1_to_255_characters(event_type: str) -> None:
    check_append(make_one(event_type=event_type))


@pytest.mark.parametrize("event_type", ["", "x" * 256, "a\0b", SURROGATE])
def test_a_type_that_no_event_can_have_is_refused(event_type: str) -> None:
    with pytest.raises(AppendInvalid) as refusal:
        check_append(make_one(event_type=event_type))
    assert list_paths(refusal.value) == ["events[0].event_type"]


# Versions


@pytest.mark.parametrize("expected", [*Expected, 0, 1, LAST_VERSION])
def test_an_append_expects_anything_nothing_something_or_one_version(
    expected: Expected | int,
) -> None:
    check_append(make_append("s", expected=expected))


@pytest.mark.parametrize("expected", [-1, -(2**63), 2**63, 2**100])
def test_a_version_that_no_stream_can_have_is_refused(expected: int) -> None:
    with pytest.raises(AppendInvalid) as append:
        check_append(make_append("s", expected=expected))
    with pytest.raises(AppendInvalid) as link:
        check_link(StreamId("s"), [1], expected)
    assert list_paths(append.value) == list_paths(link.value) == ["expected_version"]


@pytest.mark.parametrize("event_version", [1, 2**31 - 1])
def test_the_form_of_an_event_is_counted_from_1(event_version: int) -> None:
    check_append(make_one(event_version=event_version))


@pytest.mark.parametrize("event_version", [0, -1, 2**31, 2**63])
def test_a_form_that_cannot_be_counted_is_refused(event_version: int) -> None:
    with pytest.raises(AppendInvalid) as refusal:
        check_append(make_one(event_version=event_version))
    assert list_paths(refusal.value) == ["events[0].event_version"]


# Data and metadata


@pytest.mark.parametrize(
    "changes",
    [
        {"data": as_text(MEGABYTE)},
        {"metadata": '{"a": ' + as_text(65_536 - 7) + "}"},
        {"metadata": ' \n{"a": 1}'},
        {"data": r'"a backslash, then \\u0000"'},
        {"data": r'{"\\u0000": "\\\\u0000"}'},
        {"data": '"' + FIRST_FACE + '"'},
        {"data": "null"},
    ],
)
def test_data_are_any_json_of_a_megabyte_and_metadata_an_object_of_64_kilobytes(
    changes: dict[str, str],
) -> None:
    check_append(make_one(**changes))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"data": as_text(MEGABYTE + 1)}, "events[0].data"),
        ({"data": as_text(10 * MEGABYTE)}, "events[0].data"),
        ({"data": '"' + FIRST_FACE * (MEGABYTE // 4) + '"'}, "events[0].data"),
        ({"data": '"' + SURROGATE + '"'}, "events[0].data"),
        ({"data": r'"\u0000"'}, "events[0].data"),
        ({"data": r'"a backslash, then NUL: \\\u0000"'}, "events[0].data"),
        ({"data": r'{"a": [{"\u0000": 1}]}'}, "events[0].data"),
        ({"metadata": r'{"a": "\u0000"}'}, "events[0].metadata"),
        ({"metadata": '{"a": ' + as_text(65_536) + "}"}, "events[0].metadata"),
        ({"metadata": "[]"}, "events[0].metadata"),
        ({"metadata": '"{}"'}, "events[0].metadata"),
        ({"metadata": "null"}, "events[0].metadata"),
        ({"metadata": ""}, "events[0].metadata"),
    ],
)
def test_data_that_cannot_be_kept_are_refused_by_their_path(
    changes: dict[str, str], path: str
) -> None:
    with pytest.raises(AppendInvalid) as refusal:
        check_append(make_one(**changes))
    assert list_paths(refusal.value) == [path]


@pytest.mark.parametrize("depth", [500, 5_000, 400_000])
def test_a_nul_in_the_depths_is_somebodys_answer_and_no_accident(depth: int) -> None:
    # Too deep to be looked into, it is refused by the database if not here.
    try:
        check_append(make_one(data="[" * depth + r'"\u0000"' + "]" * depth))
    except AppendInvalid as e:
        assert list_paths(e) == ["events[0].data"]  # noqa: PT017
    else:
        assert depth > 500


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "data"),
        ({"a": {1: {2: object()}}}, "data"),
        (SURROGATE, "data"),
    ],
)
def test_a_value_that_json_cannot_say_makes_no_event(value: object, path: str) -> None:
    with pytest.raises(AppendInvalid) as refusal:
        make_event("Happened", value)
    assert list_paths(refusal.value) == [path]


def test_metadata_that_json_cannot_say_make_no_event() -> None:
    with pytest.raises(AppendInvalid) as refusal:
        make_event("Happened", 1, metadata={"a": object()})
    assert list_paths(refusal.value) == ["metadata"]


def test_a_value_that_holds_itself_makes_no_event() -> None:
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(AppendInvalid):
        make_event("Happened", ring)


def test_an_event_is_made_of_values_and_kept_as_json() -> None:
    moment = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    event = make_event(
        "Happened",
        {"at": moment},
        metadata={"actor": "x"},
        event_version=2,
        event_uuid=make_uuid(1),
    )
    assert event == NewEvent(
        event_type="Happened",
        data='{"at":"2026-03-01T00:00:00Z"}',
        metadata='{"actor":"x"}',
        event_version=2,
        event_uuid=make_uuid(1),
    )


# How many


@pytest.mark.parametrize("count", [1, 10_000])
def test_an_append_has_1_to_10_000_events(count: int) -> None:
    check_append(make_append("s", count))


@pytest.mark.parametrize("count", [0, 10_001])
def test_no_event_or_more_than_10_000_are_no_append(count: int) -> None:
    with pytest.raises(AppendInvalid) as refusal:
        check_append(make_append("s", count))
    assert list_paths(refusal.value) == ["events"]


def test_an_append_has_each_of_its_ids_once() -> None:
    check_append(make_append("s", uuids=[1, 2]))
    with pytest.raises(AppendInvalid) as refusal:
        check_append(make_append("s", uuids=[1, 2, 1]))
    assert list_paths(refusal.value) == ["events"]


def test_everything_that_is_wrong_is_named_at_once() -> None:
    wrong = Append(
        stream_id=StreamId("$\0"),
        events=(
            NewEvent(event_type="", data="1", event_version=0),
            NewEvent(event_type="E", data=as_text(MEGABYTE + 1), metadata="[]"),
        ),
        expected_version=-1,
    )
    with pytest.raises(AppendInvalid) as refusal:
        check_append(wrong)
    assert list_paths(refusal.value) == [
        "stream_id",
        "stream_id",
        "expected_version",
        "events[0].event_type",
        "events[0].event_version",
        "events[1].data",
        "events[1].metadata",
    ]


# Links


@pytest.mark.parametrize("event_ids", [[1], [LAST_VERSION], [3, 1, 2], list(range(1, 10_001))])
def test_1_to_10_000_events_are_linked_together(event_ids: list[int]) -> None:
    check_link(StreamId("s"), event_ids, Expected.ANY)


@pytest.mark.parametrize("event_ids", [[], [0], [-1], [1, 2**63], list(range(1, 10_002))])
def test_events_that_there_cannot_be_are_not_linked(event_ids: list[int]) -> None:
    with pytest.raises(AppendInvalid) as refusal:
        check_link(StreamId("s"), event_ids, Expected.ANY)
    assert list_paths(refusal.value) == ["event_ids"]


# Snapshots


def make_snapshot(**changes: Any) -> Snapshot:
    snapshot = Snapshot(
        source_id="s", source_version=1, source_type="State", data=None, created_at=NOW
    )
    return msgspec.structs.replace(snapshot, **changes)


@pytest.mark.parametrize("version", [1, LAST_VERSION])
def test_a_snapshot_is_of_a_version_that_a_stream_can_have(version: int) -> None:
    check_snapshot(make_snapshot(source_version=version))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"source_id": ""}, "source_id"),
        ({"source_id": "x" * 513}, "source_id"),
        ({"source_type": "a\0b"}, "source_type"),
        ({"source_type": "x" * 256}, "source_type"),
        ({"source_version": 0}, "source_version"),
        ({"source_version": 2**63}, "source_version"),
        ({"data": object()}, "data"),
        ({"data": "\0"}, "data"),
        ({"data": SURROGATE}, "data"),
        ({"metadata": object()}, "metadata"),
        ({"metadata": {"a": "\0"}}, "metadata"),
    ],
)
def test_a_snapshot_that_cannot_be_kept_is_refused_by_its_path(
    changes: dict[str, Any], path: str
) -> None:
    with pytest.raises(AppendInvalid) as refusal:
        check_snapshot(make_snapshot(**changes))
    assert list_paths(refusal.value) == [path]


# Reads


@pytest.mark.parametrize(("start", "max_count"), [(0, 1), (LAST_VERSION, 10_000)])
def test_a_page_begins_anywhere_and_has_1_to_10_000_events(start: int, max_count: int) -> None:
    check_page(start=start, max_count=max_count)


@pytest.mark.parametrize(
    ("start", "max_count", "paths"),
    [
        (-1, 1, ["from"]),
        (2**63, 1, ["from"]),
        (1, 0, ["limit"]),
        (1, -1, ["limit"]),
        (1, 10_001, ["limit"]),
        (-1, 0, ["from", "limit"]),
    ],
)
def test_a_page_that_there_cannot_be_is_refused(
    start: int, max_count: int, paths: list[str]
) -> None:
    with pytest.raises(ReadInvalid) as refusal:
        check_page(start=start, max_count=max_count)
    assert list_paths(refusal.value) == paths


@pytest.mark.parametrize("schema", ["event_store", "_", "a1", "x" * 50])
def test_a_store_lives_in_a_schema_of_a_plain_name(schema: str) -> None:
    assert check_schema(schema) == schema


@pytest.mark.parametrize(
    "schema", ["", "x" * 51, "1a", "Shop", "a-b", "a.b", 'a"b', "a;", "a\n", "é"]
)
def test_a_name_that_would_have_to_be_quoted_is_no_store(schema: str) -> None:
    with pytest.raises(ReadInvalid) as refusal:
        check_schema(schema)
    assert list_paths(refusal.value) == ["schema"]


def test_types_and_schemas_that_belong_to_others_are_refused() -> None:
    with pytest.raises(AppendInvalid) as refusal:
        check_append(make_one(event_type="$ended"))
    assert list_paths(refusal.value) == ["events[0].event_type"]
    with pytest.raises(ReadInvalid):
        check_schema("pg_shop")
