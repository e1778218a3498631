"""Projections: tables that follow the events, each event once, in the checkpoint's transaction.

generation 1, live ─────────────── readers see it ──────────────┐ switch, then cleared
generation 2, built beside it, from the first event on ─────────┴─── readers see it
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Final

from emberkeep.base import clock
from emberkeep.base.db import Connection
from emberkeep.events import store
from emberkeep.events.model import (
    DEFAULT_SCHEMA,
    EVERYTHING,
    OnFailure,
    RecordedEvent,
    Source,
    SubscriptionId,
    SubscriptionPlan,
    SubscriptionUnknown,
    TypeCount,
)
from emberkeep.events.rules import subscription as rules
from emberkeep.events.rules.counting import count_types
from emberkeep.events.service.handling import WorkEnded
from emberkeep.events.service.hub import SubscriptionHub

PROJECTION_PREFIX: Final = "projection:"
"""What the names of the subscriptions begin with that keep projections."""

OnProgress = Callable[[int, int], None]
"""Takes the position that was reached, and the last one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """How events become rows. Every row belongs to a generation.

    `handle` writes what a batch of events adds to a generation, on the connection it is given, and
    has no other effect. `clear` takes a generation's rows away. Readers join the generation that is
    live in `projections`.
    """

    name: str
    handle: Callable[[Connection, list[RecordedEvent], int], Awaitable[None]]
    clear: Callable[[Connection, int], Awaitable[None]]
    source: Source = EVERYTHING
    event_types: tuple[str, ...] | None = None
    batch_size: int = 1_000


class GenerationReplaced(WorkEnded):
    """Another generation of the projection is live now; whoever keeps it up goes on with that."""


async def run_projection(hub: SubscriptionHub, projection: Projection) -> None:
    """Keep the live generation up with the store, until cancelled; also past a rebuild."""
    while True:
        generation = await _read_live(hub, projection)

        async def handle(
            conn: Connection, events: list[RecordedEvent], generation: int = generation
        ) -> None:
            held = await store.hold_projection(
                conn, projection_name=projection.name, schema=hub.schema
            )
            if held is None or held[0] != generation:
                raise GenerationReplaced
            await projection.handle(conn, events, generation)

        # Either says that a rebuild has switched to the next generation.
        with contextlib.suppress(GenerationReplaced, SubscriptionUnknown):
            await hub.run_batches(_make_plan(projection, generation), handle)


async def rebuild_projection(
    hub: SubscriptionHub, projection: Projection, *, on_progress: OnProgress
) -> int:
    """Build a generation from the first event on, then let readers see it; return its number.

    The live one is kept up meanwhile by whoever does so. A rebuild that was broken off goes on
    where it was.

    :raises SubscriptionStopped: when an event cannot be handled; what was built is kept
    """
    await _read_live(hub, projection)
    async with hub.database.connection() as conn:
        begun = await store.begin_rebuild(
            conn, projection_name=projection.name, now=clock.read_now(), schema=hub.schema
        )
        assert begun is not None, "it was read a moment ago, and nobody takes projections away"
        old, generation = begun
        # An earlier rebuild may have stopped at an event that can be handled by now.
        await store.resume_subscription(
            conn,
            subscription_id=_make_plan(projection, generation).subscription_id,
            stream_id=rules.name_source(projection.source),
            schema=hub.schema,
        )
    await _build(hub, projection, generation, on_progress)
    await _switch(hub, projection, old, generation)
    return generation


async def _read_live(hub: SubscriptionHub, projection: Projection) -> int:
    async with hub.database.transaction() as conn:
        await store.create_projection(
            conn, projection_name=projection.name, now=clock.read_now(), schema=hub.schema
        )
        held = await store.hold_projection(conn, projection_name=projection.name, schema=hub.schema)
    assert held is not None
    return held[0]


async def _build(
    hub: SubscriptionHub, projection: Projection, generation: int, on_progress: OnProgress
) -> None:
    """Handle all events that there are, and those that came meanwhile, until few are left."""
    end = await hub.find_end(projection.source)

    async def handle(conn: Connection, events: list[RecordedEvent]) -> None:
        await projection.handle(conn, events, generation)
        on_progress(events[-1].number, end)

    while True:
        await hub.run_batches(_make_plan(projection, generation), handle, until=end)
        reached, end = end, await hub.find_end(projection.source)
        if end - reached <= projection.batch_size:
            return


async def _switch(hub: SubscriptionHub, projection: Projection, old: int, new: int) -> None:
    """Let readers see the new generation, and take the old one away, or neither."""
    async with hub.database.transaction() as conn:
        # First the pointer: it waits for whoever is just writing the old generation, and whoever
        # would write it later finds that it was replaced.
        await store.switch_projection(
            conn,
            projection_name=projection.name,
            generation=new,
            now=clock.read_now(),
            schema=hub.schema,
        )
        await store.delete_subscription(
            conn,
            subscription_id=_make_plan(projection, old).subscription_id,
            stream_id=rules.name_source(projection.source),
            schema=hub.schema,
        )
        await projection.clear(conn, old)


def _make_plan(projection: Projection, generation: int) -> SubscriptionPlan:
    return SubscriptionPlan(
        subscription_id=SubscriptionId(f"{PROJECTION_PREFIX}{projection.name}:{generation}"),
        source=projection.source,
        event_types=projection.event_types,
        buffer_size=projection.batch_size,
        # To leave an event out would make the projection a lie; an operator looks first.
        on_failure=OnFailure.STOP,
    )


# The store's own projection: how many events of each type and form there are.

_TYPE_COUNTS: Final = "event-type-counts"


def make_type_counts(schema: str = DEFAULT_SCHEMA) -> Projection:
    """Return the projection that `list_type_counts` reads."""

    async def handle(conn: Connection, events: list[RecordedEvent], generation: int) -> None:
        counts = count_types(events)
        await store.count_event_types(conn, generation=generation, counts=counts, schema=schema)

    async def clear(conn: Connection, generation: int) -> None:
        await store.delete_event_type_counts(conn, generation=generation, schema=schema)

    return Projection(name=_TYPE_COUNTS, handle=handle, clear=clear)


async def find_counting_subscription(
    conn: Connection, *, schema: str = DEFAULT_SCHEMA
) -> SubscriptionId | None:
    """Return the subscription that keeps the live counts; None where nobody has begun to."""
    live = await store.read_projection(conn, projection_name=_TYPE_COUNTS, schema=schema)
    return None if live is None else _make_plan(make_type_counts(schema), live).subscription_id


async def list_type_counts(conn: Connection, *, schema: str = DEFAULT_SCHEMA) -> list[TypeCount]:
    """Return how many events of each type and form there are, as far as the worker has counted."""
    return await store.list_event_type_counts(conn, projection_name=_TYPE_COUNTS, schema=schema)
