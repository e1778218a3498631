"""Leaderboards over many players: how long a page and a rank take, next to reading one row by key."""

from __future__ import annotations

import dataclasses
import datetime
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import psycopg

from benchmarks import report
from benchmarks.harness import run, time_calls
from benchmarks.report import Figure
from emberkeep.base import sql
from emberkeep.base.clock import UTC
from emberkeep.base.db import Connection, connect
from emberkeep.xp.model import Board, BoardName, PlayerId, SeasonId
from emberkeep.xp.service import leaderboards
from emberkeep.xp.service.ledger import read_xp

_SQL = sql.load("benchmarks", "leaderboards.sql")
_NOW = datetime.datetime(2026, 6, 1, tzinfo=UTC)
_LIMIT = 50
_CALLS = 2_000
_BOARDS = (
    Board(name=BoardName.LIFETIME),
    Board(name=BoardName.SEASON, season_id=SeasonId("bench")),
    Board(name=BoardName.STREAK),
)


def measure(dsn: str, *, players: int, scale: float) -> Iterator[Figure]:
    """Create the players and yield the figures; a look at one balance by key is the limit."""
    report.say(f"creating {players:,} players with scores")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(_SQL["create_players"], {"players": players})
        for name in ("create_season", "spread_balances", "spread_streaks"):
            conn.execute(_SQL[name])
        conn.execute("vacuum (full, analyze) xp.xp_balance, xp.xp_streaks")
        conn.execute("vacuum analyze")
        conn.execute(_SQL["disturb"])
        conn.execute("checkpoint")
    yield from run(_collect(dsn, players, max(1, round(_CALLS * scale))))


async def _collect(dsn: str, players: int, calls: int) -> list[Figure]:
    async with await connect(dsn) as conn:
        return [report.said(f, "calls") async for f in _measure(conn, players, calls)]


async def _measure(conn: Connection, players: int, calls: int) -> AsyncIterator[Figure]:
    rng = random.Random(1)

    async def time(name: str, call: Callable[[PlayerId], Awaitable[object]]) -> Figure:
        async def ask(player_id: PlayerId) -> None:
            await call(player_id)

        asked = [PlayerId(f"player-{rng.randint(1, players)}") for _ in range(calls)]
        return await time_calls(name, asked, 1, ask)

    async def refresh(board: Board) -> None:
        assert await leaderboards.refresh_markers(conn, board=board, now=_NOW)

    for board in _BOARDS:
        key = await time("one balance, by key", lambda p: read_xp(conn, player_id=p))
        yield dataclasses.replace(key, is_limit=True)
        yield await time_calls(f"{board.name}: markers set anew", [board], 1, refresh)
        yield await time(
            f"{board.name}: first page",
            lambda _, b=board: leaderboards.list_board(
                conn, board=b, limit=_LIMIT, after=None, now=_NOW
            ),
        )
        deep = await leaderboards.list_around(
            conn, board=board, player_id=PlayerId("player-5"), limit=1, now=_NOW
        )
        yield await time(
            f"{board.name}: a page far down",
            lambda _, b=board, after=deep.next: leaderboards.list_board(
                conn, board=b, limit=_LIMIT, after=after, now=_NOW
            ),
        )
        yield await time(
            f"{board.name}: rank",
            lambda p, b=board: leaderboards.rank_player(conn, board=b, player_id=p, now=_NOW),
        )
        yield await time(
            f"{board.name}: neighbours",
            lambda p, b=board: leaderboards.list_around(
                conn, board=b, player_id=p, limit=11, now=_NOW
            ),
        )
