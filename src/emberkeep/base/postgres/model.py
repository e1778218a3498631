"""The nouns of the embedded PostgreSQL: a set of binaries, a running server, a refusal."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from emberkeep.base.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

SUPERUSER = "postgres"

# No TCP port is opened; the number only names the socket file.
SOCKET_PORT = 5432
SOCKET_NAME = f".s.PGSQL.{SOCKET_PORT}"


class PostgresUnavailable(Unavailable):
    """An embedded PostgreSQL cannot be had here; the message says why and what to do."""

    code = "service.postgres_unavailable"


@dataclasses.dataclass(frozen=True, slots=True)
class Binaries:
    """A directory that holds `initdb` and `postgres`, and their version, such as `18.6`."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> int:
        """The part of the version that decides which data directories they can open."""
        return int(self.version.partition(".")[0])

    @property
    def initdb(self) -> Path:
        """The program that creates a data directory."""
        return self.bin_dir / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.bin_dir / "postgres"


@dataclasses.dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A server that is up, and stays up while the lease is held. `pid` is its postmaster's."""

    socket_dir: Path
    data_dir: Path
    bin_dir: Path
    version: str
    pid: int

    @property
    def dsn(self) -> str:
        """Connects the superuser to the database `postgres`."""
        return self.dsn_for("postgres")

    def dsn_for(self, database: str, user: str = SUPERUSER) -> str:
        """Return the connection string of `user` to `database`."""
        parts = {
            "host": str(self.socket_dir),
            "port": str(SOCKET_PORT),
            "user": user,
            "dbname": database,
        }
        return " ".join(f"{key}={_quote(value)}" for key, value in parts.items())


def _quote(value: str) -> str:
    if value and not any(c in " '\\" for c in value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
