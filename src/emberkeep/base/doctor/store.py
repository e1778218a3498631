"""Facts of a server: one function per statement in queries.sql."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from emberkeep.base import sql
from emberkeep.base.db import Connection
from emberkeep.base.doctor.model import RoleFacts, ServerFacts, ZoneOffsets

_SQL = sql.load("emberkeep.base.doctor")


async def read_server_facts(conn: Connection) -> ServerFacts:
    """Return what the server says of itself."""
    cursor = await conn.execute(_SQL["read_server_facts"])
    row = await cursor.fetchone()
    assert row is not None
    version, number, encoding, fsync, full_page_writes, commit, connections, now = row
    return ServerFacts(
        version=version,
        version_number=number,
        encoding=encoding,
        fsync=fsync,
        full_page_writes=full_page_writes,
        synchronous_commit=commit,
        max_connections=connections,
        now=now,
    )


async def read_role_facts(conn: Connection, *, schemas: Sequence[str]) -> RoleFacts:
    """Return what the connection's role may do to `schemas`."""
    cursor = await conn.execute(_SQL["read_role_facts"], {"schemas": list(schemas)})
    row = await cursor.fetchone()
    assert row is not None
    name, is_superuser, changeable = row
    return RoleFacts(name=name, is_superuser=is_superuser, changeable_schemas=tuple(changeable))


async def read_zone_offsets(
    conn: Connection, *, zones: Sequence[str], instants: Sequence[datetime.datetime]
) -> ZoneOffsets:
    """Return the server's offsets of `zones` at `instants`, which rise."""
    cursor = await conn.execute(
        _SQL["read_zone_offsets"], {"zones": list(zones), "instants": list(instants)}
    )
    offsets_s = {name: tuple(offsets) for name, offsets in await cursor.fetchall()}
    return ZoneOffsets(instants=tuple(instants), offsets_s=offsets_s)
