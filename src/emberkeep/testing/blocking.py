"""The same store for tests that are plain functions: each call returns when it is done."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import datetime
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, TypeVar

from emberkeep.events.model import (
    ALL_STREAMS,
    EVERYTHING,
    Appended,
    Expected,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    Source,
)
from emberkeep.testing.events import Fact
from emberkeep.testing.store import PATIENCE_S, CleanStore, Matches

T = TypeVar("T")


@contextlib.contextmanager
def open_runner() -> Generator[Runner]:
    """Lend what runs coroutines to their end in a thread of its own.

    There, because the thread of the test may have a loop that runs already.
    """
    runner = asyncio.Runner()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        try:
            yield Runner(thread, runner)
        finally:
            # A loop is made and closed where it runs.
            thread.submit(runner.close).result()


class Runner:
    """Runs one coroutine at a time, all in one event loop."""

    def __init__(
        self, thread: concurrent.futures.ThreadPoolExecutor, runner: asyncio.Runner
    ) -> None:
        self._thread = thread
        self._runner = runner

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, or raise what it raises."""
        return self._thread.submit(self._runner.run, work).result()


class BlockingStore:
    """What `CleanStore` does, without a word of `async`; the errors are the same."""

    def __init__(self, store: CleanStore, runner: Runner) -> None:
        self._store = store
        self._runner = runner

    @property
    def dsn(self) -> str:
        """The connection string of the database."""
        return self._store.dsn

    @property
    def schema(self) -> str:
        """The schema of the store."""
        return self._store.schema

    def create_test_stream(
        self,
        stream_id: str,
        events: Sequence[NewEvent],
        *,
        expected_version: ExpectedVersion = Expected.ANY,
        now: datetime.datetime | None = None,
    ) -> Appended:
        """Append `events` to a stream, whether or not it is there; return where they stand."""
        return self._runner.run(
            self._store.create_test_stream(
                stream_id, events, expected_version=expected_version, now=now
            )
        )

    def read_stream(self, stream_id: str = ALL_STREAMS) -> list[RecordedEvent]:
        """Return the events of a stream, or all in their order; none where there is no stream."""
        return self._runner.run(self._store.read_stream(stream_id))

    def read_facts(self, stream_id: str = ALL_STREAMS) -> list[Fact]:
        """Return what `read_stream` does as pairs of type and data."""
        return self._runner.run(self._store.read_facts(stream_id))

    def assert_events_appended(
        self, stream_id: str, expected: Sequence[tuple[str, object]], *, after: int = 0
    ) -> None:
        """Let pass a stream that holds these pairs of type and data after a version, and no others."""
        self._runner.run(self._store.assert_events_appended(stream_id, expected, after=after))

    def wait_for_event(
        self,
        event_type: str,
        *,
        matches: Matches | None = None,
        source: Source = EVERYTHING,
        after: int = 0,
        timeout_s: float = PATIENCE_S,
    ) -> RecordedEvent:
        """Return the first event of a type, once it is there."""
        return self._runner.run(
            self._store.wait_for_event(
                event_type, matches=matches, source=source, after=after, timeout_s=timeout_s
            )
        )

    def assert_no_event(
        self, event_type: str, *, matches: Matches | None = None, within_s: float = 0.1
    ) -> None:
        """Let pass a store into which no such event comes for a while, nor came before."""
        self._runner.run(
            self._store.assert_no_event(event_type, matches=matches, within_s=within_s)
        )

    def deliver_all(
        self,
        handler: Callable[[RecordedEvent], None],
        *,
        stream_id: str = ALL_STREAMS,
        event_types: Sequence[str] | None = None,
    ) -> int:
        """Give every event that is there to `handler`, in the test's own thread; return how many."""
        events = [
            event
            for event in self.read_stream(stream_id)
            if event_types is None or event.event_type in event_types
        ]
        for event in events:
            handler(event)
        return len(events)

    def add_store(self, schema: str) -> BlockingStore:
        """Create a further store in the same database; it is gone with it after the test."""
        return BlockingStore(self._runner.run(self._store.add_store(schema)), self._runner)
