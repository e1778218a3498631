"""Handle events: again when that fails, aside or not at all when it fails for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, assert_never

import structlog

from emberkeep.base import db
from emberkeep.base.db import Connection, Database
from emberkeep.base.tasks import run_until_first
from emberkeep.events.model import LeaseLost, OnFailure, RecordedEvent, SubscriptionPlan
from emberkeep.events.service.lane import Lane

_log = structlog.get_logger(__name__)


class WorkEnded(Exception):
    """There is no more to do: not a failure, and not the event's fault."""


class WorkDone(WorkEnded):
    """Everything that was to be dealt with is."""


Attempt = Callable[[RecordedEvent], Awaitable[None]]


class EventWork:
    """Gives one event after the other to `handle`, and acknowledges it."""

    def __init__(self, plan: SubscriptionPlan, handle: Callable[[Any], Awaitable[None]]) -> None:
        self._plan = plan
        self._handle = handle

    async def __call__(self, lane: Lane) -> None:
        """Work on a partition until cancelled."""
        # A replay is out of order by its nature, but never at the same time as another event.
        turn = asyncio.Lock()
        await run_until_first(self._handle_news(lane, turn), self._handle_replays(lane, turn))

    async def _handle_news(self, lane: Lane, turn: asyncio.Lock) -> None:
        while True:
            for event in await lane.read(self._plan.buffer_size):
                async with turn:
                    await self._deal_with(lane, event)
                lane.acknowledge(event.number)

    async def _deal_with(self, lane: Lane, event: RecordedEvent) -> None:
        error = await _try_often(self._plan, lambda e: self._handle(lane.deliver(e).value), event)
        if error is not None:
            await _give_up(self._plan, lane, event, error)

    async def _handle_replays(self, lane: Lane, turn: asyncio.Lock) -> None:
        while True:
            await lane.wait_for_call()
            for event in await lane.read_replays():
                async with turn:
                    await self._replay(lane, event)

    async def _replay(self, lane: Lane, event: RecordedEvent) -> None:
        try:
            await self._handle(lane.deliver(event).value)
        except Exception as e:
            if _is_passing(e):
                raise
            await lane.park(event, attempts=1, error=_describe(e))
        else:
            await lane.settle_replay(event)


class BatchWork:
    """Gives events to `handle` in the transaction that moves the checkpoint."""

    def __init__(
        self,
        plan: SubscriptionPlan,
        handle: Callable[[Connection, list[RecordedEvent]], Awaitable[None]],
        database: Database,
        *,
        until: int | None,
    ) -> None:
        self._plan = plan
        self._handle = handle
        self._database = database
        self._until = until

    async def __call__(self, lane: Lane) -> None:
        """Work on a partition until cancelled.

        :raises WorkDone: when everything up to `until` is dealt with
        """
        turn = asyncio.Lock()
        await run_until_first(self._handle_news(lane, turn), self._handle_replays(lane, turn))

    async def _handle_news(self, lane: Lane, turn: asyncio.Lock) -> None:
        while True:
            events = await lane.read(self._plan.buffer_size, until=self._until)
            if not events:
                raise WorkDone
            async with turn:
                await self._deal_with_all(lane, events)

    async def _deal_with_all(self, lane: Lane, events: list[RecordedEvent]) -> None:
        try:
            await self._handle_together(lane, events)
        except Exception as e:
            if _is_passing(e):
                raise
            for event in events:
                await self._deal_with(lane, event)

    async def _handle_together(self, lane: Lane, events: list[RecordedEvent]) -> None:
        async with self._database.transaction() as conn:
            await self._handle(conn, events)
            await lane.acknowledge_within(conn, events[-1])
        lane.note_committed(events[-1])

    async def _handle_replays(self, lane: Lane, turn: asyncio.Lock) -> None:
        while True:
            await lane.wait_for_call()
            for event in await lane.read_replays():
                async with turn:
                    await self._replay(lane, event)

    async def _replay(self, lane: Lane, event: RecordedEvent) -> None:
        try:
            async with self._database.transaction() as conn:
                await self._handle(conn, [event])
                await lane.settle_replay_within(conn, event)
        except Exception as e:
            if _is_passing(e):
                raise
            await lane.park(event, attempts=1, error=_describe(e))

    async def _deal_with(self, lane: Lane, event: RecordedEvent) -> None:
        error = await _try_often(self._plan, lambda e: self._handle_together(lane, [e]), event)
        if error is not None:
            await _give_up(self._plan, lane, event, error)
            lane.acknowledge(event.number)


async def _try_often(
    plan: SubscriptionPlan, attempt: Attempt, event: RecordedEvent
) -> Exception | None:
    """Return the last error, or None once an attempt has succeeded.

    :raises LeaseLost: when another consumer has the partition
    :raises Exception: that says the database is away: that is not the event's fault
    """
    for pause_s in (*plan.retry_pauses_s, None):
        try:
            await attempt(event)
        except Exception as e:
            if _is_passing(e):
                raise
            if pause_s is None:
                return e
            await asyncio.sleep(pause_s)
        else:
            return None
    raise AssertionError("the last attempt has no pause after it")


async def _give_up(
    plan: SubscriptionPlan, lane: Lane, event: RecordedEvent, error: Exception
) -> None:
    """Park the event, or stop the partition at it.

    :raises SubscriptionStopped: when the plan stops
    """
    attempts = len(plan.retry_pauses_s) + 1
    _log.error(
        "event_failed",
        subscription=plan.subscription_id,
        event_id=event.event_id,
        attempts=attempts,
        error=type(error).__name__,
    )
    match plan.on_failure:
        case OnFailure.PARK:
            await lane.park(event, attempts=attempts, error=_describe(error))
        case OnFailure.STOP:
            raise await lane.stop_at(event, error=_describe(error))
        case _:
            assert_never(plan.on_failure)


def _is_passing(error: Exception) -> bool:
    """Say whether that is not the event's fault: the database is away, or the lease is lost."""
    return isinstance(error, LeaseLost | WorkEnded) or db.is_passing(error)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
