"""Tasks that live and die together, and the end of them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final

_CANCEL_AGAIN_S: Final = 1.0
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def heed_cancellation() -> None:
    """Raise the cancellation that was asked of the current task and got lost on the way.

    Before Python 3.12 `asyncio.wait_for`, on which the driver waits, forgets a cancellation that
    comes in the same moment as what it waits for. Source: cpython issue 81839.

    :raises asyncio.CancelledError: if the task was to end
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel `tasks` and wait until they have ended; what they raise is left in them."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        # Again after a while: see heed_cancellation.
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)


async def run_until_first(*works: Coroutine[Any, Any, None]) -> None:
    """Run all of `works` until one ends, then cancel and await the others.

    :raises Exception: what the one that ended first raised
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_tasks(*tasks)
    for task in done:
        task.result()


async def wait_for_stop() -> None:
    """Wait until the process is told to stop, by Ctrl-C or by whoever runs it."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    try:
        await stopped.wait()
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
