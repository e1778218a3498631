"""Leaderboards: who has most of what, and where one player stands among all."""

from __future__ import annotations

import datetime
import enum

from emberkeep.base.errors import Invalid, NotFound
from emberkeep.xp.model.noun import Noun, PlayerId, SeasonId, UserId


class BoardName(enum.StrEnum):
    """What a leaderboard compares."""

    LIFETIME = "lifetime"
    SEASON = "season"
    STREAK = "streak"


class Board(Noun, frozen=True, kw_only=True):
    """One leaderboard; only that of a season names one."""

    name: BoardName
    season_id: SeasonId | None = None


class Score(Noun, frozen=True, kw_only=True):
    """A player's score on a board, and by whom ties are put in order."""

    score: int
    user_id: UserId
    player_id: PlayerId


class RankMarker(Noun, frozen=True, kw_only=True):
    """A player in front of whom `place` others stood at `as_of`."""

    place: int
    score: int
    user_id: UserId
    as_of: datetime.datetime


class RankedPlayer(Noun, frozen=True, kw_only=True):
    """A line of a leaderboard. Equal scores have equal ranks; the ranks after them are left out."""

    rank: int
    player_id: PlayerId
    score: int


class Leaderboard(Noun, frozen=True, kw_only=True):
    """A page of a board. `as_of`: ranks were counted from markers of then; none: they are exact."""

    board: BoardName
    season_id: SeasonId | None
    items: tuple[RankedPlayer, ...]
    next: str | None
    as_of: datetime.datetime | None


class PlayerRank(Noun, frozen=True, kw_only=True):
    """Where a player stands. Without a score there is no rank; `as_of` as on a page."""

    board: BoardName
    season_id: SeasonId | None
    player_id: PlayerId
    score: int
    rank: int | None
    as_of: datetime.datetime | None


class LeaderboardInvalid(Invalid):
    """The board cannot be asked for like this."""

    code = "xp.leaderboard_invalid"


class PlayerUnranked(NotFound):
    """The player has no score on this board, so there is nobody around."""

    code = "xp.player_unranked"
