"""Streams: how far they have come, a list of them, links into them, and their end."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Annotated

import msgspec

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.base.page import Page
from emberkeep.events import store
from emberkeep.events.model import (
    DEFAULT_SCHEMA,
    LAST_VERSION,
    ErasureForbidden,
    Expected,
    ExpectedVersion,
    ReadInvalid,
    StreamId,
    StreamInfo,
    StreamSort,
    StreamUnknown,
)
from emberkeep.events.rules import append as rules

_Version = Annotated[int, msgspec.Meta(ge=0, le=LAST_VERSION)]
_Instant = Annotated[datetime.datetime, msgspec.Meta(tz=True)]


class _StreamCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    value: str
    stream_id: StreamId


async def read_stream_info(
    conn: Connection, *, stream_id: StreamId, schema: str = DEFAULT_SCHEMA
) -> StreamInfo:
    """Return how far a stream has come, also of a deleted one.

    :raises StreamUnknown: when there is no such stream
    """
    rules.check_stream_id(stream_id)
    info = await store.read_stream_info(conn, stream_id=stream_id, schema=schema)
    if info is None:
        raise StreamUnknown("there is no stream of this name")
    return info


async def paginate_streams(
    conn: Connection,
    *,
    search: str | None = None,
    sort_by: StreamSort = StreamSort.STREAM_ID,
    is_descending: bool = False,
    after: str | None = None,
    limit: int = page.DEFAULT_ITEMS,
    schema: str = DEFAULT_SCHEMA,
) -> Page[StreamInfo]:
    """Return a page of the streams whose names hold `search`, all by default.

    :param after: the cursor of the page before
    :raises CursorInvalid: when it is none of a list in this order
    :raises ReadInvalid: when no name can hold `search`
    """
    rules.check_search(search)
    cursor = page.decode_cursor(after, _StreamCursor)
    if cursor is not None:
        _check_cursor(cursor, sort_by)
    rows = await store.paginate_streams(
        conn,
        search=search,
        sort_by=sort_by,
        is_descending=is_descending,
        after=None if cursor is None else (cursor.value, cursor.stream_id),
        max_count=limit + 1,
        schema=schema,
    )
    return page.make_page(
        rows,
        limit=limit,
        find_cursor=lambda info: page.encode_cursor(
            _StreamCursor(_read_sort_value(info, sort_by), info.stream_id)
        ),
    )


def _read_sort_value(info: StreamInfo, sort_by: StreamSort) -> str:
    match sort_by:
        case StreamSort.STREAM_ID:
            return info.stream_id
        case StreamSort.STREAM_VERSION:
            return str(info.stream_version)
        case StreamSort.CREATED_AT:
            return info.created_at.isoformat()
        case StreamSort.UPDATED_AT:
            return info.updated_at.isoformat()


def _check_cursor(cursor: _StreamCursor, sort_by: StreamSort) -> None:
    """Refuse the cursor of a list in another order, whose value the database could not read."""
    try:
        rules.check_stream_id(cursor.stream_id)
        match sort_by:
            case StreamSort.STREAM_ID:
                rules.check_stream_id(cursor.value)
            case StreamSort.STREAM_VERSION:
                msgspec.convert(cursor.value, _Version, strict=False)
            case StreamSort.CREATED_AT | StreamSort.UPDATED_AT:
                msgspec.convert(cursor.value, _Instant)
    except (ReadInvalid, msgspec.ValidationError) as e:
        message = "is a cursor of a list in another order"
        raise page.CursorInvalid("the page cannot be found", (FieldError("after", message),)) from e


async def link_to_stream(
    conn: Connection,
    *,
    stream_id: StreamId,
    event_ids: Sequence[int],
    expected_version: ExpectedVersion = Expected.ANY,
    now: datetime.datetime,
    schema: str = DEFAULT_SCHEMA,
) -> int:
    """Put events that are in the store into a further stream, in this order; return its version.

    :raises EventUnknown: when there is no such event; none was linked then
    :raises DuplicateLink: when one stands there already; none was linked then
    :raises WrongExpectedVersion: when the stream is not at `expected_version`
    :raises StreamDeleted: when it was deleted
    :raises AppendInvalid: when no stream can have this name
    """
    rules.check_link(stream_id, event_ids, expected_version)
    return await store.link_to_stream(
        conn,
        stream_id=stream_id,
        expected_version=expected_version,
        event_ids=event_ids,
        now=now,
        schema=schema,
    )


async def delete_stream(
    conn: Connection,
    *,
    stream_id: StreamId,
    expected_version: ExpectedVersion = Expected.ANY,
    actor: str,
    now: datetime.datetime,
    schema: str = DEFAULT_SCHEMA,
) -> int:
    """Close a stream for reading and appending; return its last version. `$all` keeps its events.

    :raises StreamUnknown: when there is no such stream
    :raises StreamDeleted: when it was deleted before
    :raises WrongExpectedVersion: when the stream is not at `expected_version`
    :raises AppendInvalid: when no stream can be there
    """
    rules.check_stream_id(stream_id)
    rules.check_version(expected_version)
    return await store.delete_stream(
        conn,
        stream_id=stream_id,
        expected_version=expected_version,
        actor=actor,
        now=now,
        schema=schema,
    )


async def erase_stream(
    conn: Connection,
    *,
    stream_id: StreamId,
    is_allowed: bool,
    expected_version: ExpectedVersion = Expected.ANY,
    actor: str,
    now: datetime.datetime,
    schema: str = DEFAULT_SCHEMA,
) -> int:
    """Erase the events of a stream for good, deleted or not; return how many there were.

    Its name and versions are never given again, and `$all` has gaps where they stood.

    :raises ErasureForbidden: unless the configuration allows it
    :raises StreamUnknown: when there is no such stream
    :raises WrongExpectedVersion: when the stream is not at `expected_version`
    """
    if not is_allowed:
        raise ErasureForbidden("erasing events is for good: EMBERKEEP_ALLOW_ERASURE=yes allows it")
    rules.check_stream_id(stream_id)
    rules.check_version(expected_version)
    return await store.erase_stream(
        conn,
        stream_id=stream_id,
        expected_version=expected_version,
        actor=actor,
        now=now,
        schema=schema,
    )
