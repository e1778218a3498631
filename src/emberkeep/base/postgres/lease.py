"""The client's side: hold a lease, and with it a server."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING

from emberkeep.base.postgres import home as homes
from emberkeep.base.postgres.binaries import find_binaries
from emberkeep.base.postgres.home import Home, open_home
from emberkeep.base.postgres.model import SOCKET_NAME, EmbeddedServer, PostgresUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

_POLL_S = 0.02

# Something may kill what we start, or another client may be quicker, but not this often.
_MAX_STARTS = 20


@contextlib.contextmanager
def run_embedded(
    *,
    data_dir: Path | None = None,
    bin_dir: Path | None = None,
    options: Mapping[str, str] | None = None,
) -> Generator[EmbeddedServer]:
    """Keep a server on `data_dir` up for the block, starting it if none runs there yet.

    It blocks: call it in a thread. There is no time limit, since crash recovery may be long.
    `bin_dir` and `options` (server settings by name) count only when the server is started here.

    :raises PostgresUnavailable: when there can be no server, with the reason
    """
    home = open_home(data_dir)
    with homes.open_lock(home.lease_file) as lease:
        # Taken before the server is looked for: from here on nobody stops it for being unused.
        # Refused for as long as a supervisor is stopping one.
        while not homes.try_lock(lease, fcntl.LOCK_SH):
            time.sleep(_POLL_S)
        yield _await_server(home, bin_dir, options or {})


def is_running(data_dir: Path) -> bool:
    """Say whether `data_dir` has a supervisor, and with it a server that starts, runs or stops."""
    home = Home(data_dir.resolve())
    return home.data_dir.is_dir() and _is_supervised(home)


def _await_server(home: Home, bin_dir: Path | None, options: Mapping[str, str]) -> EmbeddedServer:
    supervisor: subprocess.Popen[bytes] | None = None
    starts_left = _MAX_STARTS
    with tempfile.TemporaryFile() as complaints:
        while starts_left:
            if _is_supervised(home):
                # Without a supervisor the announcement would be of a server that is gone.
                server = home.read_server()
                if server is not None and _is_listening(server):
                    return server
            elif supervisor is None or _has_ended(supervisor, complaints):
                supervisor = _start_supervisor(home, bin_dir, options, complaints)
                starts_left -= 1
            time.sleep(_POLL_S)
    raise PostgresUnavailable(
        f"PostgreSQL was started {_MAX_STARTS} times, and each time something ended it before it"
        f" could be used; see {home.log_file}"
    )


def _is_supervised(home: Home) -> bool:
    # A shared lock, so that two clients who look at the same time do not see each other.
    with homes.open_lock(home.supervisor_file) as lock:
        return not homes.try_lock(lock, fcntl.LOCK_SH)


def _is_listening(server: EmbeddedServer) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(server.socket_dir / SOCKET_NAME))
        except OSError:
            return False
    return True


def _has_ended(supervisor: subprocess.Popen[bytes], complaints: IO[bytes]) -> bool:
    """Say whether it ended without complaint: was killed, or another was quicker.

    :raises PostgresUnavailable: with its complaint
    """
    code = supervisor.poll()
    if code is not None and code > 0:
        complaints.seek(0)
        raise PostgresUnavailable(complaints.read().decode(errors="replace").strip())
    return code is not None


def _start_supervisor(
    home: Home, bin_dir: Path | None, options: Mapping[str, str], complaints: IO[bytes]
) -> subprocess.Popen[bytes]:
    binaries = find_binaries(bin_dir, major=home.read_major())
    command = [
        sys.executable,
        # Without -P the directory that the client happens to be in could shadow our modules.
        *("-P", "-m", "emberkeep.base.postgres"),
        *("--data-dir", home.data_dir),
        *("--bin-dir", binaries.bin_dir),
        *(part for name, value in options.items() for part in ("--option", f"{name}={value}")),
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=complaints,
        stderr=complaints,
        # Ctrl-C in the client's terminal must not reach it: the client still has to finish.
        start_new_session=True,
    )
    # It outlives most clients; in one that lives on, it must not stay as a zombie.
    threading.Thread(target=process.wait, daemon=True, name="embedded-postgres").start()
    return process
