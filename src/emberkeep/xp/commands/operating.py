"""What the commands on levels, seasons and claims share: options, and the audit."""

from __future__ import annotations

import datetime
from typing import Annotated

import typer

from emberkeep.base.config import Settings
from emberkeep.base.console import INSTANT, check_text, print_json, show_table
from emberkeep.base.db import Connection
from emberkeep.base.etag import TagInvalid, parse_if_match
from emberkeep.base.page import Page
from emberkeep.xp.commands.console import run
from emberkeep.xp.model import CatalogueStep, CatalogueSubject, PolicyKey
from emberkeep.xp.service.catalogue_history import list_steps


def _parse_tag(text: str) -> int | None:
    try:
        return parse_if_match(text)
    except TagInvalid as e:
        raise typer.BadParameter(e.errors[0].message) from e


Policy = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Which policy; none: the default one.", callback=check_text),
]
IfMatch = Annotated[
    int | None,
    typer.Option(
        parser=_parse_tag,
        metavar="TAG",
        help="Only if it still is what has this tag, as `show --json` says it.",
    ),
]


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
