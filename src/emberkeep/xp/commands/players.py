"""Players at the command line: the requests for another time zone."""

from __future__ import annotations

import datetime
from typing import Annotated

import typer

from emberkeep.base import page
from emberkeep.base.config import Settings
from emberkeep.base.console import INSTANT, AsJson, check_text, hint, print_json, show_table
from emberkeep.base.db import Connection
from emberkeep.base.page import Page
from emberkeep.xp.commands.console import Limit, run
from emberkeep.xp.model import PlayerId, ZoneRequest
from emberkeep.xp.service import players


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command()(time_zone_changes)


def time_zone_changes(
    player: Annotated[
        str, typer.Argument(metavar="PLAYER", help="The player's id.", callback=check_text)
    ],
    limit: Limit = page.DEFAULT_ITEMS,
    after: Annotated[
        str | None, typer.Option(metavar="NEXT", help="The `next` of the page before.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print every request of PLAYER for another time zone, refused ones too, newest first."""

    async def read(conn: Connection, _: Settings, __: datetime.datetime) -> Page[ZoneRequest]:
        return await players.list_zone_changes(
            conn, player_id=PlayerId(player), limit=limit, after=after
        )

    found = run(read)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            f"{c.requested_at:{INSTANT}}",
            c.old_time_zone,
            c.new_time_zone,
            "refused" if c.effective_at is None else f"{c.effective_at:{INSTANT}}",
            c.actor,
        )
        for c in found.items
    ]
    show_table(("asked at (UTC)", "from", "to", "holds from (UTC)", "by"), rows)
    if found.next is not None:
        hint(f"--after {found.next} shows more")
