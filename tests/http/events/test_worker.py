"""`emberkeep worker`: does its work until it is told to stop, and ends cleanly."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.base.postgres import ensure_database, run_embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30


@pytest.fixture
def sound_dsn(server_dir: Path) -> Iterator[str]:
    """A database with the durability that a worker asks for."""
    with run_embedded(data_dir=server_dir / "d") as server:
        ensure_database(server.dsn, "work")
        yield server.dsn_for("work")


def _count_events(conn: psycopg.Connection) -> int:
    row = conn.execute("select sum(events) from event_store.event_type_counts").fetchone()
    assert row is not None
    return row[0]


@contextlib.contextmanager
def _killed_at_last(process: subprocess.Popen[str]) -> Iterator[None]:
    """Leave no process behind that whoever opened it would wait for."""
    try:
        yield
    finally:
        process.kill()


def test_a_worker_counts_until_it_is_told_to_stop(sound_dsn: str) -> None:
    environ = {**os.environ, "EMBERKEEP_DATABASE_URL": sound_dsn, "EMBERKEEP_SECRET_KEY": "k" * 32}
    command = [str(Path(sys.executable).with_name("emberkeep")), "worker", "--json"]
    with (
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process,
        _killed_at_last(process),
    ):
        assert process.stdout is not None
        assert "event-type-counts" in json.loads(process.stdout.readline())["loops"]
        with psycopg.connect(sound_dsn, autocommit=True) as conn:
            conn.execute(
                "select event_store.append_to_stream('s', 0, array['T'], array['{}'::jsonb], now())"
            )
            deadline = time.monotonic() + PATIENCE_S
            while _count_events(conn) != 1:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_S) == 0
