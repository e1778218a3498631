"""Create databases and roles on a server that one is the superuser of."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from emberkeep.base.errors import Forbidden

if TYPE_CHECKING:
    import psycopg

SERVICE_ROLE: Final = "emberkeep_service"
"""Holds the rights of the service: it adds facts, changes state, and cannot change the schema."""

APP_USER: Final = "emberkeep_app"
"""Logs in as the service and has no rights of its own."""


class DatabaseRefused(Forbidden):
    """The role that is connected may not create databases."""

    code = "service.database_refused"


# Any number will do that no other program locks on the same server.
_CREATION_LOCK: Final = 0x656D6265726B70


def ensure_database(dsn: str, name: str) -> bool:
    """Create the database `name` on the server of `dsn`, unless it exists; say whether it is new.

    It blocks.
    """
    from psycopg import sql

    with _creation(dsn) as conn:
        found = conn.execute(
            "select 1 from pg_database where datname = %(name)s", {"name": name}
        ).fetchone()
        if found is None:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return found is None


def create_database(dsn: str) -> tuple[str, bool]:
    """Create the database that `dsn` names, unless it is there; say its name, and whether it is new.

    It blocks.

    :raises DatabaseUnavailable: when the server cannot be reached
    :raises DatabaseRefused: when the role may not create databases
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from emberkeep.base.db import DatabaseUnavailable

    given = conninfo_to_dict(dsn)
    # As libpq has it: a database that is not named is called like the role.
    name = str(given.get("dbname") or given.get("user") or "postgres")
    try:
        is_new = ensure_database(make_conninfo(dsn, dbname="postgres"), name)
    except psycopg.errors.InsufficientPrivilege as e:
        raise DatabaseRefused(
            f"the role may not create the database {name}: name one that may with"
            " EMBERKEEP_MIGRATION_DATABASE_URL",
            database=name,
        ) from e
    except psycopg.OperationalError as e:
        raise DatabaseUnavailable("the database server cannot be reached") from e
    return name, is_new


def ensure_service_user(dsn: str) -> None:
    """Create the service's role and the user that logs in with it, unless they exist. It blocks."""
    from psycopg import sql

    with _creation(dsn) as conn:
        found = {
            row[0]
            for row in conn.execute(
                "select rolname from pg_roles where rolname = any(%(names)s)",
                {"names": [SERVICE_ROLE, APP_USER]},
            )
        }
        role, user = sql.Identifier(SERVICE_ROLE), sql.Identifier(APP_USER)
        if SERVICE_ROLE not in found:
            conn.execute(sql.SQL("create role {} nologin").format(role))
        if APP_USER not in found:
            conn.execute(sql.SQL("create role {} login in role {}").format(user, role))


@contextlib.contextmanager
def _creation(dsn: str) -> Generator[psycopg.Connection]:
    """Lend a connection: of two clients that start at once, one creates and the other finds."""
    # Imported late: the supervisor loads this package on the way to every first start, and
    # the driver would be most of what it loads.
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as conn:
        # The lock ends with the connection.
        conn.execute("select pg_advisory_lock(%(key)s)", {"key": _CREATION_LOCK})
        yield conn
