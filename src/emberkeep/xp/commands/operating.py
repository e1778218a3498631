"""What the commands on levels, seasons and claims share: options, and a connection."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

import typer

from emberkeep.base import clock, page
from emberkeep.base.config import Settings
from emberkeep.base.console import INSTANT, check_text, open_settings, print_json, show_table
from emberkeep.base.db import Connection, connect
from emberkeep.base.etag import TagInvalid, parse_if_match
from emberkeep.base.page import Page
from emberkeep.base.place import Place
from emberkeep.migrate import service as migrations
from emberkeep.xp.model import CatalogueStep, CatalogueSubject, PolicyKey
from emberkeep.xp.service.catalogue_history import list_steps

ACTOR: Final = "command-line"
"""Who takes a step, as the audit says."""

Answer = TypeVar("Answer")
Work = Callable[[Connection, Settings, datetime.datetime], Awaitable[Answer]]


def _parse_tag(text: str) -> int | None:
    try:
        return parse_if_match(text)
    except TagInvalid as e:
        raise typer.BadParameter(e.errors[0].message) from e


Policy = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Which policy; none: the default one.", callback=check_text),
]
Reason = Annotated[
    str, typer.Option(metavar="TEXT", help="Why, for the audit.", callback=check_text)
]
Limit = Annotated[int, typer.Option(min=1, max=page.MAX_ITEMS, help="How many at most.")]
IfMatch = Annotated[
    int | None,
    typer.Option(
        parser=_parse_tag,
        metavar="TAG",
        help="Only if it still is what has this tag, as `show --json` says it.",
    ),
]


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


def show_steps(subject: CatalogueSubject, key: str, *, limit: int, as_json: bool) -> None:
    """Print what was done to one subject, newest first."""

    async def act(conn: Connection, _: Settings, __: datetime.datetime) -> Page[CatalogueStep]:
        return await list_steps(conn, subject=subject, subject_key=key, limit=limit, after=None)

    found = run(act)
    if as_json:
        print_json(found)
        return
    rows = [(f"{s.at:{INSTANT}}", s.step, s.actor, s.reason) for s in found.items]
    show_table(("at (UTC)", "step", "by", "why"), rows)


def find_key(policy: str | None, settings: Settings) -> PolicyKey:
    """Return the policy that is named, or the default one."""
    return PolicyKey(settings.default_policy_key if policy is None else policy)
