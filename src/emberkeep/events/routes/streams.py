"""Streams over HTTP: a list of them, one of them, and its end."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Final

from litestar import delete, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from emberkeep.base import identity, page
from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.events import service
from emberkeep.events.model import StreamId, StreamInfo, StreamSort
from emberkeep.events.routes.shapes import After, Limit, StreamPath
from emberkeep.events.service.drafts import parse_expected_version
from emberkeep.events.service.services import EventServices

_TAGS: Final = ["streams"]


class SortDirection(enum.StrEnum):
    """Which end of a list comes first."""

    ASCENDING = "ascending"
    DESCENDING = "descending"


@get(
    "/v1/streams",
    opt={"permission": Permission.READ_EVENTS},
    tags=_TAGS,
    summary="List streams",
)
async def list_streams(
    conn: NamedDependency[Connection],
    search: Annotated[
        str | None, QueryParameter(description="Only streams whose name holds this.")
    ] = None,
    sort_by: Annotated[
        StreamSort, QueryParameter(description="What the list is in the order of.")
    ] = StreamSort.STREAM_ID,
    direction: Annotated[
        SortDirection, QueryParameter(description="Which end of it comes first.")
    ] = SortDirection.ASCENDING,
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[StreamInfo]:
    """Deleted streams are among them, with `deleted_at`; erased ones have `erased_at` too.

    Refusals: `request.cursor_invalid` (422).
    """
    return await service.paginate_streams(
        conn,
        search=search,
        sort_by=sort_by,
        is_descending=direction is SortDirection.DESCENDING,
        after=after,
        limit=limit,
    )


@get(
    "/v1/streams/{stream_id:str}",
    opt={"permission": Permission.READ_EVENTS},
    tags=_TAGS,
    summary="How far a stream has come",
)
async def read_stream(stream_id: StreamPath, conn: NamedDependency[Connection]) -> StreamInfo:
    """`stream_version` is the version of the last event. A deleted stream has `deleted_at`.

    Refusals: `events.stream_unknown` (404), `events.read_invalid` (422).
    """
    return await service.read_stream_info(conn, stream_id=StreamId(stream_id))


@delete(
    "/v1/streams/{stream_id:str}",
    opt={"permission": Permission.DELETE_STREAMS},
    status_code=200,
    tags=_TAGS,
    summary="Delete a stream, or erase it for good",
)
async def delete_stream(
    stream_id: StreamPath,
    conn: NamedDependency[Connection],
    principal: NamedDependency[Principal],
    now: NamedDependency[datetime.datetime],
    events: NamedDependency[EventServices],
    expected_version: Annotated[
        str, QueryParameter(description="As of an append: only if the stream is there.")
    ] = "any",
    erase: Annotated[
        bool, QueryParameter(description="Erase the events themselves, and every link to them.")
    ] = False,
) -> StreamInfo:
    """A deleted stream takes no more events and shows none; its events stay in `$all`, and its name
    is never used again.

    `erase=true` removes the events for good, also of a stream that was deleted before: `$all` has
    gaps where they stood. Only an admin may, and only where `EMBERKEEP_ALLOW_ERASURE` allows it.

    Refusals: `events.stream_unknown` (404), `events.stream_deleted` and
    `events.wrong_expected_version` (409), `events.erasure_forbidden` and `request.role_refused`
    (403), `events.read_invalid` and `events.append_invalid` (422).
    """
    name, expected = StreamId(stream_id), parse_expected_version(expected_version)
    if erase:
        identity.require(principal, Permission.ERASE_STREAMS)
        await service.erase_stream(
            conn,
            stream_id=name,
            is_allowed=events.allow_erasure,
            expected_version=expected,
            actor=principal.subject,
            now=now,
        )
    else:
        await service.delete_stream(
            conn, stream_id=name, expected_version=expected, actor=principal.subject, now=now
        )
    return await service.read_stream_info(conn, stream_id=name)
