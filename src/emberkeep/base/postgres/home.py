"""The one directory that an embedded server and its clients share, and the files in it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from emberkeep.base.postgres.model import SOCKET_NAME, EmbeddedServer, PostgresUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator

_MACHINE_DATA_DIR = Path("/var/lib/emberkeep")

# A socket's path must fit in 104 bytes on macOS and 108 on Linux. The lock file's name, the
# longest in the directory, is what is measured.
_MAX_SOCKET_PATH_BYTES = 100

# The log of the run before is kept under this name once the log has grown this big.
_MAX_LOG_BYTES = 8 * 1024 * 1024
_OLD_LOG_SUFFIX = ".1"


def default_data_dir() -> Path:
    """Return where an embedded server keeps its data when nothing else was said."""
    if os.geteuid() == 0:
        existing = _MACHINE_DATA_DIR if _MACHINE_DATA_DIR.exists() else _MACHINE_DATA_DIR.parent
        # root's home is closed to the unprivileged user that the server runs as.
        if os.access(existing, os.W_OK):
            return _MACHINE_DATA_DIR
        return Path(tempfile.gettempdir()) / "emberkeep-root"
    data_home = Path(os.environ.get("XDG_DATA_HOME", ""))
    # The XDG specification: a relative path in the variable is to be ignored.
    if not data_home.is_absolute():
        data_home = Path("~/.local/share").expanduser()
    return data_home / "emberkeep"


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """The data directory that a caller names; the cluster proper is `cluster_dir` inside it."""

    data_dir: Path

    @property
    def cluster_dir(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.data_dir / "pg"

    @property
    def binaries_dir(self) -> Path:
        """Copies of binaries that the server's user cannot reach in their own place."""
        return self.data_dir / "binaries"

    @property
    def log_file(self) -> Path:
        """What the server and its supervisor have to say."""
        return self.data_dir / "postgres.log"

    @property
    def lease_file(self) -> Path:
        """Locked, shared, by every client; for an instant or at the end by the supervisor."""
        return self.data_dir / "lease"

    @property
    def supervisor_file(self) -> Path:
        """Locked by the supervisor for as long as it lives."""
        return self.data_dir / "supervisor.lock"

    @property
    def _server_file(self) -> Path:
        return self.data_dir / "server.json"

    def read_major(self) -> int | None:
        """Return the version of the data; `None` while there are none."""
        try:
            return int((self.cluster_dir / "PG_VERSION").read_text("ascii"))
        except FileNotFoundError:
            return None

    def announce_server(self, server: EmbeddedServer) -> None:
        """Let clients find `server`. Renamed into place: never seen half written."""
        facts = {f.name: getattr(server, f.name) for f in dataclasses.fields(server)}
        partial = self._server_file.with_suffix(".partial")
        with open_private(partial, os.O_TRUNC) as file:
            file.write(json.dumps(facts, default=os.fspath).encode())
        partial.rename(self._server_file)

    def forget_server(self) -> None:
        """Stop clients from finding a server."""
        self._server_file.unlink(missing_ok=True)

    def read_server(self) -> EmbeddedServer | None:
        """Return the announced server. Only to be trusted while there is a supervisor."""
        try:
            facts = json.loads(self._server_file.read_bytes())
        except FileNotFoundError:
            return None
        paths = {name: Path(facts[name]) for name in ("socket_dir", "data_dir", "bin_dir")}
        return EmbeddedServer(**paths, version=facts["version"], pid=facts["pid"])

    def open_log(self) -> BinaryIO:
        """Open the log for appending, after putting one that has grown big aside."""
        with contextlib.suppress(FileNotFoundError):
            if self.log_file.stat().st_size > _MAX_LOG_BYTES:
                self.log_file.rename(self.log_file.with_name(self.log_file.name + _OLD_LOG_SUFFIX))
        return open_private(self.log_file, os.O_APPEND)

    def list_socket_dirs(self) -> tuple[Path, ...]:
        """Return where the socket may be, best first; the short ones carry a hash of the path."""
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        short = f"emberkeep-{digest}"
        return (
            self.data_dir / "run",
            Path(tempfile.gettempdir()) / short,
            # $TMPDIR may be long or private to one user; this one hardly ever is.
            Path("/tmp") / short,  # noqa: S108  # Owner and mode are checked before it is used.
        )


def open_home(data_dir: Path | None) -> Home:
    """Create the data directory, if need be, and return it as an absolute path without links.

    :raises PostgresUnavailable: when it cannot be created or written to
    """
    path = (data_dir or default_data_dir()).absolute()
    # As root the server is another user, who must be able to pass through. Files in here are
    # closed one by one.
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            path.chmod(mode)  # Whatever the umask says.
        path = path.resolve(strict=True)
    except OSError as e:
        raise _cannot_use(path, e) from e
    if not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise _cannot_use(path, "it is not a directory that this user may write to")
    return Home(path)


def _cannot_use(path: Path, why: object) -> PostgresUnavailable:
    return PostgresUnavailable(
        f"the data directory {path} cannot be used: {why}; name another one in EMBERKEEP_DATA_DIR"
    )


def fits_socket(directory: Path) -> bool:
    """Say whether a socket in `directory` has a path that the kernel and libpq both take."""
    longest = directory / f"{SOCKET_NAME}.lock"
    # libpq reads a comma as the start of a second host.
    return len(os.fsencode(longest)) <= _MAX_SOCKET_PATH_BYTES and "," not in str(directory)


def open_private(path: Path, flags: int = 0) -> BinaryIO:
    """Open a file for writing that only its owner may read; never through a planted link."""
    flags |= os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


@contextlib.contextmanager
def open_lock(path: Path) -> Generator[int]:
    """Open a lock file, unlocked, for the block. Closing it drops the lock.

    :raises PostgresUnavailable: when it belongs to somebody else
    """
    try:
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise _cannot_use(path.parent, e) from e
    try:
        yield fd
    finally:
        os.close(fd)


def try_lock(fd: int, operation: int) -> bool:
    """Take the lock (`fcntl.LOCK_SH` or `LOCK_EX`) if that is possible at once."""
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
