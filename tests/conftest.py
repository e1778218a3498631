"""A real PostgreSQL for every test that asks for one: one server a run, shared by all workers."""

from __future__ import annotations

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

from emberkeep.base.postgres import EmbeddedServer, run_embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUN_DIR = pytest.StashKey[Path]()
_WORKER_KEY = "emberkeep_run_dir"
_STOP_TIMEOUT_S = 20

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
    name = f"test_{secrets.token_hex(8)}"
    database = sql.Identifier(name)
    with psycopg.connect(postgres_server.dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {}").format(database))
    yield postgres_server.dsn_for(name)
    with psycopg.connect(postgres_server.dsn, autocommit=True) as conn:
        # By force: a test that failed may have left connections behind.
        conn.execute(sql.SQL("drop database {} with (force)").format(database))


@pytest.fixture
def server_dir(pytestconfig: pytest.Config) -> Iterator[Path]:
    """An empty directory for servers of the test's own; they are stopped with the test.

    Like `tmp_path`, except that the user that PostgreSQL runs as can get there.
    """
    directory = Path(tempfile.mkdtemp(dir=pytestconfig.stash[_RUN_DIR]))
    directory.chmod(0o711)
    yield directory
    _remove_servers(directory)
