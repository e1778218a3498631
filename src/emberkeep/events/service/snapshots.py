"""Snapshots: a folded state, so that a long stream need not be read from its beginning."""

from __future__ import annotations

from emberkeep.base.db import Connection
from emberkeep.events import store
from emberkeep.events.model import DEFAULT_SCHEMA, Snapshot, SnapshotUnknown
from emberkeep.events.rules import append as rules


async def record_snapshot(
    conn: Connection, *, snapshot: Snapshot, schema: str = DEFAULT_SCHEMA
) -> int:
    """Keep the state of a source, unless a newer one is kept; return the version that is kept.

    :raises AppendInvalid: when it cannot be kept
    """
    rules.check_snapshot(snapshot)
    return await store.record_snapshot(conn, snapshot=snapshot, schema=schema)


async def read_snapshot(
    conn: Connection, *, source_id: str, schema: str = DEFAULT_SCHEMA
) -> Snapshot:
    """Return the state that is kept of a source.

    :raises SnapshotUnknown: when none is
    """
    rules.check_stream_id(source_id)
    snapshot = await store.read_snapshot(conn, source_id=source_id, schema=schema)
    if snapshot is None:
        raise SnapshotUnknown("no state of this source is kept")
    return snapshot


async def delete_snapshot(
    conn: Connection, *, source_id: str, schema: str = DEFAULT_SCHEMA
) -> None:
    """Forget the state that is kept of a source.

    :raises SnapshotUnknown: when none is
    """
    rules.check_stream_id(source_id)
    if not await store.delete_snapshot(conn, source_id=source_id, schema=schema):
        raise SnapshotUnknown("no state of this source is kept")
