"""Seasons over HTTP."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING

import pytest

from tests.claiming import at
from tests.http.xp.api import POLICY

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

SEASONS = "/v1/xp/seasons"
SUMMER = {"start_date": "2026-06-01", "end_date": "2026-08-31"}
SPRING = {"season_id": "spring", "start_date": "2026-03-01", "end_date": "2026-05-31"}


async def test_a_season_is_added_and_read(api: Api) -> None:
    reply = await api.call("POST", SEASONS, SPRING | {"display_name": "Spring!"})
    assert (reply.status, reply.headers["location"]) == (201, f"{SEASONS}/spring")
    assert reply.json() == SPRING | {"display_name": "Spring!"}
    assert await api.get(f"{SEASONS}/spring") == reply.json()
    assert (await api.get(SEASONS))["items"] == [reply.json()]
    missing = await api.call("GET", f"{SEASONS}/winter")
    assert (missing.status, missing.json()["code"]) == (404, "xp.season_unknown")


async def test_an_edit_that_says_no_display_name_keeps_it(api: Api) -> None:
    await api.call("POST", SEASONS, SUMMER | {"season_id": "summer", "display_name": "Summer!"})
    edited = await api.call("PUT", f"{SEASONS}/summer", SUMMER | {"end_date": "2026-09-30"})
    assert (edited.status, edited.json()["display_name"]) == (200, "Summer!")
    renamed = await api.call("PUT", f"{SEASONS}/summer", SUMMER | {"display_name": "Sun"})
    assert renamed.json()["display_name"] == "Sun"
    assert await api.get(f"{SEASONS}/summer") == renamed.json()


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
        ({"season_id": "current"}, "season_id"),
        ({"reason": "x" * 501}, "reason"),
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


async def _add_summer(api: Api) -> str:
    reply = await api.call("POST", SEASONS, {"season_id": "summer"} | SUMMER)
    assert reply.status == 201, reply.body
    return reply.headers["etag"]


async def test_a_season_to_come_is_edited_and_deleted_by_who_has_seen_it(api: Api) -> None:
    seen = await _add_summer(api)
    longer = SUMMER | {"end_date": "2026-09-15", "reason": "rain"}
    edited = await api.call("PUT", f"{SEASONS}/summer", longer, headers={"if-match": seen})
    assert (edited.status, edited.json()["end_date"]) == (200, "2026-09-15")
    assert (await api.call("GET", f"{SEASONS}/summer")).headers["etag"] == edited.headers["etag"]
    for method, body in (("PUT", SUMMER), ("DELETE", b"")):
        stale = await api.call(method, f"{SEASONS}/summer", body, headers={"if-match": seen})
        assert (stale.status, stale.json()["etag"]) == (412, edited.headers["etag"])
    gone = await api.call("DELETE", f"{SEASONS}/summer?reason=none", subject="anna")
    assert gone.status == 204
    assert (await api.call("DELETE", f"{SEASONS}/summer")).status == 404
    newest = await api.get(f"{SEASONS}/summer/audit?limit=2")
    oldest = await api.get(f"{SEASONS}/summer/audit?limit=2&after={newest['next']}")
    audit = [
        (step["step"], step["actor"], step["reason"], step["details"]["season"]["end_date"])
        for step in newest["items"] + oldest["items"]
    ]
    assert audit == [
        ("deleted", "anna", "none", "2026-09-15"),
        ("edited", "admin", "rain", "2026-09-15"),
        ("created", "admin", "", "2026-08-31"),
    ]
    assert oldest["next"] is None


async def test_a_season_stays_as_it_is_once_its_first_day_has_begun_at_utc_plus_14(
    api: Api,
) -> None:
    await _add_summer(api)
    api.now = datetime.datetime(2026, 5, 31, 9, 59, 59, 999999, tzinfo=datetime.UTC)
    assert (await api.call("PUT", f"{SEASONS}/summer", SUMMER)).status == 200
    api.now += datetime.timedelta(microseconds=1)
    for method, body in (("PUT", SUMMER), ("DELETE", b"")):
        reply = await api.call(method, f"{SEASONS}/summer", body)
        assert (reply.status, reply.json()["code"]) == (409, "xp.season_begun")


async def test_an_edit_never_lets_seasons_overlap(api: Api) -> None:
    await _add_summer(api)
    await api.call("POST", SEASONS, SPRING)
    reply = await api.call("PUT", f"{SEASONS}/summer", SUMMER | {"start_date": "2026-05-31"})
    assert (reply.status, reply.json()["code"]) == (409, "xp.season_overlap")


async def test_a_season_of_which_players_hold_xp_is_not_deleted(api: Api) -> None:
    await _add_summer(api)
    await api.add_player()
    grant = {"amount": 5, "reason": "QUEST", "season_id": "summer"}
    assert (await api.call("POST", "/v1/players/p-1/grants", grant)).status == 201
    reply = await api.call("DELETE", f"{SEASONS}/summer")
    assert (reply.status, reply.json()["code"]) == (409, "xp.season_in_use")


async def test_the_season_now_and_the_next_one_are_told_by_the_players_clock(api: Api) -> None:
    await api.call("POST", SEASONS, SPRING)
    await _add_summer(api)
    now = await api.get(f"{SEASONS}/current")
    assert (now["reward_day_id"], now["current"]["season_id"]) == ("2026-03-01", "spring")
    assert now["next"]["season_id"] == "summer"
    asked = f"{SEASONS}/current?at=2026-05-31T23:59:59Z"
    assert (await api.get(asked))["current"]["season_id"] == "spring"
    ahead = await api.get(f"{asked}&time_zone=Pacific/Kiritimati")
    assert (ahead["current"]["season_id"], ahead["next"]) == ("summer", None)
    window = POLICY["claim_window"] | {"start_minutes": 300}
    await api.publish(POLICY | {"claim_window": window})
    asked = f"{SEASONS}/current?at=2026-06-01T04:59:59Z"
    assert (await api.get(asked))["current"]["season_id"] == "spring"


@pytest.mark.parametrize(
    "query", ["at=yesterday", "at=2026-03-01T00:00:00", "time_zone=CET", "at=0001-01-01T00:00:00Z"]
)
async def test_an_outlook_from_nowhere_is_refused(api: Api, query: str) -> None:
    assert (await api.call("GET", f"{SEASONS}/current?{query}")).status == 422


async def test_the_calendar_is_filtered_by_where_seasons_lie(api: Api) -> None:
    await api.call("POST", SEASONS, SPRING)
    await _add_summer(api)
    api.now = at(92)
    for when, names in {"past": ["spring"], "current": ["summer"], "next": []}.items():
        found = (await api.get(f"{SEASONS}?when={when}"))["items"]
        assert [season["season_id"] for season in found] == names
    assert (await api.call("GET", f"{SEASONS}?when=never")).status == 422
