"""A store that is empty when the test begins, and what tests do with one.

It needs no event loop of its own: each call connects, so that any runner of async tests will do.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final

from emberkeep.base import clock, db
from emberkeep.base.db import Connection
from emberkeep.events.model import (
    ALL_STREAMS,
    DEFAULT_SCHEMA,
    EVERYTHING,
    Appended,
    Expected,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    Source,
    StreamId,
    StreamUnknown,
)
from emberkeep.events.service import SubscriptionHub, append_to_stream, iterate_events
from emberkeep.events.service.stores import create_store
from emberkeep.testing.events import Fact, check_facts, list_facts, show_events

Matches = Callable[[RecordedEvent], bool]
Handler = Callable[[RecordedEvent], Awaitable[None] | None]

PATIENCE_S: Final = 5.0
_HUB_CONNECTIONS: Final = 8


class CleanStore:
    """An event store of the test's own. `dsn` and `schema` say where it is."""

    def __init__(self, dsn: str, *, schema: str = DEFAULT_SCHEMA) -> None:
        self.dsn = dsn
        self.schema = schema

    async def create_test_stream(
        self,
        stream_id: str,
        events: Sequence[NewEvent],
        *,
        expected_version: ExpectedVersion = Expected.ANY,
        now: datetime.datetime | None = None,
    ) -> Appended:
        """Append `events` to a stream, whether or not it is there; return where they stand.

        Errors are those of `append_to_stream`.
        """
        async with self.connect() as conn:
            return await append_to_stream(
                conn,
                stream_id=StreamId(stream_id),
                events=events,
                expected_version=expected_version,
                now=now or clock.read_now(),
                schema=self.schema,
            )

    async def read_stream(self, stream_id: str = ALL_STREAMS) -> list[RecordedEvent]:
        """Return the events of a stream, or all in their order; none where there is no stream.

        :raises StreamDeleted: when it was deleted
        """
        async with db.open_database(self.dsn, connections=1) as database:
            events = iterate_events(database, stream_id=StreamId(stream_id), schema=self.schema)
            try:
                return [event async for event in events]
            except StreamUnknown:
                return []

    async def read_facts(self, stream_id: str = ALL_STREAMS) -> list[Fact]:
        """Return what `read_stream` does as pairs of type and data."""
        return list_facts(await self.read_stream(stream_id))

    async def assert_events_appended(
        self, stream_id: str, expected: Sequence[tuple[str, object]], *, after: int = 0
    ) -> None:
        """Let pass a stream that holds these pairs of type and data after a version, and no others.

        :raises AssertionError: with what it holds instead
        """
        events = await self.read_stream(stream_id)
        found = [event for event in events if event.number > after]
        check_facts(f"{stream_id} after {after}", found, expected)

    async def wait_for_event(
        self,
        event_type: str,
        *,
        matches: Matches | None = None,
        source: Source = EVERYTHING,
        after: int = 0,
        timeout_s: float = PATIENCE_S,
    ) -> RecordedEvent:
        """Return the first event of a type, once it is there.

        :param after: the number in `source` that it has to come after
        :raises AssertionError: with the events that there are, when it does not come in time
        """
        event = await self._find_event(event_type, matches, source, after, timeout_s)
        if event is None:
            there = show_events(await self.read_stream())
            raise AssertionError(f"no {event_type} came within {timeout_s} s; there is:{there}")
        return event

    async def assert_no_event(
        self, event_type: str, *, matches: Matches | None = None, within_s: float = 0.1
    ) -> None:
        """Let pass a store into which no such event comes for a while, nor came before.

        :raises AssertionError: with the event
        """
        past = await self.read_stream()
        event = next((event for event in past if _fits(event, event_type, matches)), None)
        if event is None:
            after = past[-1].number if past else 0
            event = await self._find_event(event_type, matches, EVERYTHING, after, within_s)
        if event is not None:
            raise AssertionError(f"there is an event that should not be:{show_events([event])}")

    async def deliver_all(
        self,
        handler: Handler,
        *,
        stream_id: str = ALL_STREAMS,
        event_types: Sequence[str] | None = None,
    ) -> int:
        """Give every event that is there to `handler`, one after the other; return how many."""
        events = [
            event
            for event in await self.read_stream(stream_id)
            if event_types is None or event.event_type in event_types
        ]
        for event in events:
            done = handler(event)
            if inspect.isawaitable(done):
                await done
        return len(events)

    async def add_store(self, schema: str) -> CleanStore:
        """Create a further store in the same database; it is gone with it after the test.

        :raises ReadInvalid: when no store can have this name
        """
        await create_store(self.dsn, schema=schema, now=clock.read_now())
        return CleanStore(self.dsn, schema=schema)

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncGenerator[Connection]:
        """Lend a connection in autocommit mode, for whatever `emberkeep.events.service` offers."""
        async with await db.connect(self.dsn, application="emberkeep-testing") as conn:
            yield conn

    @contextlib.asynccontextmanager
    async def open_hub(self) -> AsyncGenerator[SubscriptionHub]:
        """Lend a hub that was started, for whoever follows the store or subscribes to it."""
        async with db.open_database(self.dsn, connections=_HUB_CONNECTIONS) as database:
            hub = SubscriptionHub(database, schema=self.schema)
            await hub.start()
            try:
                yield hub
            finally:
                await hub.stop()

    async def _find_event(
        self,
        event_type: str,
        matches: Matches | None,
        source: Source,
        after: int,
        timeout_s: float,
    ) -> RecordedEvent | None:
        """Return the first event that fits, or None when the time is up."""
        async with self.open_hub() as hub:
            follow = hub.follow(source, after=after, event_types=(event_type,))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s), contextlib.aclosing(follow):
                    async for event in follow:
                        if _fits(event, event_type, matches):
                            return event
        return None


def _fits(event: RecordedEvent, event_type: str, matches: Matches | None) -> bool:
    return event.event_type == event_type and (matches is None or matches(event))
