"""A server for the run, and callers that each wait for their answer."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from pathlib import Path
from typing import TypeVar

import uvloop

from benchmarks.report import Figure
from emberkeep.base import clock
from emberkeep.base.postgres import EmbeddedServer, ensure_database, is_running, run_embedded
from emberkeep.migrate.service import apply_migrations

T = TypeVar("T")
Item = TypeVar("Item")

# The durability is the default; the sizes are what one gives a server for a million players: room
# for their rows in memory, and WAL files that are used again instead of made.
_SIZES = {"shared_buffers": "1GB", "min_wal_size": "2GB", "max_wal_size": "4GB"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a measurement runs on, and how long it may take."""

    server: EmbeddedServer
    dsn: str
    scale: float

    def scaled(self, count: int) -> int:
        """Return so many, or as many as the scale leaves of them."""
        return max(1, round(count * self.scale))


@contextlib.contextmanager
def run_server() -> Generator[tuple[EmbeddedServer, str]]:
    """Run an embedded server with a migrated database; yield it and how to connect."""
    directory = Path(tempfile.mkdtemp(prefix="emberkeep-bench-"))
    directory.chmod(0o711)  # As root the server is another user, who must get to its data.
    try:
        with run_embedded(data_dir=directory / "data", options=_SIZES) as server:
            ensure_database(server.dsn, "bench")
            dsn = server.dsn_for("bench")
            asyncio.run(apply_migrations(dsn, now=clock.read_now()))
            yield server, dsn
    finally:
        # It stops by itself when its last client has gone.
        while is_running(directory / "data"):
            time.sleep(0.1)
        shutil.rmtree(directory, ignore_errors=True)


def run(work: Awaitable[T]) -> T:
    """Wait for `work` on the event loop that `serve` uses."""

    async def wait() -> T:
        return await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(wait())


async def time_calls(
    name: str,
    items: Sequence[Item],
    waiting: int,
    call: Callable[[Item], Awaitable[None]],
    *,
    each: int = 1,
) -> Figure:
    """Let `waiting` callers call with the items, each the next when its own was answered.

    A call counts for `each`.
    """
    remaining = iter(items)
    latencies_s: list[float] = []

    async def call_on() -> None:
        for item in remaining:
            asked_at = time.perf_counter()
            await call(item)
            latencies_s.append(time.perf_counter() - asked_at)

    started_at = time.perf_counter()
    await asyncio.gather(*(call_on() for _ in range(waiting)))
    seconds = time.perf_counter() - started_at
    return Figure(
        name=name,
        waiting=waiting,
        count=len(items) * each,
        seconds=seconds,
        latencies_s=tuple(latencies_s),
    )
