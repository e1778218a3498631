"""Append: many appends to many streams in one round trip; one is a batch of one."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

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
    answers: list[Appended | EmberkeepError | None] = [_find_fault(append) for append in appends]
    sound = [n for n, answer in enumerate(answers) if answer is None]
    for numbers in _split(sound, appends):
        group = [appends[n] for n in numbers]
        answered = await store.append_batch(conn, appends=group, now=now, schema=schema)
        for n, answer in zip(numbers, answered, strict=True):
            answers[n] = answer
    return [answer for answer in answers if answer is not None]


def _find_fault(append: Append) -> EmberkeepError | None:
    try:
        rules.check_append(append)
    except EmberkeepError as e:
        return e
    return None


def _split(numbers: Sequence[int], appends: Sequence[Append]) -> list[list[int]]:
    """Return the numbers in groups, none of which has too many events unless it is one append."""
    groups: list[list[int]] = []
    room = 0
    for n in numbers:
        size = len(appends[n].events)
        if size > room:
            groups.append([])
            room = _MAX_EVENTS_AT_ONCE
        groups[-1].append(n)
        room -= size
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
