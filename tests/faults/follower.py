"""A process that follows the store without end: `python -m tests.faults.follower`.

`handled <name> <partition> <event id>` when an event is handled, and only then.
"""

from __future__ import annotations

import asyncio
import sys

import structlog

from emberkeep.events.model import RecordedEvent, SubscriptionPlan
from emberkeep.events.service import find_partition
from tests.faults.worker import say
from tests.following import make_plan, open_hub


def make_follower_plan(partitions: int, *, checkpoint_every: int = 1) -> SubscriptionPlan:
    """Return the plan of every follower of so many partitions."""
    return make_plan(
        "followed",
        concurrency_limit=partitions,
        checkpoint_every=checkpoint_every,
        checkpoint_after_s=checkpoint_every / 100,
    )


async def follow_for_ever(
    dsn: str, name: str, plan: SubscriptionPlan, *, lease_s: float, pause_s: float
) -> None:
    """Say each event after it took `pause_s`."""

    async def handle(event: RecordedEvent) -> None:
        await asyncio.sleep(pause_s)
        say("handled", name, find_partition(plan, event), event.event_id)

    async with open_hub(dsn, lease_s=lease_s) as hub:
        say("ready", name)
        await hub.run(plan, handle)


if __name__ == "__main__":
    # Standard output is for what was handled.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    dsn, name, partitions, checkpoint_every, lease_s, pause_s = sys.argv[1:]
    plan = make_follower_plan(int(partitions), checkpoint_every=int(checkpoint_every))
    asyncio.run(follow_for_ever(dsn, name, plan, lease_s=float(lease_s), pause_s=float(pause_s)))
