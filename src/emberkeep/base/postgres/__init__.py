"""A PostgreSQL of one's own, for as long as somebody needs it: no set-up, no port, no leftovers.

Reading order: model, binaries, home, account, cluster, supervisor, lease, database.

    client A ──shares──┐                           ┌── exclusive lock: `supervisor.lock`
                       ├── lock on `lease`         │
    client B ──shares──┘        ▲              supervisor ──parent of──▶ postgres ◀── socket
                                └── tries to own ──┘

A client holds a shared lock on `lease`; the kernel drops it however the client dies. The
supervisor tries to own that lock: once it has for a while, nobody is left and it stops the
server. If the supervisor dies first, the kernel tells the server to stop (Linux), and the next
client starts both anew. All of it lives in one directory, so two directories never meet.
"""

from emberkeep.base.postgres.binaries import find_binaries
from emberkeep.base.postgres.database import (
    APP_USER,
    create_database,
    ensure_database,
    ensure_service_user,
)
from emberkeep.base.postgres.home import default_data_dir
from emberkeep.base.postgres.lease import is_running, run_embedded
from emberkeep.base.postgres.model import Binaries, EmbeddedServer, PostgresUnavailable

__all__ = [
    "APP_USER",
    "Binaries",
    "EmbeddedServer",
    "PostgresUnavailable",
    "create_database",
    "default_data_dir",
    "ensure_database",
    "ensure_service_user",
    "find_binaries",
    "is_running",
    "run_embedded",
]
