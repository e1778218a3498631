"""What the commands of XP share: options, and a connection."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

import typer

from emberkeep.base import clock, page
from emberkeep.base.clock import UTC
from emberkeep.base.config import Settings
from emberkeep.base.console import check_text, open_settings
from emberkeep.base.db import Connection, connect
from emberkeep.base.place import Place
from emberkeep.migrate import service as migrations

ACTOR: Final = "command-line"
"""Who did it, as events and audits say."""

Reason = Annotated[
    str, typer.Option(metavar="TEXT", help="Why, for the audit.", callback=check_text)
]
Limit = Annotated[int, typer.Option(min=1, max=page.MAX_ITEMS, help="How many at most.")]

Answer = TypeVar("Answer")
Work = Callable[[Connection, Settings, datetime.datetime], Awaitable[Answer]]

app = typer.Typer(name="xp", help="Policies, streaks, claims and the ledger.", no_args_is_help=True)


def run(work: Work[Answer]) -> Answer:
    """Return what `work` answers, on a connection as the service has it.

    :raises SchemaBehind: when the schema is not the one that this version needs
    :raises DatabaseUnavailable: when the database cannot be reached
    """

    async def act(settings: Settings, place: Place) -> Answer:
        await migrations.require_current(place.owner_dsn)
        async with await connect(place.dsn, application="emberkeep xp") as conn:
            return await work(conn, settings, clock.read_now())

    with open_settings() as (settings, place):
        return asyncio.run(act(settings, place))


def parse_instant(text: str) -> datetime.datetime:
    """Return the instant that an option says, in UTC."""
    try:
        at = datetime.datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise typer.BadParameter("is not an ISO 8601 instant") from e
    raise typer.BadParameter("needs an offset from UTC, such as Z")


def parse_day(text: str) -> datetime.date:
    """Return the day that an option says."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as e:
        raise typer.BadParameter("is not a day, such as 2026-01-31") from e
