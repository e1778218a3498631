"""What the tests of subscriptions share: hubs, and consumers that remember what they were given."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from emberkeep.base.db import open_database
from emberkeep.events.model import (
    EVERYTHING,
    RecordedEvent,
    Source,
    SubscriptionId,
    SubscriptionPlan,
)
from emberkeep.events.service import SubscriptionHub

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

PATIENCE_S = 20.0


@contextlib.asynccontextmanager
async def open_hub(dsn: str, **settings: Any) -> AsyncGenerator[SubscriptionHub]:
    """Open a hub of its own, as another process would have it."""
    async with open_database(dsn, connections=8) as database:
        hub = SubscriptionHub(database, **settings)
        await hub.start()
        try:
            yield hub
        finally:
            await hub.stop()


def make_plan(name: str = "s", source: Source = EVERYTHING, **settings: Any) -> SubscriptionPlan:
    """Return a plan that writes its checkpoints at once and gives up quickly."""
    settings = {"checkpoint_every": 1, "retry_pauses_s": (), **settings}
    return SubscriptionPlan(subscription_id=SubscriptionId(name), source=source, **settings)


class Consumer:
    """Remembers what it was given, and can be told to fail."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self.find_failure: Callable[[RecordedEvent], Exception | None] = lambda _: None
        self._has_news = asyncio.Condition()

    @property
    def numbers(self) -> list[int]:
        """The `n` of each event it was given."""
        return [event.data["n"] for event in self.events]  # type: ignore[index]

    async def handle(self, event: RecordedEvent) -> None:
        """Take one event, or raise what it was told to."""
        async with self._has_news:
            self.events.append(event)
            self._has_news.notify_all()
        failure = self.find_failure(event)
        if failure is not None:
            raise failure

    async def await_events(self, count: int) -> None:
        """Wait until it was given so many."""
        async with asyncio.timeout(PATIENCE_S), self._has_news:
            await self._has_news.wait_for(lambda: len(self.events) >= count)


@contextlib.asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncGenerator[asyncio.Task[None]]:
    """Let `work` go on for the length of the block; what it raises is raised at the end."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.02)
