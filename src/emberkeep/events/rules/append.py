"""What can be appended and asked for at all, whatever the store holds. Names every fault at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from emberkeep.base.errors import FieldError
from emberkeep.events.model import (
    LAST_VERSION,
    Append,
    AppendInvalid,
    Expected,
    ExpectedVersion,
    NewEvent,
    ReadInvalid,
    Snapshot,
    StreamId,
)

MAX_STREAM_ID: Final = 512
MAX_EVENT_TYPE: Final = 255
MAX_EVENTS: Final = 10_000
MAX_DATA_BYTES: Final = 1_048_576
MAX_METADATA_BYTES: Final = 65_536
MAX_READ: Final = 10_000
_MAX_EVENT_VERSION: Final = 2**31 - 1
# An even number of backslashes before it is so many backslashes, and no escape.
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,49}")

_encode = msgspec.json.Encoder().encode


def make_event(
    event_type: str,
    data: object,
    *,
    metadata: Mapping[str, object] | None = None,
    event_version: int = 1,
    event_uuid: UUID | None = None,
) -> NewEvent:
    """Return the event whose data and metadata are these values, as JSON.

    :raises AppendInvalid: if a value is nothing that JSON can say
    """
    return NewEvent(
        event_type=event_type,
        data=_to_json(data, "data"),
        metadata=None if metadata is None else _to_json(metadata, "metadata"),
        event_version=event_version,
        event_uuid=event_uuid,
    )


def _to_json(value: object, path: str) -> str:
    try:
        return _encode(value).decode()
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as e:
        raise AppendInvalid(
            "this holds what JSON cannot say", (FieldError(path, f"is not JSON: {e}"),)
        ) from e


def check_append(append: Append) -> None:
    """Let an append pass that some store could take.

    :raises AppendInvalid: with everything that is wrong
    """
    errors = [
        *list_name_faults("stream_id", append.stream_id, MAX_STREAM_ID),
        *_list_stream_faults(append.stream_id),
        *_list_version_faults(append.expected_version),
    ]
    if not 1 <= len(append.events) <= MAX_EVENTS:
        errors.append(FieldError("events", f"are not 1 to {MAX_EVENTS:,} events"))
    else:
        for index, event in enumerate(append.events):
            errors.extend(_list_event_faults(f"events[{index}]", event))
        uuids = [event.event_uuid for event in append.events if event.event_uuid is not None]
        if len(set(uuids)) < len(uuids):
            errors.append(FieldError("events", "hold one event_uuid twice"))
    if errors:
        raise AppendInvalid("the append cannot be written", errors)


def _list_event_faults(path: str, event: NewEvent) -> Iterator[FieldError]:
    yield from list_name_faults(f"{path}.event_type", event.event_type, MAX_EVENT_TYPE)
    if event.event_type.startswith("$"):
        yield FieldError(f"{path}.event_type", "begins with $, which only the store's own do")
    if not 1 <= event.event_version <= _MAX_EVENT_VERSION:
        yield FieldError(f"{path}.event_version", f"is not from 1 to {_MAX_EVENT_VERSION}")
    yield from _list_json_faults(f"{path}.data", event.data, MAX_DATA_BYTES)
    if event.metadata is not None:
        faults = list(_list_json_faults(f"{path}.metadata", event.metadata, MAX_METADATA_BYTES))
        if not faults and not event.metadata.lstrip().startswith("{"):
            faults.append(FieldError(f"{path}.metadata", "is not a JSON object"))
        yield from faults


def list_name_faults(path: str, name: str, most: int) -> Iterator[FieldError]:
    """Yield what keeps `name` from being one: its length, or a character that cannot be kept."""
    if not 1 <= len(name) <= most:
        yield FieldError(path, f"does not have 1 to {most} characters")
    if "\0" in name:
        yield FieldError(path, "holds the character NUL")
    if _is_broken(name):
        yield FieldError(path, "holds half of a surrogate pair")


def _list_stream_faults(stream_id: str) -> Iterator[FieldError]:
    if stream_id.startswith("$"):
        yield FieldError("stream_id", "begins with $, which only names of the store itself do")


def _list_version_faults(version: ExpectedVersion) -> Iterator[FieldError]:
    if not isinstance(version, Expected) and not 0 <= version <= LAST_VERSION:
        yield FieldError("expected_version", f"is not from 0 to {LAST_VERSION}")


def _list_json_faults(path: str, text: str, most_bytes: int) -> Iterator[FieldError]:
    if _is_broken(text):
        yield FieldError(path, "holds half of a surrogate pair")
        return
    if len(text.encode()) > most_bytes:
        yield FieldError(path, f"is larger than {most_bytes:,} bytes")
        return
    try:
        document: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as e:
        # Also what PostgreSQL would keep and nobody could read: a number like 1e5000, for instance.
        yield FieldError(path, f"is not JSON that can be read again: {e}")
        return
    if _NUL.search(text) is not None and _NUL.search(_encode(document).decode()) is not None:
        yield FieldError(path, "holds the character NUL")


def _is_broken(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def check_version(version: ExpectedVersion) -> None:
    """Let an expectation pass that some stream could meet.

    :raises AppendInvalid: if none could
    """
    errors = tuple(_list_version_faults(version))
    if errors:
        raise AppendInvalid("no stream can be at this version", errors)


def check_link(
    stream_id: StreamId, event_ids: Sequence[int], expected_version: ExpectedVersion
) -> None:
    """Let a link pass that some store could take.

    :raises AppendInvalid: with everything that is wrong
    """
    errors = [
        *list_name_faults("stream_id", stream_id, MAX_STREAM_ID),
        *_list_stream_faults(stream_id),
        *_list_version_faults(expected_version),
    ]
    if not 1 <= len(event_ids) <= MAX_EVENTS:
        errors.append(FieldError("event_ids", f"are not 1 to {MAX_EVENTS:,} events"))
    if any(not 1 <= event_id <= LAST_VERSION for event_id in event_ids):
        errors.append(FieldError("event_ids", f"are not all from 1 to {LAST_VERSION}"))
    if errors:
        raise AppendInvalid("the events cannot be linked", errors)


def check_snapshot(snapshot: Snapshot) -> None:
    """Let a snapshot pass that can be kept.

    :raises AppendInvalid: with everything that is wrong
    """
    errors = [
        *list_name_faults("source_id", snapshot.source_id, MAX_STREAM_ID),
        *list_name_faults("source_type", snapshot.source_type, MAX_EVENT_TYPE),
    ]
    if not 1 <= snapshot.source_version <= LAST_VERSION:
        errors.append(FieldError("source_version", f"is not from 1 to {LAST_VERSION}"))
    for path, value in (("data", snapshot.data), ("metadata", snapshot.metadata)):
        errors.extend(_list_json_faults(path, _to_json(value, path), MAX_DATA_BYTES))
    if errors:
        raise AppendInvalid("the snapshot cannot be kept", errors)


def check_stream_id(stream_id: str) -> StreamId:
    """Return the name, if a stream can have it.

    :raises ReadInvalid: if none can
    """
    errors = tuple(list_name_faults("stream_id", stream_id, MAX_STREAM_ID))
    if errors:
        raise ReadInvalid("no stream can have this name", errors)
    return StreamId(stream_id)


def check_search(text: str | None) -> None:
    """Let a text pass that names of streams may hold.

    :raises ReadInvalid: if none can
    """
    errors = tuple(list_name_faults("search", text, MAX_STREAM_ID)) if text else ()
    if errors:
        raise ReadInvalid("no name can hold this", errors)


def check_page(*, start: int, max_count: int) -> None:
    """Let a read pass that has a place to begin and a number of events.

    :raises ReadInvalid: with everything that is wrong
    """
    errors: list[FieldError] = []
    if not 0 <= start <= LAST_VERSION:
        errors.append(FieldError("from", f"is not from 0 to {LAST_VERSION}"))
    if not 1 <= max_count <= MAX_READ:
        errors.append(FieldError("limit", f"is not from 1 to {MAX_READ:,}"))
    if errors:
        raise ReadInvalid("the read cannot be answered", errors)


def check_schema(schema: str) -> str:
    """Return the name, if a store can live in a schema of it.

    :raises ReadInvalid: if it is not plain, or so long that the store's roles could not be named
    """
    if _SCHEMA.fullmatch(schema) is None or schema.startswith("pg_"):
        message = (
            "is not 1 to 50 lower-case letters, digits and underscores, a letter first; pg_ is"
            " PostgreSQL's"
        )
        raise ReadInvalid("no store can have this name", (FieldError("schema", message),))
    return schema
