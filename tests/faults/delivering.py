"""What subscriptions were given, and what must hold of it: nothing skipped, nothing reordered."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import TYPE_CHECKING

import psycopg

from emberkeep.base.db import open_database
from emberkeep.events.rules.subscription import find_partition
from emberkeep.events.service import iterate_events
from tests.faults.appending import is_away

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from emberkeep.base.db import Connection, Database
    from emberkeep.events.model import RecordedEvent, SubscriptionPlan

_RETRY_S = 0.05


async def keep_going(work: Callable[[], Awaitable[None]]) -> None:
    """Begin `work` anew whenever the database was away, as whoever runs consumers does."""
    while True:
        try:
            await work()
        except Exception as e:
            if not is_away(e):
                raise
        await asyncio.sleep(_RETRY_S)


@dataclasses.dataclass
class Deliveries:
    """What one subscription was given, in the order in which that was, and what was wrong."""

    plan: SubscriptionPlan
    by_partition: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    acknowledged: set[int] = dataclasses.field(default_factory=set)
    faults: list[str] = dataclasses.field(default_factory=list)

    def note(self, event: RecordedEvent) -> None:
        """Remember an event that was delivered."""
        partition = find_partition(self.plan, event)
        self.by_partition.setdefault(partition, []).append(event.event_id)

    def count(self) -> int:
        """Return how many events were delivered at least once."""
        return sum(len(set(given)) for given in self.by_partition.values())

    async def compare(
        self, database: Database, event: RecordedEvent, *, token: int | None = None
    ) -> None:
        """Note it as a fault if the checkpoint stands past an event that nobody has dealt with.

        Only while the lease `token` holds: whoever has the next one goes on.
        """
        if event.event_id in self.acknowledged:
            return
        partition = find_partition(self.plan, event)
        async with database.connection() as conn:
            checkpoint, present = (await read_checkpoints(conn, self.plan))[partition]
        if checkpoint >= event.event_id and token in (None, present):
            self.faults.append(f"event {event.event_id} comes after checkpoint {checkpoint}")

    async def assert_complete(self, dsn: str) -> None:
        """Hold that each partition was given all its events, and for the first time in order."""
        assert self.faults == []
        firsts = {partition: list(dict.fromkeys(n)) for partition, n in self.by_partition.items()}
        assert firsts == await list_expected(dsn, self.plan)


def assert_goes_on(given: Sequence[int]) -> None:
    """Hold that a consumer who has no other beside it leaves nothing out, also when it goes back."""
    order = sorted(set(given))
    following = dict(itertools.pairwise(order))
    for event_id, after in itertools.pairwise(given):
        assert after <= following.get(event_id, event_id)


async def list_expected(dsn: str, plan: SubscriptionPlan) -> dict[int, list[int]]:
    """Return the events of each partition, in order."""
    expected: dict[int, list[int]] = {}
    async with open_database(dsn, connections=1) as database:
        async for event in iterate_events(database):
            expected.setdefault(find_partition(plan, event), []).append(event.event_id)
    return expected


async def read_checkpoints(conn: Connection, plan: SubscriptionPlan) -> dict[int, tuple[int, int]]:
    """Return of each partition the checkpoint and the token of its last lease."""
    cursor = await conn.execute(
        "select partition, last_seen_event_id, lease_token"
        " from event_store.subscription_partitions where subscription_id = %(name)s",
        {"name": plan.subscription_id},
    )
    return {
        partition: (checkpoint, token) for partition, checkpoint, token in await cursor.fetchall()
    }


def read_effects(dsn: str) -> list[int]:
    """Return the events that the projection of `project` has counted, in order."""
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("select event_id from public.effects order by event_id").fetchall()
    return [event_id for (event_id,) in rows]


def make_effects(dsn: str) -> None:
    """Create the table of `project`, which takes an event as often as it is given."""
    with psycopg.connect(dsn) as conn:
        conn.execute("create table public.effects (event_id bigint not null)")


async def project(conn: Connection, events: list[RecordedEvent]) -> None:
    """Write a row for each event, once more for one that was there already."""
    await conn.execute(
        "insert into public.effects (event_id) select unnest(%(event_ids)s::bigint[])",
        {"event_ids": [event.event_id for event in events]},
    )
