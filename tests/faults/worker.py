"""Processes of ours that are killed, and the lines that they said before."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_PATIENCE_S: Final = 30
# A write can be cut short by a kill. So a line begins with its break, and ends with a word that
# shows that it is whole.
_WHOLE: Final = "."


def say(*words: object) -> None:
    """Say a line, in a process that `Worker` runs."""
    print("\n" + " ".join(str(word) for word in (*words, _WHOLE)), end="", flush=True)  # noqa: T201


class Worker:
    """A process that runs a module of ours, and says in lines what it does.

    Several may share a log, where their lines stand in the order in which they were said.
    """

    def __init__(self, log: Path, module: str, *arguments: str) -> None:
        self._log = log
        with log.open("ab") as out:
            self._begin = out.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], stdout=out, cwd=ROOT
            )

    async def await_line(self, *words: str) -> None:
        """Wait until it, or whoever shares its log, has said a line that begins so."""
        async with asyncio.timeout(_PATIENCE_S):
            while not read_lines(self._log, *words, begin=self._begin):
                assert self._process.poll() is None, "it has ended by itself"
                await asyncio.sleep(0.01)

    def kill(self) -> None:
        """Kill it; it has no time to clean up."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Have it stand still, without knowing."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on as if nothing had been."""
        self._process.send_signal(signal.SIGCONT)


def read_lines(log: Path, *words: str, begin: int = 0) -> list[list[str]]:
    """Return the lines of a log that begin with `words`, each in words."""
    lines = (line.split() for line in log.read_bytes()[begin:].decode().splitlines())
    return [line[:-1] for line in lines if (*line[: len(words)], line[-1:]) == (*words, [_WHOLE])]
