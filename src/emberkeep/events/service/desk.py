"""The appends of one process: those that wait are sent together, and each has its own answer."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

import msgspec

from emberkeep.base import clock, db
from emberkeep.base.batch import Batcher
from emberkeep.base.db import Connection
from emberkeep.base.errors import EmberkeepError
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
from emberkeep.events.service.appends import append_sound

_MAX_APPENDS: Final = 512


class _Request(msgspec.Struct, frozen=True, gc=False):
    append: Append
    now: datetime.datetime


class AppendDesk:
    """Takes one append at a time from anywhere in the process.

    Each append travels with an id, so that it can be given again when a reply was lost: it is
    written once, and answered with where it stands.
    """

    def __init__(self, dsn: str, *, connections: int, schema: str = DEFAULT_SCHEMA) -> None:
        self._schema = schema
        self._batcher: Batcher[_Request, Appended] = Batcher(
            self._answer_batch, dsn=dsn, connections=connections, max_size=_MAX_APPENDS
        )

    async def start(self) -> None:
        """Open the connections and begin to take appends.

        :raises DatabaseUnavailable: when the database cannot be reached
        """
        await self._batcher.start()

    async def stop(self) -> None:
        """Answer the appends that wait, then stop."""
        await self._batcher.stop()

    async def append(
        self,
        *,
        stream_id: StreamId,
        events: Sequence[NewEvent],
        expected_version: ExpectedVersion = Expected.ANY,
        now: datetime.datetime,
    ) -> Appended:
        """Append `events` to one stream, all or none; return where they stand.

        The errors are those of `append_to_stream`.

        :raises Unavailable: when the database does not answer; OutcomeUnknown, when it may have
            written: the same events with an `event_uuid` of the caller's can be given again
        """
        append = Append(
            stream_id=stream_id,
            events=_give_id(tuple(events)),
            expected_version=expected_version,
        )
        # Here, so that one that can never be written does not hold up those it would wait with.
        rules.check_append(append)
        return await self._batcher.submit(_Request(append, now))

    async def _answer_batch(
        self, conn: Connection, requests: Sequence[_Request]
    ) -> Sequence[Appended | EmberkeepError]:
        with db.committing():
            return await append_sound(
                conn,
                appends=[request.append for request in requests],
                now=requests[-1].now,
                schema=self._schema,
            )


def _give_id(events: tuple[NewEvent, ...]) -> tuple[NewEvent, ...]:
    """Return the events, one of which has an id: that is enough to know the append again."""
    if not events or any(event.event_uuid is not None for event in events):
        return events
    first = msgspec.structs.replace(events[0], event_uuid=clock.new_ordered_id())
    return (first, *events[1:])
