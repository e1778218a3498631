"""Leaderboards, read by index from either end, and the markers that ranks are counted from."""

from __future__ import annotations

import datetime
from typing import Final, LiteralString

from emberkeep.base.db import Connection
from emberkeep.xp.model import Board, PlayerId, RankMarker, Score, UserId
from emberkeep.xp.store.statements import SQL

HIGHEST: Final = (2**63 - 1, UserId(2**63 - 1))
"""The position in front of everybody: a score and a player."""

LOWEST: Final = (0, UserId(0))
"""The position behind everybody."""

Position = tuple[int, UserId]


async def list_scores_below(
    conn: Connection, *, board: Board, position: Position, max_rows: int
) -> list[Score]:
    """Return the scores behind a position, best first."""
    return await _list_scores(conn, SQL["list_scores_below"], board, position, max_rows)


async def list_scores_above(
    conn: Connection, *, board: Board, position: Position, max_rows: int
) -> list[Score]:
    """Return the scores in front of a position, nearest first."""
    return await _list_scores(conn, SQL["list_scores_above"], board, position, max_rows)


async def _list_scores(
    conn: Connection, statement: LiteralString, board: Board, position: Position, max_rows: int
) -> list[Score]:
    cursor = await conn.execute(statement, {**_at(board, position), "max_rows": max_rows})
    return [
        Score(score=score, user_id=user_id, player_id=player_id)
        for score, user_id, player_id in await cursor.fetchall()
    ]


async def count_scores_above(
    conn: Connection, *, board: Board, position: Position, top: Position, max_rows: int
) -> int:
    """Return how many stand in front of a position, up to `top`; at most `max_rows`."""
    parameters = {**_at(board, position), "max_rows": max_rows}
    parameters["top_score"], parameters["top_user_id"] = top
    row = await (await conn.execute(SQL["count_scores_above"], parameters)).fetchone()
    assert row is not None
    return int(row[0])


async def read_score(conn: Connection, *, board: Board, player_id: PlayerId) -> Score | None:
    """Return a player's score, 0 where it is not on the board; None when it is unknown."""
    cursor = await conn.execute(SQL["read_score"], {**_of(board), "player_id": player_id})
    row = await cursor.fetchone()
    return None if row is None else Score(score=row[0], user_id=row[1], player_id=row[2])


async def read_rank_marker(
    conn: Connection, *, board: Board, position: Position
) -> RankMarker | None:
    """Return the nearest marker at a position or in front of it."""
    cursor = await conn.execute(SQL["read_rank_marker"], _at(board, position))
    row = await cursor.fetchone()
    if row is None:
        return None
    place, score, user_id, as_of = row
    return RankMarker(place=place, score=score, user_id=user_id, as_of=as_of)


async def lock_rank_markers(conn: Connection, *, board: Board) -> bool:
    """Say whether the markers of this board are ours to write until the transaction ends."""
    row = await (await conn.execute(SQL["lock_rank_markers"], _of(board))).fetchone()
    return row is not None and bool(row[0])


async def delete_rank_markers(conn: Connection, *, board: Board) -> None:
    """Forget the markers of a board."""
    await conn.execute(SQL["delete_rank_markers"], _of(board))


async def insert_rank_markers(
    conn: Connection, *, board: Board, every: int, now: datetime.datetime
) -> None:
    """Mark every so many-th player of a board, from the first on."""
    await conn.execute(SQL["insert_rank_markers"], {**_of(board), "every": every, "now": now})


def _of(board: Board) -> dict[str, object]:
    return {"board": board.name.value, "season_id": board.season_id or ""}


def _at(board: Board, position: Position) -> dict[str, object]:
    score, user_id = position
    return {**_of(board), "score": score, "user_id": user_id}
