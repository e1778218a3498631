"""Example sets in temporary folders, and migrators that are processes of their own."""

from __future__ import annotations

import datetime
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

import psycopg
import pytest

from emberkeep.migrate.model import MigrationSet, Patience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime.datetime(2025, 6, 1, 12, tzinfo=datetime.UTC)

# Says "ready" once everything is loaded, then starts at the word, so that several start at once.
_MIGRATOR = """
import asyncio, pathlib, sys
from emberkeep.base import clock
from emberkeep.base.errors import EmberkeepError
from emberkeep.migrate import service
from emberkeep.migrate.model import MigrationSet

dsn, folder, schema = sys.argv[1:]
sets = (MigrationSet("shop", pathlib.Path(folder), schema),)
print("ready", flush=True)
sys.stdin.readline()
try:
    applied = asyncio.run(service.apply_migrations(dsn, sets=sets, now=clock.read_now()))
except EmberkeepError as e:
    sys.exit(f"{e.code} {e.message}")
print(len(applied))
"""


class WriteSet(Protocol):
    """Writes files into the folder of the example set and returns the set."""

    def __call__(
        self, files: dict[str, str], *, schema: str = "shop", name: str = "shop"
    ) -> MigrationSet: ...


@pytest.fixture
def now() -> datetime.datetime:
    """The instant that the history gets."""
    return NOW


@pytest.fixture
def hasty() -> Patience:
    """A patience that ends within the test."""
    return Patience(tables_s=0.3, migrator_s=0.5)


@pytest.fixture
def write_set(tmp_path: Path) -> WriteSet:
    """Make sets in folders of the test's own; called again, it adds to the folder."""

    def write(files: dict[str, str], *, schema: str = "shop", name: str = "shop") -> MigrationSet:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for file_name, text in files.items():
            (folder / file_name).write_text(text)
        return MigrationSet(name, folder, schema)

    return write


@pytest.fixture
def conn(empty_database: str) -> Iterator[psycopg.Connection]:
    """A connection of the test's own to the same database."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        yield connection


class Migrator:
    """A process that runs `up` once, when it is told to."""

    def __init__(self, dsn: str, migration_set: MigrationSet) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _MIGRATOR,
                dsn,
                str(migration_set.source),
                migration_set.schema,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def await_ready(self) -> None:
        """Wait until it has loaded everything."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]

    def start(self) -> None:
        """Give the word."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> int:
        """Return how many files it applied."""
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return int(out)

    def fail(self) -> str:
        """Return the error code and message that it ended with."""
        _, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 1, err
        return err

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.communicate()


class StartMigrators(Protocol):
    """Returns `count` migrators that are ready."""

    def __call__(self, migration_set: MigrationSet, count: int) -> list[Migrator]: ...


@pytest.fixture
def start_migrators(empty_database: str) -> Iterator[StartMigrators]:
    """Start processes; those that the test leaves behind are killed."""
    started: list[Migrator] = []

    def start(migration_set: MigrationSet, count: int) -> list[Migrator]:
        fresh = [Migrator(empty_database, migration_set) for _ in range(count)]
        started.extend(fresh)
        for migrator in fresh:
            migrator.await_ready()
        return fresh

    yield start
    for migrator in started:
        if migrator.process.poll() is None:
            migrator.kill()
