"""A crash may take positions back that were rolled back: who follows must not be past them."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from emberkeep.base.db import connect
from emberkeep.base.postgres import ensure_database, run_embedded
from emberkeep.migrate.service import apply_migrations
from tests.eventing import NOW, append
from tests.faults.killing import find_postmaster, kill_everything
from tests.following import PATIENCE_S, Consumer, make_plan, open_hub, running

if TYPE_CHECKING:
    from pathlib import Path


async def test_positions_that_a_crash_takes_back_are_not_skipped(server_dir: Path) -> None:
    # What is rolled back is flushed by nobody but the WAL writer, which is to be late.
    options = {"wal_writer_delay": "10000ms"}
    with run_embedded(data_dir=server_dir / "d", options=options) as server:
        ensure_database(server.dsn, "kills")
        dsn = server.dsn_for("kills")
        await apply_migrations(dsn, now=NOW)
        consumer = Consumer()
        async with open_hub(dsn) as hub, running(hub.run(make_plan(), consumer.handle)):
            async with await connect(dsn) as conn:
                await append(conn, "s", 1)
                await consumer.await_events(1)
                await asyncio.sleep(0.5)
                async with conn.transaction(force_rollback=True):
                    await append(conn, "s", 100)
                async with asyncio.timeout(PATIENCE_S):
                    while hub._ground.watcher.horizon.event_id < 101:
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
                await asyncio.to_thread(kill_everything, server, random.Random(0))  # noqa: S311
            await asyncio.to_thread(find_postmaster, server)
            async with await connect(dsn) as conn:
                await append(conn, "s", 1)
            await consumer.await_events(2)
    assert [event.stream_version for event in consumer.events] == [1, 2]
