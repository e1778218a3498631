"""Ranks as in a competition: 1, 2, 2, 4. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import Board, BoardName, LeaderboardInvalid, RankedPlayer, Score, SeasonId


def make_board(name: BoardName, *, season_id: SeasonId | None) -> Board:
    """Return the board of that name; `season_id` is needed for a season's, and only there.

    :raises LeaderboardInvalid: where it is given for another
    """
    if name is not BoardName.SEASON and season_id is not None:
        error = FieldError("season_id", "only the board `season` has one")
        raise LeaderboardInvalid("the board is not of a season", (error,))
    return Board(name=name, season_id=season_id)


def rank_players(scores: Sequence[Score], *, better: int, before: int) -> tuple[RankedPlayer, ...]:
    """Return the lines that follow each other on a board with their ranks.

    :param better: how many players have a greater score than the first of `scores`
    :param before: how many lines stand in front of it
    """
    lines: list[RankedPlayer] = []
    rank = better + 1
    for index, score in enumerate(scores):
        if index and score.score != scores[index - 1].score:
            rank = before + index + 1
        lines.append(RankedPlayer(rank=rank, player_id=score.player_id, score=score.score))
    return tuple(lines)
