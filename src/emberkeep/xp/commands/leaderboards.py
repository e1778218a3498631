"""Leaderboards at the command line."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from emberkeep.base import clock
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    check_text,
    hint,
    open_settings,
    print_json,
    say,
    show_table,
)
from emberkeep.base.db import connect
from emberkeep.base.page import MAX_ITEMS
from emberkeep.base.place import Place
from emberkeep.xp.model import BoardName, Leaderboard, PlayerId, SeasonId
from emberkeep.xp.service import leaderboards


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("leaderboard")(show_leaderboard)


def show_leaderboard(
    board: Annotated[BoardName, typer.Argument(metavar="lifetime|season|streak")],
    around: Annotated[
        str | None,
        typer.Option(metavar="PLAYER", callback=check_text, help="This player and neighbours."),
    ] = None,
    season: Annotated[str | None, typer.Option(help="Without it the one that runs.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_ITEMS, help="At most so many.")] = 10,
    after: Annotated[str | None, typer.Option(help="The `next` of the page before.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print who has most, or where one player stands."""
    if around is not None and after is not None:
        raise typer.BadParameter("--around and --after are two places to begin at")

    async def read(place: Place) -> Leaderboard:
        now = clock.read_now()
        async with await connect(place.dsn, application="emberkeep leaderboard") as conn:
            found = await leaderboards.find_board(
                conn, name=board, season_id=None if season is None else SeasonId(season), now=now
            )
            if around is None:
                return await leaderboards.list_board(
                    conn, board=found, limit=limit, after=after, now=now
                )
            return await leaderboards.list_around(
                conn, board=found, player_id=PlayerId(around), limit=limit, now=now
            )

    with open_settings() as (_, place):
        page = asyncio.run(read(place))
    if as_json:
        print_json(page)
        return
    show_table(
        ("rank", "player", "score"),
        [(f"{line.rank:,}", line.player_id, f"{line.score:,}") for line in page.items],
    )
    if page.as_of is not None:
        hint(f"ranks are as of {page.as_of:{INSTANT}}")
    if page.next is not None:
        say(f"more: --after {page.next}")
