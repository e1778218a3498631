"""Ways to kill a PostgreSQL of one's own, and to wait until it is back."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Sequence

import psutil
import psycopg

from emberkeep.base.postgres import EmbeddedServer

PATIENCE_S = 30


def kill_everything(server: EmbeddedServer, _: random.Random) -> None:
    """Take the power off: postmaster and backends at once."""
    postmaster = psutil.Process(find_postmaster(server))
    for process in (postmaster, *postmaster.children()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def kill_postmaster(server: EmbeddedServer, _: random.Random) -> None:
    """Leave the backends orphans that still work for a moment."""
    os.kill(find_postmaster(server), signal.SIGKILL)


def kill_backend(server: EmbeddedServer, rng: random.Random) -> None:
    """Have the postmaster throw out everybody and recover."""
    backends = psutil.Process(find_postmaster(server)).children()
    with contextlib.suppress(psutil.NoSuchProcess):
        rng.choice(backends).kill()


Kill = Callable[[EmbeddedServer, random.Random], None]
KILLS: Sequence[Kill] = (kill_everything, kill_postmaster, kill_backend)


def find_postmaster(server: EmbeddedServer) -> int:
    """Wait for a server that answers, and return its postmaster."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(psycopg.OperationalError, OSError, ValueError):
            psycopg.connect(server.dsn).close()
            return int((server.data_dir / "pg" / "postmaster.pid").read_text().split()[0])
        assert time.monotonic() < deadline, "the server does not come back"
        time.sleep(0.02)
