"""Snapshots over HTTP: the latest state of a source, kept by whoever folded it."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import delete, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission
from emberkeep.events import service
from emberkeep.events.model import Snapshot
from emberkeep.events.routes.shapes import MAX_NUMBER, Body, SourcePath

_TAGS: Final = ["snapshots"]


class SnapshotBody(Body, frozen=True):
    """A state, the version of the source that it is of, and what kind of thing it is."""

    source_version: Annotated[int, msgspec.Meta(ge=1, le=MAX_NUMBER)]
    source_type: str
    data: Any
    metadata: dict[str, Any] | None = None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The version whose state is kept now, which may be a newer one than was sent."""

    source_id: str
    source_version: int


@put(
    "/v1/snapshots/{source_id:str}",
    opt={"permission": Permission.APPEND_EVENTS},
    tags=_TAGS,
    summary="Keep the state of a source",
)
async def put_snapshot(
    source_id: SourcePath,
    data: JSONBody[SnapshotBody],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
) -> Kept:
    """One state is kept a source. A newer one is never overwritten by an older one: whoever is late
    is answered with the version that is kept.

    Refusals: `events.append_invalid` (422).
    """
    snapshot = Snapshot(
        source_id=source_id,
        source_version=data.source_version,
        source_type=data.source_type,
        data=data.data,
        metadata=data.metadata,
        created_at=now,
    )
    version = await service.record_snapshot(conn, snapshot=snapshot)
    return Kept(source_id=source_id, source_version=version)


@get(
    "/v1/snapshots/{source_id:str}",
    opt={"permission": Permission.READ_EVENTS},
    tags=_TAGS,
    summary="Read the state of a source",
)
async def read_snapshot(source_id: SourcePath, conn: NamedDependency[Connection]) -> Snapshot:
    """Read the events after `source_version` on top of it.

    Refusals: `events.snapshot_unknown` (404), `events.read_invalid` (422).
    """
    return await service.read_snapshot(conn, source_id=source_id)


@delete(
    "/v1/snapshots/{source_id:str}",
    opt={"permission": Permission.APPEND_EVENTS},
    tags=_TAGS,
    summary="Forget the state of a source",
)
async def delete_snapshot(source_id: SourcePath, conn: NamedDependency[Connection]) -> None:
    """The events are not touched: the state can be folded again.

    Refusals: `events.snapshot_unknown` (404), `events.read_invalid` (422).
    """
    await service.delete_snapshot(conn, source_id=source_id)
