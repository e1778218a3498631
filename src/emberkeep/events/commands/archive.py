"""Old events at the command line: moved to the archive, and let go by the month."""

from __future__ import annotations

import asyncio
import datetime
import re
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from emberkeep.base import clock
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    IsSure,
    confirm,
    open_settings,
    print_json,
    say,
    show_table,
)
from emberkeep.base.db import open_database
from emberkeep.base.place import Place
from emberkeep.events import service
from emberkeep.events.commands.console import Schema, open_store
from emberkeep.events.model import DEFAULT_SCHEMA, ExpiredMonth
from emberkeep.events.service.stores import require_store

_AGE: Final = re.compile(r"([1-9][0-9]{0,4})d")


def _parse_before(text: str) -> datetime.datetime:
    age = _AGE.fullmatch(text)
    if age is not None:
        return clock.read_now() - datetime.timedelta(days=int(age[1]))
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError as e:
        raise typer.BadParameter("is neither an age such as 365d nor an ISO 8601 instant") from e
    if at.tzinfo is None:
        raise typer.BadParameter("needs an offset from UTC, such as Z")
    return at


Before = Annotated[
    datetime.datetime,
    typer.Option(
        parser=_parse_before, metavar="AGE|ISO", help="Older than 365d, or than an instant."
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    for command in (archive, expire):
        app.command()(command)


def archive(before: Before, schema: Schema = DEFAULT_SCHEMA, as_json: AsJson = False) -> None:
    """Move old events out of the way, where everybody still reads them.

    The oldest go first, up to the first that is younger. It may be broken off, and run again.
    """

    async def act(place: Place) -> int:
        await require_store(place.owner_dsn, schema=schema)
        with _make_progress() as progress:
            task = progress.add_task("archiving", total=None)
            async with open_database(place.dsn, connections=1) as database:
                return await service.archive_events(
                    database,
                    created_before=before,
                    on_moved=lambda moved: progress.update(task, completed=moved),
                    schema=schema,
                )

    with open_settings() as (_, place):
        moved = asyncio.run(act(place))
    if as_json:
        print_json({"created_before": before, "archived": moved})
    else:
        say(f"{schema}: {moved:,} events from before {before:{INSTANT}} archived")


def _make_progress() -> Progress:
    return Progress(
        TextColumn("{task.description} {task.completed:,.0f} events"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def expire(
    before: Before,
    is_sure: IsSure = False,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Drop whole months of the archive, in UTC, for good; EMBERKEEP_ALLOW_ERASURE has to allow it.

    Refused while a subscription has yet to see one of the events. Streams keep their versions.
    """

    async def act(place: Place, *, is_allowed: bool) -> list[ExpiredMonth]:
        async with open_store(place, schema) as conn:
            return await service.expire_events(
                conn, created_before=before, is_allowed=is_allowed, schema=schema
            )

    with open_settings() as (settings, place):
        if settings.allow_erasure:
            confirm(f"Drop archived events from before {before:{INSTANT}}?", is_sure=is_sure)
        months = asyncio.run(act(place, is_allowed=settings.allow_erasure))
    if as_json:
        print_json({"created_before": before, "expired": months})
    elif months:
        show_table(("month", "events"), [(m.month, f"{m.events:,}") for m in months])
    else:
        say(f"{schema}: no month of the archive lies wholly before {before:{INSTANT}}")
