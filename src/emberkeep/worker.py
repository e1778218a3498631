"""The loops that work in the background, in any number of processes: each finds its own work.

Today that are the projections and the ranks far down the leaderboards. A loop that fails is begun again; none of them fails the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from emberkeep.base.db import Database
from emberkeep.events.service import SubscriptionHub, make_type_counts, run_projection
from emberkeep.xp.service.leaderboards import keep_markers

_PAUSE_AFTER_FAILURE_S: Final = 5.0

_log = structlog.get_logger(__name__)

Loop = Callable[[], Awaitable[None]]


def make_loops(hub: SubscriptionHub, database: Database) -> dict[str, Loop]:
    """Return everything that a worker does, by name."""
    return {
        "event-type-counts": lambda: run_projection(hub, make_type_counts()),
        "rank-markers": lambda: keep_markers(database),
    }


async def run_loops(loops: Mapping[str, Loop]) -> None:
    """Run all of them until cancelled."""
    async with asyncio.TaskGroup() as group:
        for name, loop in loops.items():
            group.create_task(_keep_running(name, loop))


async def _keep_running(name: str, loop: Loop) -> None:
    while True:
        try:
            await loop()
        except Exception:  # noqa: BLE001 -- Whatever it is, it ends one turn of one loop.
            _log.exception("loop_failed", loop=name)
        await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
