"""Append: many appends to many streams in one round trip; one is a batch of one."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from emberkeep.base.db import Connection
from emberkeep.base.errors import EmberkeepError
from emberkeep.events import store
from emberkeep.events.model import (
    DEFAULT_SCHEMA,
    Append,
    Appended,
    Expected,
    ExpectedVersion,
    NewEvent,
    StreamId,
)
from emberkeep.events.rules import append as rules

# So many events are sent in one statement: enough to bury its cost, and a few megabytes at most.
_MAX_EVENTS_AT_ONCE: Final = 5_000


async def append_to_streams(
    conn: Connection,
    *,
    appends: Sequence[Append],
    now: datetime.datetime,
    schema: str = DEFAULT_SCHEMA,
) -> None:
    """Append all of it in the caller's transaction: the cheap way, for appends that expect nothing.

    Ids of events are not kept, so it must not be repeated. The order within a stream is the order
    given. In a pipeline (`db.atomically`) an error of the database rises at the end of the block:
    put it into `refusals()`, so that it is one of these.

    :raises StreamDeleted: when one of the streams was; nothing was appended
    """
    assert all(append.expected_version is Expected.ANY for append in appends)
    if appends:
        await store.append_to_streams(conn, appends=appends, now=now, schema=schema)


async def append_batch(
    conn: Connection,
    *,
    appends: Sequence[Append],
    now: datetime.datetime,
    schema: str = DEFAULT_SCHEMA,
) -> list[Appended | EmberkeepError]:
    """Append what can be, each append by itself; answer them in order, an error being an answer.

    In the caller's transaction, or each statement in its own. An append one of whose `event_uuid`
    was seen before is answered with where it stands, if it is the same append.

    Errors are AppendInvalid, WrongExpectedVersion, StreamDeleted, DuplicateEventUuid.

    :raises AppendInvalid: when the database cannot keep a value; nothing was appended by the
        statement that held it
    """
    faults = [_find_fault(append) for append in appends]
    sound = [append for append, fault in zip(appends, faults, strict=True) if fault is None]
    answers = iter(await append_sound(conn, appends=sound, now=now, schema=schema))
    return [next(answers) if fault is None else fault for fault in faults]


async def append_sound(
    conn: Connection, *, appends: Sequence[Append], now: datetime.datetime, schema: str
) -> list[Appended | EmberkeepError]:
    """Do what `append_batch` does, for appends that were checked already."""
    answers: list[Appended | EmberkeepError] = []
    for group in _split(appends):
        answers += await store.append_batch(conn, appends=group, now=now, schema=schema)
    return answers


def _find_fault(append: Append) -> EmberkeepError | None:
    try:
        rules.check_append(append)
    except EmberkeepError as e:
        return e
    return None


def _split(appends: Sequence[Append]) -> list[list[Append]]:
    """Return the appends in groups, none of which has too many events unless it is one append.

    An id that a group has already begins the next, which finds it in the store.
    """
    groups: list[list[Append]] = []
    room = 0
    uuids: set[UUID] = set()
    for append in appends:
        own = {event.event_uuid for event in append.events if event.event_uuid is not None}
        if len(append.events) > room or not uuids.isdisjoint(own):
            groups.append([])
            room = _MAX_EVENTS_AT_ONCE
            uuids = set()
        groups[-1].append(append)
        room -= len(append.events)
        uuids |= own
    return groups


async def append_to_stream(
    conn: Connection,
    *,
    stream_id: StreamId,
    events: Sequence[NewEvent],
    expected_version: ExpectedVersion = Expected.ANY,
    now: datetime.datetime,
    schema: str = DEFAULT_SCHEMA,
) -> Appended:
    """Append `events` to one stream, all or none; return where they stand.

    :raises AppendInvalid: when no store could take them
    :raises WrongExpectedVersion: when the stream is not at `expected_version`
    :raises StreamDeleted: when it was deleted
    :raises DuplicateEventUuid: when an `event_uuid` belongs to another event
    """
    append = Append(stream_id=stream_id, events=tuple(events), expected_version=expected_version)
    (answer,) = await append_batch(conn, appends=[append], now=now, schema=schema)
    if isinstance(answer, EmberkeepError):
        raise answer
    return answer
