"""A process that archives until it kills itself: `python -m tests.faults.archiver DSN OUT DAY STEP`.

A step lies before and behind everything that an archive does to files or tables; STEP 0 lets it end.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import sys
from pathlib import Path
from typing import Any

from emberkeep.base import clock
from emberkeep.base.db import connect
from emberkeep.xp import gateway, store
from emberkeep.xp.service import archive
from tests.claiming import at

_STEPS = (
    (store, "insert_archive"),
    (gateway, "ArchiveWriter"),
    (gateway.ArchiveWriter, "close"),
    (gateway, "write_manifest"),
    (gateway, "publish_folder"),
    (store, "mark_archive_written"),
    (store, "archive_rows"),
    (store, "mark_archive_deleted"),
)


class Countdown:
    """Counts steps, and kills this process at the last."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def step(self) -> None:
        """Take a step."""
        self.steps -= 1
        if self.steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, call: Any) -> Any:
        """Return `call` with a step before and behind it."""
        if inspect.iscoroutinefunction(call):

            @functools.wraps(call)
            async def wait(*positional: Any, **named: Any) -> Any:
                self.step()
                answer = await call(*positional, **named)
                self.step()
                return answer

            return wait

        @functools.wraps(call)
        def run(*positional: Any, **named: Any) -> Any:
            self.step()
            answer = call(*positional, **named)
            self.step()
            return answer

        return run


async def _archive(dsn: str, out: Path, day: int) -> None:
    async with await connect(dsn) as conn:
        await archive.archive_rows(
            conn,
            before=at(day, 0),
            out=out,
            archive_id=str(clock.new_id()),
            actor="test",
            reason="",
            now=at(400),
            on_progress=lambda _, __: None,
        )


if __name__ == "__main__":
    countdown = Countdown(int(sys.argv[4]))
    archive._PLAYERS_PER_CHUNK = 2  # pyright: ignore[reportPrivateUsage]
    for owner, name in _STEPS:
        setattr(owner, name, countdown.wrap(getattr(owner, name)))
    asyncio.run(_archive(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
