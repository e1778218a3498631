"""The use cases of migrations; each opens a connection of its own, straight to the server.

Reading order: session (connection and lock), files (one file, run to its end), apply, undo,
inspect, dry_run, author.
"""

from emberkeep.migrate.service.apply import apply_everywhere, apply_migrations, apply_sets
from emberkeep.migrate.service.author import create_files, lint_files
from emberkeep.migrate.service.dry_run import plan_migrations
from emberkeep.migrate.service.inspect import (
    read_fingerprint,
    read_status,
    require_current,
    verify_schemas,
)
from emberkeep.migrate.service.undo import drop_schemas, repair_schemas, reset_schemas, roll_back
from emberkeep.migrate.store import open_session

__all__ = [
    "apply_everywhere",
    "apply_migrations",
    "apply_sets",
    "create_files",
    "drop_schemas",
    "lint_files",
    "open_session",
    "plan_migrations",
    "read_fingerprint",
    "read_status",
    "repair_schemas",
    "require_current",
    "reset_schemas",
    "roll_back",
    "verify_schemas",
]
