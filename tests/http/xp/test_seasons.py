"""Seasons over HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

SEASONS = "/v1/xp/seasons"
SPRING = {"season_id": "spring", "start_date": "2026-03-01", "end_date": "2026-05-31"}


async def test_a_season_is_added_and_read(api: Api) -> None:
    reply = await api.call("POST", SEASONS, SPRING | {"display_name": "Spring!"})
    assert (reply.status, reply.headers["location"]) == (201, f"{SEASONS}/spring")
    assert reply.json() == SPRING | {"display_name": "Spring!"}
    assert await api.get(f"{SEASONS}/spring") == reply.json()
    assert (await api.get(SEASONS))["items"] == [reply.json()]
    missing = await api.call("GET", f"{SEASONS}/winter")
    assert (missing.status, missing.json()["code"]) == (404, "xp.season_unknown")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (SPRING, "xp.season_exists"),
        (SPRING | {"season_id": "b", "start_date": "2026-05-31"}, "xp.season_overlap"),
        (SPRING | {"season_id": "b", "end_date": "2026-03-01"}, "xp.season_overlap"),
    ],
)
async def test_seasons_never_overlap(api: Api, body: dict[str, str], code: str) -> None:
    await api.call("POST", SEASONS, SPRING)
    reply = await api.call("POST", SEASONS, body)
    assert (reply.status, reply.json()["code"]) == (409, code)


async def test_ten_overlapping_seasons_at_once_make_one(api: Api, world: World) -> None:
    replies = await asyncio.gather(
        *(api.call("POST", SEASONS, SPRING | {"season_id": f"s-{i}"}) for i in range(10))
    )
    assert sorted(reply.status for reply in replies) == [201] + [409] * 9
    assert world.execute("select count(*) from xp.xp_seasons") == [(1,)]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"end_date": "2026-02-28"}, "end_date"),
        ({"season_id": "Not A Slug"}, "season_id"),
        ({"season_id": ""}, "season_id"),
        ({"display_name": ""}, "display_name"),
        ({"start_date": "2026-02-30"}, "start_date"),
        ({"start_date": 5}, "start_date"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_season_that_cannot_be_is_refused_by_its_path(
    api: Api, change: dict[str, object], path: str
) -> None:
    reply = await api.call("POST", SEASONS, SPRING | change)
    assert reply.status == 422, reply.body
    assert [error["path"] for error in reply.json()["errors"]] == [path]


async def test_a_season_cannot_end_before_claims_that_were_made(api: Api) -> None:
    await api.publish()
    await api.add_player()
    await api.call("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
    past = SPRING | {"start_date": "2026-02-01", "end_date": "2026-02-28"}
    reply = await api.call("POST", SEASONS, past)
    assert (reply.status, reply.json()["code"]) == (409, "xp.season_over")
    assert (await api.get(SEASONS))["items"] == []
    running = SPRING | {"end_date": "2026-03-01"}
    assert (await api.call("POST", SEASONS, running)).status == 201
