"""A real PostgreSQL for every test that asks for one: one server a run, shared by all workers."""

from __future__ import annotations

import contextlib
import datetime
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
from psycopg import sql

from emberkeep.base.clock import UTC
from emberkeep.base.postgres import EmbeddedServer, run_embedded
from emberkeep.migrate.service import apply_migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_RUN_DIR = pytest.StashKey[Path]()
_WORKER_KEY = "emberkeep_run_dir"
_STOP_TIMEOUT_S = 20

_MIGRATED_AT = datetime.datetime(2020, 1, 1, tzinfo=UTC)

# Nothing that a test writes has to outlive a power cut. What a transaction sees is the same.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--durable",
        action="store_true",
        help="run the shared PostgreSQL with the durability that production has",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the directory of this run; the workers of pytest-xdist get the controller's."""
    shared: str | None = getattr(config, "workerinput", {}).get(_WORKER_KEY)
    config.stash[_RUN_DIR] = Path(shared) if shared else _make_run_dir()


def _make_run_dir() -> Path:
    run_dir = Path(tempfile.mkdtemp(prefix="emberkeep-tests-"))
    # As root the server is another user, who must be able to get to its data. pytest's own
    # tmp_path is closed to others.
    run_dir.chmod(0o711)
    return run_dir


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[_WORKER_KEY] = str(node.config.stash[_RUN_DIR])


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _remove_servers(config.stash[_RUN_DIR])


def _remove_servers(directory: Path) -> None:
    """Stop every server whose data are below `directory`, and remove it."""
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while processes := _list_processes(directory):
        assert time.monotonic() < deadline, f"still there: {processes}"
        for process in processes:
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)
    shutil.rmtree(directory)


def _list_processes(directory: Path) -> list[psutil.Process]:
    """Return the supervisors and servers that were started on data below `directory`."""
    below = f"{directory}/"
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(word.startswith(below) for word in process.info["cmdline"] or ())
    ]


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[EmbeddedServer]:
    """The run's server. Workers race to start it and the last one leaves it, as clients do."""
    data_dir = pytestconfig.stash[_RUN_DIR] / "shared"
    options = {} if pytestconfig.getoption("--durable") else _FAST
    with run_embedded(data_dir=data_dir, options=options) as server:
        yield server


@pytest.fixture
def empty_database(postgres_server: EmbeddedServer) -> Iterator[str]:
    """The connection string of a new database without a schema; dropped afterwards."""
    with lend_database(postgres_server, template="template1") as name:
        yield postgres_server.dsn_for(name)


@pytest.fixture(scope="session")
async def migrated_template(postgres_server: EmbeddedServer) -> AsyncIterator[str]:
    """The name of a database in which every migration ran, and nothing else; not to be written."""
    with lend_database(postgres_server, template="template1") as name:
        await apply_migrations(postgres_server.dsn_for(name), now=_MIGRATED_AT)
        yield name


@pytest.fixture
def database(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[str]:
    """The connection string of a new database with the whole schema; dropped afterwards."""
    with lend_database(postgres_server, template=migrated_template) as name:
        yield postgres_server.dsn_for(name)


@contextlib.contextmanager
def lend_database(server: EmbeddedServer, *, template: str) -> Iterator[str]:
    """Lend the name of a new database that is a copy of `template`; it is dropped afterwards."""
    name = f"test_{secrets.token_hex(8)}"
    create = sql.SQL("create database {} template {}")
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    yield name
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        # By force: a test that failed may have left connections behind.
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def server_dir(pytestconfig: pytest.Config) -> Iterator[Path]:
    """An empty directory for servers of the test's own; they are stopped with the test."""
    with lend_server_dir(pytestconfig) as directory:
        yield directory


@contextlib.contextmanager
def lend_server_dir(config: pytest.Config) -> Iterator[Path]:
    """Lend an empty directory for servers, which are stopped afterwards.

    Like `tmp_path`, except that the user that PostgreSQL runs as can get there.
    """
    directory = Path(tempfile.mkdtemp(dir=config.stash[_RUN_DIR]))
    directory.chmod(0o711)
    yield directory
    _remove_servers(directory)
