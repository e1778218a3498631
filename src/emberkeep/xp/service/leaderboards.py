"""Leaderboards: pages from the top or around one player, and the rank of one among all.

The first ranks are counted, exactly. Further down the count begins at a marker, one of every n-th
player, and says of when that is.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from emberkeep.base import clock, db, page
from emberkeep.base.db import Connection, Database
from emberkeep.xp import store
from emberkeep.xp.model import (
    Board,
    BoardName,
    Leaderboard,
    PlayerId,
    PlayerRank,
    PlayerUnknown,
    PlayerUnranked,
    Score,
    SeasonId,
    SeasonUnknown,
    UserId,
)
from emberkeep.xp.rules import leaderboard as rules
from emberkeep.xp.rules.catalogue import find_season
from emberkeep.xp.service.seasons import read_season
from emberkeep.xp.store import HIGHEST, LOWEST, Position

EXACT_RANKS: Final = 4_000
"""So many players of a board are counted from the top, exactly."""

MARKER_EVERY: Final = 1_000
# A marker so deep proves, whoever has moved since it was set, that nobody needs an exact count.
_DEEP: Final = 2 * EXACT_RANKS
_REFRESH_S: Final = 60.0
_UNBOUNDED: Final = 2**31

_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    score: _Id
    user_id: _Id


class _Count(NamedTuple):
    """How many stand in front of a position; and since when that is so, where it is not counted."""

    players: int
    as_of: datetime.datetime | None


async def find_board(
    conn: Connection, *, name: BoardName, season_id: SeasonId | None, now: datetime.datetime
) -> Board:
    """Return the board of that name; of a season that is not named, the one that runs.

    :raises LeaderboardInvalid: when a season is named for a board that has none
    :raises SeasonUnknown: when there is no such season, or none runs
    """
    board = rules.make_board(name, season_id=season_id)
    if name is not BoardName.SEASON:
        return board
    if season_id is not None:
        await read_season(conn, season_id=season_id)
        return board
    running = await _find_running_season(conn, now)
    if running is None:
        raise SeasonUnknown("no season runs now: name one")
    return Board(name=name, season_id=running)


async def _find_running_season(conn: Connection, now: datetime.datetime) -> SeasonId | None:
    today = now.astimezone(clock.UTC).date()
    season = find_season(await store.list_seasons(conn), day=today)
    return None if season is None else season.season_id


async def list_board(
    conn: Connection, *, board: Board, limit: int, after: str | None, now: datetime.datetime
) -> Leaderboard:
    """Return a page of a board, the best first.

    :raises CursorInvalid: when `after` is not a cursor of a board
    """
    start = page.decode_cursor(after, _Cursor)
    position = HIGHEST if start is None else (start.score, UserId(start.user_id))
    scores = await store.list_scores_below(conn, board=board, position=position, max_rows=limit + 1)
    return await _make_page(conn, board, scores, limit=limit, now=now, is_top=start is None)


async def list_around(
    conn: Connection, *, board: Board, player_id: PlayerId, limit: int, now: datetime.datetime
) -> Leaderboard:
    """Return a player's line with its neighbours, as many above as below; `next` goes on below.

    :raises PlayerUnknown: when there is no such player
    :raises PlayerUnranked: when it has no score on this board
    """
    score = await _read_score(conn, board, player_id)
    if score.score == 0:
        raise PlayerUnranked("the player has no score on this board")
    position = (score.score, score.user_id)
    above = await store.list_scores_above(
        conn, board=board, position=position, max_rows=(limit - 1) // 2
    )
    below = await store.list_scores_below(
        conn, board=board, position=position, max_rows=limit - len(above)
    )
    scores = [*reversed(above), score, *below]
    return await _make_page(conn, board, scores, limit=limit, now=now, is_top=False)


async def _make_page(
    conn: Connection,
    board: Board,
    scores: Sequence[Score],
    *,
    limit: int,
    now: datetime.datetime,
    is_top: bool,
) -> Leaderboard:
    better = before = _Count(0, None)
    if scores and not is_top:
        first = scores[0]
        before = await _count_above(conn, board, (first.score, first.user_id), now)
        better = await _count_above(conn, board, (first.score, HIGHEST[1]), now)
    shown = scores[:limit]
    return Leaderboard(
        board=board.name,
        season_id=board.season_id,
        items=rules.rank_players(shown, better=better.players, before=before.players),
        next=(
            page.encode_cursor(_Cursor(shown[-1].score, shown[-1].user_id))
            if len(scores) > limit
            else None
        ),
        as_of=before.as_of or better.as_of,
    )


async def rank_player(
    conn: Connection, *, board: Board, player_id: PlayerId, now: datetime.datetime
) -> PlayerRank:
    """Return where a player stands: 1 + how many have a greater score.

    :raises PlayerUnknown: when there is no such player
    """
    score = await _read_score(conn, board, player_id)
    better = None
    if score.score > 0:
        better = await _count_above(conn, board, (score.score, HIGHEST[1]), now)
    return PlayerRank(
        board=board.name,
        season_id=board.season_id,
        player_id=player_id,
        score=score.score,
        rank=None if better is None else better.players + 1,
        as_of=None if better is None else better.as_of,
    )


async def _read_score(conn: Connection, board: Board, player_id: PlayerId) -> Score:
    score = await store.read_score(conn, board=board, player_id=player_id)
    if score is None:
        raise PlayerUnknown("no player has this id")
    return score


async def _count_above(
    conn: Connection, board: Board, position: Position, now: datetime.datetime
) -> _Count:
    marker = await store.read_rank_marker(conn, board=board, position=position)
    if marker is None or marker.place < _DEEP:
        players = await store.count_scores_above(
            conn, board=board, position=position, top=HIGHEST, max_rows=EXACT_RANKS + 1
        )
        if players <= EXACT_RANKS:
            return _Count(players, None)
        if marker is None:
            await refresh_markers(conn, board=board, now=now)
            marker = await store.read_rank_marker(conn, board=board, position=position)
    top = HIGHEST if marker is None else (marker.score, marker.user_id)
    players = await store.count_scores_above(
        conn, board=board, position=position, top=top, max_rows=_UNBOUNDED
    )
    if marker is None:  # Somebody else is setting the markers just now.
        return _Count(players, None)
    return _Count(marker.place + players, marker.as_of)


async def refresh_markers(conn: Connection, *, board: Board, now: datetime.datetime) -> bool:
    """Set the markers of a board anew, unless somebody else does; say whether that was done."""
    async with db.transaction(conn):
        if not await store.lock_rank_markers(conn, board=board):
            return False
        await store.delete_rank_markers(conn, board=board)
        await store.insert_rank_markers(conn, board=board, every=MARKER_EVERY, now=now)
        return True


async def keep_markers(database: Database) -> None:
    """Set the markers of the boards in use every minute, for ever: the worker's loop.

    A board that is counted from the top needs none.
    """
    while True:
        async with database.connection() as conn:
            now = clock.read_now()
            for board in await _list_boards(conn, now):
                players = await store.count_scores_above(
                    conn, board=board, position=LOWEST, top=HIGHEST, max_rows=EXACT_RANKS + 1
                )
                if players > EXACT_RANKS:
                    await refresh_markers(conn, board=board, now=now)
        await asyncio.sleep(_REFRESH_S)


async def _list_boards(conn: Connection, now: datetime.datetime) -> list[Board]:
    boards = [Board(name=BoardName.LIFETIME), Board(name=BoardName.STREAK)]
    season_id = await _find_running_season(conn, now)
    if season_id is not None:
        boards.append(Board(name=BoardName.SEASON, season_id=season_id))
    return boards
