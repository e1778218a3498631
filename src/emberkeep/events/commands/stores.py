"""The stores of a database: made, migrated, looked at, emptied, dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import typer

from emberkeep.base import clock
from emberkeep.base.console import AsJson, hint, open_settings, print_json, say, show_table
from emberkeep.base.postgres import create_database
from emberkeep.events.commands.console import Schema
from emberkeep.events.model import DEFAULT_SCHEMA
from emberkeep.events.service import stores
from emberkeep.events.service.stores import StoreStatus, name_command
from emberkeep.migrate.model import Applied

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    for command in (create, init, migrate, status, reset, drop):
        app.command()(command)


def create(as_json: AsJson = False) -> None:
    """Create the database that the settings name, if it is missing. `init` makes a store in it.

    The role of EMBERKEEP_MIGRATION_DATABASE_URL, or else of EMBERKEEP_DATABASE_URL, must be allowed
    to create databases.
    """
    with open_settings() as (_, place):
        if place.embedded_version is not None:
            name, is_new = "emberkeep", False
            said = "the embedded PostgreSQL makes its database by itself: there is nothing to do"
        else:
            name, is_new = create_database(place.owner_dsn)
            said = f"{name}: {'created' if is_new else 'is there already'}"
    if as_json:
        print_json({"database": name, "created": is_new})
    else:
        say(said)


def init(schema: Schema = DEFAULT_SCHEMA, as_json: AsJson = False) -> None:
    """Create an event store in the schema, unless it is there."""
    with open_settings() as (_, place):
        applied = asyncio.run(
            stores.create_store(place.owner_dsn, schema=schema, now=clock.read_now())
        )
    _show_applied(schema, applied, as_json, nothing="is there already, at the newest version")


def migrate(schema: Schema = DEFAULT_SCHEMA, as_json: AsJson = False) -> None:
    """Bring a store to the newest version."""
    with open_settings() as (_, place):
        applied = asyncio.run(
            stores.migrate_store(place.owner_dsn, schema=schema, now=clock.read_now())
        )
    _show_applied(schema, applied, as_json, nothing="is at the newest version")


def status(schema: Schema = DEFAULT_SCHEMA, as_json: AsJson = False) -> None:
    """Say where a store stands and how much it holds; exit 1 unless it is at the newest version.

    Counts every event, which takes a while where there are many millions.
    """
    with open_settings() as (_, place):
        found = asyncio.run(stores.read_store_status(place.owner_dsn, schema=schema))
    if as_json:
        print_json(
            {
                "schema": found.schema,
                "is_current": found.figures is not None,
                "versions": found.versions,
                "figures": found.figures,
            }
        )
    else:
        _show_status(found)
    if found.figures is None:
        raise typer.Exit(1)


def reset(schema: Schema = DEFAULT_SCHEMA, as_json: AsJson = False) -> None:
    """Drop a store with all its events and create it anew; for development only."""
    with open_settings() as (settings, place):
        applied = asyncio.run(
            stores.reset_store(
                place.owner_dsn,
                schema=schema,
                is_allowed=settings.allow_destructive,
                now=clock.read_now(),
            )
        )
    _show_applied(schema, applied, as_json, nothing="is empty")


def drop(schema: Schema = DEFAULT_SCHEMA, as_json: AsJson = False) -> None:
    """Drop a store with all its events; for development only."""
    with open_settings() as (settings, place):
        asyncio.run(
            stores.drop_store(place.owner_dsn, schema=schema, is_allowed=settings.allow_destructive)
        )
    if as_json:
        print_json({"dropped": schema})
    else:
        say(f"{schema}: dropped")


def _show_applied(schema: str, applied: Sequence[Applied], as_json: bool, *, nothing: str) -> None:
    if as_json:
        print_json({"schema": schema, "applied": applied})
    elif not applied:
        say(f"{schema}: {nothing}")
    else:
        say(f"{schema}: at version {applied[-1].version}, {len(applied)} of them applied now")
        rows = [(f"V{a.version:03d}__{a.name}", f"{a.duration_ms} ms") for a in applied]
        show_table(("version", "took"), rows)


def _show_status(status: StoreStatus) -> None:
    if not status.is_there:
        say(f"{status.schema}: no store; `{name_command('init', status.schema)}` makes one")
        return
    applied = [version for version in status.versions if version.state != "pending"]
    rows = [("version", f"V{applied[-1].version:03d}__{applied[-1].name}")]
    figures = status.figures
    if figures is not None:
        rows += [
            ("streams", f"{figures.streams:,}"),
            ("events", f"{figures.events:,}"),
            ("last position", f"{figures.last_event_id:,}"),
            ("horizon", f"{figures.horizon:,}{_explain_horizon(status)}"),
            ("size", _format_size(figures.size_bytes)),
        ]
    show_table((status.schema, ""), rows)
    if status.pending:
        hint(f"{status.pending} versions are pending: {name_command('migrate', status.schema)}")
    if not status.is_sound:
        hint("files and history disagree: emberkeep migrate verify says where")


def _explain_horizon(status: StoreStatus) -> str:
    """Return what is to be said where readers of `$all` do not see everything yet."""
    figures = status.figures
    if figures is None or figures.horizon == figures.last_event_id:
        return ""
    return "; appends after it have not ended, and readers of $all wait for them"


def _format_size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_UNITS[-1]}"
