"""Leaderboards over HTTP. Everybody may read them: they show players' ids and scores, nothing else."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

from litestar import get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.base.identity import Permission
from emberkeep.xp.model import (
    BoardName,
    Leaderboard,
    LeaderboardInvalid,
    PlayerId,
    PlayerRank,
    SeasonId,
)
from emberkeep.xp.routes.shapes import After, Limit, PlayerPath
from emberkeep.xp.service import leaderboards

_TAGS: Final = ["leaderboards"]
_READ: Final = {"permission": Permission.READ_CATALOGUE}

BoardPath = Annotated[
    BoardName,
    PathParameter(description="What is compared: XP ever earned, XP of a season, longest streak."),
]
SeasonQuery = Annotated[
    str | None,
    QueryParameter(description="For `season`: which; without it the one that runs."),
]
Around = Annotated[
    str | None,
    QueryParameter(description="A player: its line and its neighbours instead of a page."),
]


@get(
    "/v1/leaderboards/{board:str}",
    opt=_READ,
    tags=_TAGS,
    summary="Who has most, best first",
)
async def read_leaderboard(
    board: BoardPath,
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
    season_id: SeasonQuery = None,
    around: Around = None,
) -> Leaderboard:
    """Equal scores have equal ranks: 1, 2, 2, 4. `streak` is the longest a player ever had. Ranks
    are exact for the first 4,000; below that `as_of` says of when the count is. Nobody whose score
    stays is skipped or shown twice from page to page. Players without a score are not listed.

    Refusals: `xp.season_unknown` (404; also where no season runs and none is named),
    `xp.player_unknown` and `xp.player_unranked` (404, for `around`), `xp.leaderboard_invalid` (422),
    `request.cursor_invalid` (422).
    """
    found = await leaderboards.find_board(
        conn, name=board, season_id=_to_season(season_id), now=now
    )
    if around is None:
        return await leaderboards.list_board(conn, board=found, limit=limit, after=after, now=now)
    if after is not None:
        error = FieldError("after", "goes on below a page: leave `around` out")
        raise LeaderboardInvalid("a page cannot begin in two places", (error,))
    return await leaderboards.list_around(
        conn, board=found, player_id=PlayerId(around), limit=limit, now=now
    )


@get(
    "/v1/leaderboards/{board:str}/players/{player_id:str}",
    opt=_READ,
    tags=_TAGS,
    summary="Where one player stands",
)
async def read_rank(
    board: BoardPath,
    player_id: PlayerPath,
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    season_id: SeasonQuery = None,
) -> PlayerRank:
    """`rank` is 1 + how many have a greater score; null without a score.

    Refusals: `xp.player_unknown` and `xp.season_unknown` (404), `xp.leaderboard_invalid` (422).
    """
    found = await leaderboards.find_board(
        conn, name=board, season_id=_to_season(season_id), now=now
    )
    return await leaderboards.rank_player(conn, board=found, player_id=PlayerId(player_id), now=now)


def _to_season(season_id: str | None) -> SeasonId | None:
    return None if season_id is None else SeasonId(season_id)
