"""What a monitor is told: what holds up the readers of all streams, and who lies behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from emberkeep import worker
from emberkeep.base import clock
from emberkeep.base.db import open_database
from emberkeep.events.service import list_type_counts, measure_events
from tests.eventing import append
from tests.following import Consumer, make_plan, open_hub, running, until

if TYPE_CHECKING:
    import pytest

    from emberkeep.base.db import Connection


async def read_figures(conn: Connection) -> dict[str, float]:
    """Return every figure by its name, which in these tests occurs once."""
    figures = await measure_events(conn, now=clock.read_now())
    return {figure.name: figure.value for figure in figures}


async def test_an_open_append_is_seen_with_its_age(conn: Connection, other: Connection) -> None:
    await append(conn, "a-1", 2)
    async with other.transaction():
        await append(other, "b-1")
        await append(conn, "a-1")
        await asyncio.sleep(0.3)
        figures = await read_figures(conn)
        assert figures["emberkeep_events_last_position"] == 4
        assert figures["emberkeep_events_horizon_position"] == 2
        assert figures["emberkeep_events_open_appends"] == 1
        assert 0.3 <= figures["emberkeep_events_oldest_open_append_seconds"] < 60
    figures = await read_figures(conn)
    assert figures["emberkeep_events_horizon_position"] == 4
    assert figures["emberkeep_events_open_appends"] == 0
    assert figures["emberkeep_events_oldest_open_append_seconds"] == 0


async def test_each_subscription_says_how_far_behind_it_is(dsn: str, conn: Connection) -> None:
    await append(conn, "a-1", 2)
    consumer = Consumer()
    consumer.find_failure = lambda event: ValueError() if event.stream_version == 1 else None

    async def is_at_the_end() -> bool:
        return (await read_figures(conn)).get("emberkeep_subscription_lag_events") == 0

    async with open_hub(dsn) as hub, running(hub.run(make_plan(), consumer.handle)):
        await until(is_at_the_end)
        assert (await read_figures(conn))["emberkeep_subscription_consumers"] == 1
    await append(conn, "a-1", 5)
    figures = await measure_events(conn, now=clock.read_now())
    (lag,) = [figure for figure in figures if figure.name == "emberkeep_subscription_lag_events"]
    assert (lag.value, lag.labels) == (5, (("subscription", "s"), ("follows", "$all")))
    assert (await read_figures(conn))["emberkeep_subscription_parked_events"] == 1
    assert (await read_figures(conn))["emberkeep_subscription_stopped_partitions"] == 0


async def test_the_worker_counts_types_and_begins_again_after_a_failure(
    dsn: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_PAUSE_AFTER_FAILURE_S", 0.05)
    await append(conn, "a-1", 3)
    failures = 0

    async def fail() -> None:
        nonlocal failures
        failures += 1
        raise ValueError("a loop that fails")

    async def has_counted() -> bool:
        counts = await list_type_counts(conn)
        return sum(count.events for count in counts) == 3 and failures > 2

    async with open_hub(dsn) as hub, open_database(dsn, connections=1) as database:
        loops = {**worker.make_loops(hub, database), "fails": fail}
        async with running(worker.run_loops(loops)):
            await until(has_counted)
