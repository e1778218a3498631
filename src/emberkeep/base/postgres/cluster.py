"""One PostgreSQL process: made, started, waited for, stopped. Runs in the supervisor only.

No step has a time limit while the process lives, because crash recovery takes as long as it
takes. Durability stays at PostgreSQL's defaults.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import psutil

from emberkeep.base.postgres import home as homes
from emberkeep.base.postgres.model import SOCKET_NAME, SOCKET_PORT, SUPERUSER, PostgresUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from emberkeep.base.postgres.account import Account
    from emberkeep.base.postgres.home import Home
    from emberkeep.base.postgres.model import Binaries

_POLL_S = 0.02
_LOG_TAIL_LINES = 20
_PR_SET_PDEATHSIG = 1  # From Linux' <sys/prctl.h>.
_INITDB_PREFIX = "initdb-"

# The lines of postmaster.pid that are read, counted from 0, and the status of an open server.
_PID_LINE = 0
_SOCKET_DIR_LINE = 4
_STATUS_LINE = 7
_READY = "ready"

_DEFAULT_OPTIONS: Mapping[str, str] = {
    # PostgreSQL's 128MB are for a machine shared with others; the busy tables of some hundred
    # thousand players fit in twice as much.
    "shared_buffers": "256MB",
    # A burst of claims writes more than the default 1GB between two checkpoints, and forced
    # checkpoints write every page in full again.
    "max_wal_size": "4GB",
    # A service, workers and consoles, each with a pool of its own, share one server.
    "max_connections": "200",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """A data directory, and with what and as whom its server runs."""

    home: Home
    binaries: Binaries
    account: Account
    options: Mapping[str, str]

    def create(self) -> None:
        """Make the data directory, if there is none. It appears whole or not at all.

        :raises PostgresUnavailable: when initdb fails, with what it said
        """
        if self.home.cluster_dir.exists():
            return
        for leftover in self.home.data_dir.glob(f"{_INITDB_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=_INITDB_PREFIX, dir=self.home.data_dir))
        self._give_away(partial)
        self._initdb(partial)
        partial.rename(self.home.cluster_dir)
        _sync_directory(self.home.data_dir)

    def _initdb(self, directory: Path) -> None:
        command = [
            self.binaries.initdb,
            f"--pgdata={directory}",
            f"--username={SUPERUSER}",
            # Whoever may enter the socket's directory is trusted; only one user may.
            "--auth-local=trust",
            "--auth-host=reject",
            # The same order of text on every machine.
            "--locale=C",
            "--encoding=UTF8",
        ]
        process = self._spawn(command, death_signal=signal.SIGKILL, output=subprocess.PIPE)
        words, _ = process.communicate()
        if process.returncode != 0:
            raise PostgresUnavailable(
                f"initdb failed with exit code {process.returncode}; its last words:\n"
                + _last_lines(words.decode(errors="replace"))
            )

    def _spawn(
        self,
        command: Sequence[str | Path],
        *,
        death_signal: signal.Signals,
        output: int | BinaryIO,
    ) -> subprocess.Popen[bytes]:
        """Start a PostgreSQL program as the server's user; it gets the signal if we die."""
        lent = self.account if self.account.is_lent else None
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_clean_environment(),
            # A group of its own, so that nothing meant for a client's group arrives there.
            start_new_session=True,
            user=lent and lent.uid,
            group=lent and lent.gid,
            extra_groups=lent and [],
            # Safe here: the supervisor has one thread. It runs after the change of user, which
            # would have undone it.
            preexec_fn=functools.partial(_die_with_parent, os.getpid(), death_signal),
        )

    def _give_away(self, directory: Path) -> None:
        if self.account.is_lent:
            os.chown(directory, self.account.uid, self.account.gid)

    def open_socket_dir(self) -> Path:
        """Return a directory for the socket that only the server's user can enter.

        :raises PostgresUnavailable: when every possible path is too long or somebody else's
        """
        for directory in self.home.list_socket_dirs():
            if homes.fits_socket(directory) and self._make_private(directory):
                return directory
        raise PostgresUnavailable(
            f"there is no place for the socket of {self.home.data_dir}: its own path is too long,"
            " and the temporary directory is too, or holds an `emberkeep-…` of another user"
        )

    def _make_private(self, directory: Path) -> bool:
        if self.account.find_barrier(directory.parent) is not None:
            return False
        try:
            directory.mkdir(mode=0o700)
            self._give_away(directory)
        except FileExistsError:
            pass
        except OSError:
            return False
        # In the temporary directory somebody may have been quicker: a link, or a directory of
        # theirs, must not become the way to our superuser.
        about = directory.lstat()
        return about.st_uid == self.account.uid and about.st_mode & 0o170777 == 0o040700

    def start(self, socket_dir: Path, log: BinaryIO) -> subprocess.Popen[bytes]:
        """Start the server; see `wait_until_ready` for the rest."""
        # It holds a pid that may belong to somebody else by now, like postmaster.pid. Nobody else
        # uses this directory, and there is no server left that did.
        (socket_dir / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
        settings = {**_DEFAULT_OPTIONS, **self.options}
        command = [
            self.binaries.postgres,
            *("-D", self.home.cluster_dir),
            *("-k", socket_dir),
            *("-p", str(SOCKET_PORT)),
            *("-c", "listen_addresses="),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]
        # SIGINT asks for a fast and clean shutdown.
        return self._spawn(command, death_signal=signal.SIGINT, output=log)

    def wait_until_ready(
        self, process: subprocess.Popen[bytes], is_told_to_stop: Callable[[], bool]
    ) -> bool:
        """Wait until the server takes connections; `False` when it was told to stop instead.

        :raises PostgresUnavailable: when it exits, with the end of its log
        """
        while not is_told_to_stop():
            if process.poll() is not None:
                raise PostgresUnavailable(
                    f"PostgreSQL {self.binaries.version} exited with code {process.returncode}"
                    f" while it was starting; the end of {self.home.log_file}:\n"
                    + _last_lines(self.home.log_file.read_text("utf-8", errors="replace"))
                )
            if self._is_ready(process.pid):
                return True
            time.sleep(_POLL_S)
        return False

    def _is_ready(self, pid: int) -> bool:
        return (
            self._read_pid_file(_PID_LINE) == str(pid)
            and self._read_pid_file(_STATUS_LINE) == _READY
        )

    def _read_pid_file(self, line: int) -> str | None:
        try:
            lines = self._pid_file.read_text("utf-8", errors="replace").splitlines()
            return lines[line].strip()
        except (FileNotFoundError, IndexError):
            return None

    @property
    def _pid_file(self) -> Path:
        return self.home.cluster_dir / "postmaster.pid"

    def clear_leftovers(self) -> None:
        """See that no server is left on the data, then remove the file that held its pid.

        PostgreSQL takes that file for a live server's if some other process has the pid by now,
        as happens when a container restarts. What counts is who works in the data directory.

        :raises PostgresUnavailable: when a server runs there that no supervisor of ours started
        """
        told: set[int] = set()
        while processes := self._list_processes():
            for process, order in self._choose_orders(processes):
                if process.pid not in told:
                    told.add(process.pid)
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.send_signal(order)
            time.sleep(_POLL_S)
        self._pid_file.unlink(missing_ok=True)

    def _list_processes(self) -> list[psutil.Process]:
        directory = str(self.home.cluster_dir.resolve())
        return [p for p in psutil.process_iter() if _is_server_in(p, directory)]

    def _choose_orders(
        self, processes: list[psutil.Process]
    ) -> list[tuple[psutil.Process, signal.Signals]]:
        postmaster_pid = self._read_pid_file(_PID_LINE)
        if postmaster_pid is None:
            return []  # A postmaster removes the file just before it exits.
        for process in processes:
            if str(process.pid) == postmaster_pid:
                self._check_ours(process)
                return [(process, signal.SIGINT)]
        # The postmaster was killed. Its children would notice only when they next wait for
        # something, and a stopped one never; the crash recovery that follows undoes their work
        # whichever way they end.
        return [(process, signal.SIGKILL) for process in processes]

    def _check_ours(self, postmaster: psutil.Process) -> None:
        socket_dir = Path(self._read_pid_file(_SOCKET_DIR_LINE) or "/")
        ours = self.home.list_socket_dirs()
        # By name, because $TMPDIR may have been another one when that server was started.
        if socket_dir not in ours and socket_dir.name != ours[-1].name:
            raise PostgresUnavailable(
                f"another PostgreSQL (process {postmaster.pid}) runs on {self.home.cluster_dir};"
                " stop it, or connect to it with EMBERKEEP_DATABASE_URL"
            )


def stop_server(process: subprocess.Popen[bytes]) -> None:
    """Ask for a fast shutdown, and wait for its checkpoint for as long as that takes."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.wait()


def _is_server_in(process: psutil.Process, directory: str) -> bool:
    try:
        return process.name().startswith("postgres") and process.cwd() == directory
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        # Gone, a zombie, or of another user, who could not have opened these data.
        return False


def _clean_environment() -> dict[str, str]:
    """Return the environment without what changes how PostgreSQL starts, speaks or tells time."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _die_with_parent(parent_pid: int, death_signal: signal.Signals) -> None:
    """Have the kernel send `death_signal` to this process when its parent dies. Linux only.

    Elsewhere a server outlives a killed supervisor until the next one clears it away.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(death_signal))
    if os.getppid() != parent_pid:  # It died before the kernel knew.
        os.kill(os.getpid(), signal.SIGKILL)


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_LOG_TAIL_LINES:])


def _sync_directory(directory: Path) -> None:
    # initdb has synced what is inside; the new name is only safe once this is done.
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
