"""A store's life: made in a schema of its own, migrated, looked at, emptied, dropped.

Several stand side by side in one database, and know nothing of each other.
"""

from __future__ import annotations

import datetime
from typing import Final

import msgspec

from emberkeep.base import db
from emberkeep.base.errors import FieldError, NotFound, Unavailable
from emberkeep.events import store
from emberkeep.events.model import DEFAULT_SCHEMA, ReadInvalid
from emberkeep.events.rules import append as rules
from emberkeep.migrate import service as migrations
from emberkeep.migrate.model import DEFAULT_SETS, Applied, MigrationSet, VersionStatus

_SET: Final = next(known for known in DEFAULT_SETS if known.schema == DEFAULT_SCHEMA)
_TAKEN: Final = {known.schema for known in DEFAULT_SETS if known is not _SET} | {
    "public",
    "information_schema",
}


class StoreUnknown(NotFound):
    """There is no event store in a schema of this name."""

    code = "events.store_unknown"


class StoreBehind(Unavailable):
    """The store is not at the version that this code needs; `emberkeep events migrate` helps."""

    code = "events.store_behind"


class StoreFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How much a store holds. `$all` is final up to `horizon`; `last_event_id` was handed out."""

    streams: int
    events: int
    horizon: int
    last_event_id: int
    size_bytes: int


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a store stands; without figures while it is not at the newest version."""

    schema: str
    versions: tuple[VersionStatus, ...]
    figures: StoreFigures | None

    @property
    def is_there(self) -> bool:
        """Whether any version was applied."""
        return any(version.state != "pending" for version in self.versions)

    @property
    def is_sound(self) -> bool:
        """Whether nothing stands in the way of what is pending, if anything is."""
        return all(version.state in ("clean", "pending") for version in self.versions)

    @property
    def pending(self) -> int:
        """How many versions are to be applied."""
        return sum(version.state == "pending" for version in self.versions)


def name_command(command: str, schema: str) -> str:
    """Return the words with which an operator calls a command for a store."""
    words = f"emberkeep events {command}"
    return words if schema == DEFAULT_SCHEMA else f"{words} --schema {schema}"


async def create_store(dsn: str, *, schema: str, now: datetime.datetime) -> tuple[Applied, ...]:
    """Create a store, unless it is there; return what was applied.

    :raises ReadInvalid: when no store can have this name
    :raises RightsMissing: when the role may not
    """
    return await migrations.apply_migrations(dsn, now=now, sets=(_make_set(schema),))


async def migrate_store(dsn: str, *, schema: str, now: datetime.datetime) -> tuple[Applied, ...]:
    """Apply what is pending of a store that is there; return what was applied.

    :raises StoreUnknown: when it is not
    """
    await _require_store(dsn, schema)
    return await create_store(dsn, schema=schema, now=now)


async def require_store(dsn: str, *, schema: str) -> None:
    """Let pass a store that can be worked with.

    :raises ReadInvalid: when no store can have this name
    :raises StoreUnknown: when there is none
    :raises StoreBehind: when it is not at the newest version
    """
    versions = await _require_store(dsn, schema)
    if any(version.state != "clean" for version in versions):
        raise StoreBehind(
            f"the store {schema} is not at the version that this code needs;"
            f" `{name_command('status', schema)}` says more",
            schema=schema,
        )


async def read_store_status(dsn: str, *, schema: str = DEFAULT_SCHEMA) -> StoreStatus:
    """Return where a store stands. Its events are counted one by one.

    :raises ReadInvalid: when no store can have this name
    """
    versions = await _read_versions(dsn, schema)
    is_current = all(version.state == "clean" for version in versions)
    return StoreStatus(
        schema=schema,
        versions=versions,
        figures=await _read_figures(dsn, schema) if is_current else None,
    )


async def reset_store(
    dsn: str, *, schema: str, is_allowed: bool, now: datetime.datetime
) -> tuple[Applied, ...]:
    """Drop a store with everything in it, and create it anew; return what was applied.

    :raises DestructionForbidden: unless the configuration allows it
    :raises StoreUnknown: when there is none
    """
    if is_allowed:
        await _require_store(dsn, schema)
    return await migrations.reset_schemas(
        dsn, is_allowed=is_allowed, now=now, sets=(_make_set(schema),)
    )


async def drop_store(dsn: str, *, schema: str, is_allowed: bool) -> None:
    """Drop a store with everything in it.

    :raises DestructionForbidden: unless the configuration allows it
    :raises StoreUnknown: when there is none
    """
    if is_allowed:
        await _require_store(dsn, schema)
    await migrations.drop_schemas(dsn, is_allowed=is_allowed, sets=(_make_set(schema),))


async def _read_versions(dsn: str, schema: str) -> tuple[VersionStatus, ...]:
    return await migrations.read_status(dsn, sets=(_make_set(schema),))


async def _read_figures(dsn: str, schema: str) -> StoreFigures:
    async with await db.connect(dsn, application="emberkeep events") as conn:
        horizon = await store.read_horizon(conn, schema=schema)
        streams, events, size_bytes = await store.measure_store(conn, schema=schema)
    return StoreFigures(
        streams=streams,
        events=events,
        horizon=horizon.event_id,
        last_event_id=horizon.last_event_id,
        size_bytes=size_bytes,
    )


def _make_set(schema: str) -> MigrationSet:
    rules.check_schema(schema)
    if schema in _TAKEN:
        message = "is not for event stores: other things live there"
        raise ReadInvalid("no store can have this name", (FieldError("schema", message),))
    return MigrationSet(_SET.name, _SET.source, schema)


async def _require_store(dsn: str, schema: str) -> tuple[VersionStatus, ...]:
    """Return the versions of a store that is there: what else a schema holds was not made by us."""
    versions = await _read_versions(dsn, schema)
    if all(version.state == "pending" for version in versions):
        raise StoreUnknown(
            f"there is no event store in the schema {schema};"
            f" `{name_command('init', schema)}` makes one",
            schema=schema,
        )
    return versions
