"""The server's parent: starts it, keeps it while a lease is held, and stops it afterwards.

A separate process, so that it outlives the client that happened to come first. Until the server
is up its complaints go to stderr, which that client reads; later ones go to the log.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from emberkeep.base.postgres import home as homes
from emberkeep.base.postgres.account import choose_account
from emberkeep.base.postgres.binaries import copy_binaries, find_binaries
from emberkeep.base.postgres.cluster import Cluster, stop_server
from emberkeep.base.postgres.home import Home
from emberkeep.base.postgres.model import EmbeddedServer, PostgresUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from emberkeep.base.postgres.account import Account
    from emberkeep.base.postgres.model import Binaries

_POLL_S = 0.1
# Long enough for the next command of a script to find the server still up.
_IDLE_S = 1.0

# A client that looks whether there is a supervisor holds our lock for an instant.
_LOCK_PATIENCE_S = 0.5
_LOCK_POLL_S = 0.01

# Between a server that crashed and the next, so that a crashing one does not burn a core.
_RESTART_DELAY_S = 0.5

_FAILED = 1


def main(arguments: Sequence[str]) -> int:
    """Supervise until nobody needs the server; return the exit code. Only `lease` calls this."""
    parser = argparse.ArgumentParser(prog="emberkeep.base.postgres")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--bin-dir", type=Path, required=True)
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    options = dict(option.split("=", 1) for option in given.option)
    try:
        supervise(Home(given.data_dir), given.bin_dir, options)
    except PostgresUnavailable as e:
        print(e.message, file=sys.stderr)  # noqa: T201  # The first client reads it.
        return _FAILED
    except OSError as e:
        print(f"PostgreSQL cannot be run in {given.data_dir}: {e}", file=sys.stderr)  # noqa: T201
        return _FAILED
    return 0


def supervise(home: Home, bin_dir: Path, options: dict[str, str]) -> None:
    """Run a server on `home` until no lease is left; return at once if somebody does already.

    :raises PostgresUnavailable: when there can be no server
    """
    told_to_stop = _listen_to_signals()
    os.umask(0o077)
    with homes.open_lock(home.supervisor_file) as lock:
        if not _lock_patiently(lock):
            return
        home.forget_server()
        # Nothing may depend on, or keep busy, the directory that the client was in.
        os.chdir("/")
        cluster = _prepare_cluster(home, bin_dir, options)
        with home.open_log() as log, homes.open_lock(home.lease_file) as lease:
            _Supervisor(cluster, log, lease, told_to_stop).run()


def _listen_to_signals() -> Callable[[], bool]:
    told = threading.Event()  # Only ever asked `is_set`; waiting could deadlock with a handler.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: told.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return told.is_set


def _lock_patiently(lock: int) -> bool:
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while not homes.try_lock(lock, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOCK_POLL_S)
    return True


def _prepare_cluster(home: Home, bin_dir: Path, options: dict[str, str]) -> Cluster:
    account = choose_account(home)
    # Looked at again under the lock: the data may have been made since the client chose.
    binaries = find_binaries(bin_dir, major=home.read_major())
    cluster = Cluster(home, _within_reach(binaries, account, home), account, options)
    cluster.create()
    return cluster


def _within_reach(binaries: Binaries, account: Account, home: Home) -> Binaries:
    # A copy rather than an opened directory: a closed venv, or root's home, stays closed.
    if account.find_barrier(binaries.bin_dir.resolve()) is None:
        return binaries
    return copy_binaries(binaries, home.binaries_dir)


@dataclasses.dataclass(frozen=True, slots=True)
class _Supervisor:
    cluster: Cluster
    log: BinaryIO
    lease: int
    is_told_to_stop: Callable[[], bool]

    def run(self) -> None:
        """Run one server after the other, until one ends because it was to end."""
        while self._run_server():
            self._note("the server is gone although it is still needed; starting it again")
            time.sleep(_RESTART_DELAY_S)

    def _run_server(self) -> bool:
        """Run one server to its end; say whether it crashed while somebody needed it."""
        with self._started_server() as process:
            while process.poll() is None and not self.is_told_to_stop():
                if self._is_idle():
                    # The lease stays locked, so a client that comes now waits for the end of
                    # this server and then starts its own.
                    return False
                time.sleep(_POLL_S)
            return not self.is_told_to_stop() and not homes.try_lock(self.lease, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def _started_server(self) -> Generator[subprocess.Popen[bytes]]:
        self.cluster.clear_leftovers()
        socket_dir = self.cluster.open_socket_dir()
        self._note(f"starting PostgreSQL {self.cluster.binaries.version}")
        process = self.cluster.start(socket_dir, self.log)
        try:
            if self.cluster.wait_until_ready(process, self.is_told_to_stop):
                self._announce(process.pid, socket_dir)
            yield process
        finally:
            self.cluster.home.forget_server()
            stop_server(process)
            with contextlib.suppress(OSError):
                socket_dir.rmdir()  # The temporary directory should not fill up with them.
            self._note(f"PostgreSQL has ended with exit code {process.returncode}")

    def _announce(self, pid: int, socket_dir: Path) -> None:
        home, binaries = self.cluster.home, self.cluster.binaries
        home.announce_server(
            EmbeddedServer(socket_dir, home.data_dir, binaries.bin_dir, binaries.version, pid)
        )
        # The client has what it was waiting for; anything said from now on belongs in the log.
        os.dup2(self.log.fileno(), sys.stderr.fileno())

    def _is_idle(self) -> bool:
        """Say whether no lease is held now and none was for a while; if so, keep it locked."""
        deadline = time.monotonic() + _IDLE_S
        while homes.try_lock(self.lease, fcntl.LOCK_EX):
            if time.monotonic() > deadline or self.is_told_to_stop():
                return True
            fcntl.flock(self.lease, fcntl.LOCK_UN)
            time.sleep(_POLL_S)
        return False

    def _note(self, event: str) -> None:
        self.log.write(f"supervisor {os.getpid()}: {event}\n".encode())
        self.log.flush()
