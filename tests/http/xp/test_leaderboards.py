"""Leaderboards over HTTP: who may read them, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emberkeep.base.identity import Role
from tests.claiming import at

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api


@pytest.fixture(autouse=True)
async def _ready(api: Api, world: World) -> None:
    world.add_season("s", 0, 9)
    for number, (player, amount) in enumerate((("a", 30), ("b", 50), ("c", 30), ("d", 10))):
        await api.add_player(player)
        world.grant(player, amount, number=number, season_id="s")
    await api.add_player("nobody")


async def test_a_player_sees_ids_ranks_and_scores_and_nothing_else(api: Api) -> None:
    page = await api.get("/v1/leaderboards/lifetime?limit=3", role=Role.PLAYER, subject="d")
    assert [(i["rank"], i["player_id"], i["score"]) for i in page["items"]] == [
        (1, "b", 50),
        (2, "c", 30),
        (2, "a", 30),
    ]
    assert set(page["items"][0]) == {"rank", "player_id", "score"}
    rest = await api.get(f"/v1/leaderboards/lifetime?after={page['next']}")
    assert [(i["rank"], i["player_id"]) for i in rest["items"]] == [(4, "d")]
    assert (rest["next"], rest["as_of"]) == (None, None)


async def test_neighbours_and_rank_of_one_player(api: Api) -> None:
    page = await api.get("/v1/leaderboards/season?around=a&limit=3")
    assert [(i["rank"], i["player_id"]) for i in page["items"]] == [(2, "c"), (2, "a"), (4, "d")]
    assert page["season_id"] == "s"
    rank = await api.get("/v1/leaderboards/season/players/d")
    assert (rank["rank"], rank["score"]) == (4, 10)
    rank = await api.get("/v1/leaderboards/streak/players/d")
    assert (rank["rank"], rank["score"]) == (None, 0)


async def test_a_season_that_is_over_has_its_board_and_none_that_runs_must_be_named(
    api: Api,
) -> None:
    api.now = at(50)
    assert len((await api.get("/v1/leaderboards/season?season_id=s"))["items"]) == 4
    reply = await api.call("GET", "/v1/leaderboards/season")
    assert (reply.status, reply.json()["code"]) == (404, "xp.season_unknown")


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("season?season_id=never", 404, "xp.season_unknown"),
        ("lifetime?season_id=s", 422, "xp.leaderboard_invalid"),
        ("lifetime?around=x", 404, "xp.player_unknown"),
        ("lifetime?around=nobody", 404, "xp.player_unranked"),
        ("lifetime?around=a&after=WzEsMV0", 422, "xp.leaderboard_invalid"),
        ("lifetime?after=x", 422, "request.cursor_invalid"),
        ("lifetime?limit=0", 422, "request.invalid"),
        ("lifetime/players/x", 404, "xp.player_unknown"),
        ("wealth", 422, "request.invalid"),
    ],
)
async def test_what_cannot_be_shown_is_refused(
    api: Api, target: str, status: int, code: str
) -> None:
    reply = await api.call("GET", f"/v1/leaderboards/{target}")
    assert (reply.status, reply.json()["code"]) == (status, code), reply.body
