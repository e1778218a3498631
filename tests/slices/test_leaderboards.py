"""Leaderboards: in order, complete, and with the rank that counting everybody would give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberkeep.base.db import connect
from emberkeep.xp.model import Board, BoardName, PlayerId, PlayerUnranked, SeasonId
from emberkeep.xp.service import leaderboards
from emberkeep.xp.store.statements import SQL
from tests.claiming import World, assert_clean, at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from emberkeep.base.db import Connection

CROWD = 60
PLAYERS = [f"p{number:02}" for number in range(CROWD)]
BOARDS = [
    Board(name=BoardName.LIFETIME),
    Board(name=BoardName.STREAK),
    Board(name=BoardName.SEASON, season_id=SeasonId("s")),
]
_SCORES = st.lists(st.integers(0, 12) | st.integers(0, 2**31 - 1), min_size=CROWD, max_size=CROWD)


@pytest.fixture
async def conn(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    """A crowd, and so few exact ranks that most players are beyond them."""
    monkeypatch.setattr(leaderboards, "EXACT_RANKS", 10)
    monkeypatch.setattr(leaderboards, "MARKER_EVERY", 4)
    monkeypatch.setattr(leaderboards, "_DEEP", 20)
    World(database).add_players(*PLAYERS)
    async with await connect(database) as conn:
        yield conn


async def _set_scores(conn: Connection, board: Board, scores: list[int]) -> None:
    """Put the scores where the board reads them; of the season's, half are of players moved on."""
    parameters = (PLAYERS, scores)
    match board.name:
        case BoardName.STREAK:
            statement = "update xp.xp_streaks as t set longest_streak = score"
        case BoardName.LIFETIME:
            statement = "update xp.xp_balance as t set lifetime_xp = score"
        case BoardName.SEASON:
            await conn.execute("truncate xp.xp_season_results")
            await conn.execute(
                "insert into xp.xp_season_results select user_id, 's', score, now()"
                " from unnest(%s::text[], %s::bigint[]) as given (id, score)"
                " join xp.xp_users on external_user_id = id where user_id %% 2 = 1",
                parameters,
            )
            statement = (
                "update xp.xp_balance as t set season_id = case when t.user_id % 2 = 0 then 's'"
                " else 't' end, season_before = score / 3, seasonal_xp = score - score / 3"
            ).replace("%", "%%")
    await conn.execute(
        f"{statement} from unnest(%s::text[], %s::bigint[]) as given (id, score)"
        " join xp.xp_users on external_user_id = id where t.user_id = xp_users.user_id".encode(),
        parameters,
    )
    await conn.execute("delete from xp.xp_rank_markers")


@pytest.mark.parametrize("board", BOARDS, ids=str)
@given(scores=_SCORES, limit=st.integers(1, 70))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_a_board_is_what_sorting_everybody_gives(
    conn: Connection, board: Board, scores: list[int], limit: int
) -> None:
    await _set_scores(conn, board, scores)
    ranks = {
        player: 1 + sum(other > score for other in scores)
        for player, score in zip(PLAYERS, scores, strict=True)
        if score
    }
    shown, after = [], None
    while True:
        page = await leaderboards.list_board(conn, board=board, limit=limit, after=after, now=at(0))
        shown += page.items
        after = page.next
        if after is None:
            break
        assert len(page.items) == limit
    assert {line.player_id: line.rank for line in shown} == ranks
    assert len(shown) == len(ranks)
    assert [line.score for line in shown] == sorted(filter(None, scores), reverse=True)
    order = [line.player_id for line in shown]
    for player in (PLAYERS[0], PLAYERS[30], PLAYERS[59]):
        told = await leaderboards.rank_player(
            conn, board=board, player_id=PlayerId(player), now=at(0)
        )
        assert told.rank == ranks.get(player)
        if player not in ranks:
            continue
        around = await leaderboards.list_around(
            conn, board=board, player_id=PlayerId(player), limit=5, now=at(0)
        )
        place = order.index(player)
        first = max(0, place - 2)
        assert [line.player_id for line in around.items] == order[first : first + 5]
        assert {line.player_id: line.rank for line in around.items}.items() <= ranks.items()


async def test_ranks_far_down_say_of_when_they_are_and_those_at_the_top_are_exact(
    conn: Connection,
) -> None:
    board = BOARDS[0]
    await _set_scores(conn, board, list(range(1, CROWD + 1)))
    low = await leaderboards.rank_player(conn, board=board, player_id=PlayerId("p00"), now=at(1))
    assert (low.rank, low.as_of) == (60, at(1))
    high = await leaderboards.rank_player(conn, board=board, player_id=PlayerId("p50"), now=at(2))
    assert (high.rank, high.as_of) == (10, None)
    # The markers are of at(1) still: somebody new at the top is not counted before them.
    await conn.execute("update xp.xp_balance set lifetime_xp = 99 where lifetime_xp = 2")
    low = await leaderboards.rank_player(conn, board=board, player_id=PlayerId("p00"), now=at(3))
    assert (low.rank, low.as_of) == (59, at(1))
    assert await leaderboards.refresh_markers(conn, board=board, now=at(4))
    low = await leaderboards.rank_player(conn, board=board, player_id=PlayerId("p00"), now=at(5))
    assert (low.rank, low.as_of) == (60, at(4))


async def test_whoever_stays_is_shown_once_whoever_overtakes_meanwhile(conn: Connection) -> None:
    board = BOARDS[0]
    await _set_scores(conn, board, [7] * 30 + list(range(100, 130)))
    shown, after = [], None
    for number in range(CROWD):
        page = await leaderboards.list_board(conn, board=board, limit=4, after=after, now=at(0))
        shown += [line.player_id for line in page.items]
        after = page.next
        if after is None:
            break
        await conn.execute(  # One of the last overtakes everybody, on every page.
            "update xp.xp_balance set lifetime_xp = 1000 where user_id = (select user_id"
            " from xp.xp_users where external_user_id = %s)",
            (PLAYERS[number],),
        )
    stayed = set(PLAYERS) - set(PLAYERS[:number])
    assert stayed <= set(shown)
    assert len(shown) == len(set(shown))


async def test_a_season_keeps_its_board_when_its_players_move_on(database: str) -> None:
    world = World(database)
    world.add_players("a", "b")
    world.add_season("s", 0, 9)
    world.add_season("t", 10, 19)
    rows = [("a", 10, "s"), ("b", 7, "s"), ("a", 1, "t"), ("a", 2, "s"), ("a", 3, "t")]
    for number, (player, amount, season) in enumerate(rows):
        world.grant(player, amount, number=number, season_id=season)
    async with await connect(database) as conn:
        boards = [
            await leaderboards.list_board(
                conn,
                board=await leaderboards.find_board(
                    conn, name=BoardName.SEASON, season_id=season, now=at(15)
                ),
                limit=9,
                after=None,
                now=at(15),
            )
            for season in (SeasonId("s"), None)
        ]
    assert [(line.player_id, line.score) for line in boards[0].items] == [("a", 12), ("b", 7)]
    assert [(line.player_id, line.score) for line in boards[1].items] == [("a", 4)]
    assert_clean(database)


async def test_nobody_stands_around_a_player_without_a_score(conn: Connection) -> None:
    with pytest.raises(PlayerUnranked):
        await leaderboards.list_around(
            conn, board=BOARDS[0], player_id=PlayerId("p00"), limit=5, now=at(0)
        )


@pytest.mark.parametrize("board", BOARDS, ids=str)
async def test_a_page_far_down_is_read_by_index(conn: Connection, board: Board) -> None:
    await _set_scores(conn, board, list(range(1, CROWD + 1)))
    await conn.execute("set enable_seqscan = off")
    parameters = {
        "board": board.name.value,
        "season_id": board.season_id or "",
        "score": 20,
        "user_id": 5,
        "max_rows": 3,
    }
    async with psycopg.AsyncClientCursor(conn) as cursor:
        explain = f"explain (costs off) {SQL['list_scores_below']}"
        await cursor.execute(explain.encode(), parameters)
        plan = "\n".join(str(row[0]) for row in await cursor.fetchall())
    assert "Seq Scan" not in plan, plan
    assert "Sort\n" not in plan, plan
    assert plan.count("ROW(") == (4 if board.name is BoardName.SEASON else 2), plan
