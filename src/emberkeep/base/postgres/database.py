"""Create databases on a server that one is the superuser of."""

from __future__ import annotations

# Any number will do that no other program locks on the same server.
_CREATION_LOCK = 0x656D6265726B70


def ensure_database(dsn: str, name: str) -> None:
    """Create the database `name` on the server of `dsn`, unless it exists. It blocks."""
    # Imported late: the supervisor loads this package on the way to every first start, and
    # the driver would be most of what it loads.
    import psycopg
    from psycopg import sql

    with psycopg.connect(dsn, autocommit=True) as conn:
        # Of two clients that start at once, one creates and the other finds. The lock ends with
        # the connection.
        conn.execute("select pg_advisory_lock(%(key)s)", {"key": _CREATION_LOCK})
        found = conn.execute(
            "select 1 from pg_database where datname = %(name)s", {"name": name}
        ).fetchone()
        if found is None:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
