"""Players and their time zone over HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.identity import Role
from tests.claiming import at

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

PLAYER = "/v1/players/p-1"
ZONE = f"{PLAYER}/reward-time-zone"


def _list_changes(world: World) -> list[tuple[str, str, bool]]:
    return [
        (old, new, granted)
        for old, new, granted in world.execute(
            "select old_reward_tz, new_reward_tz, is_granted from xp.xp_time_zone_changes"
            " order by change_id"
        )
    ]


async def test_a_put_creates_the_player_and_then_finds_it(api: Api) -> None:
    body = {"time_zone": "Europe/Berlin", "segment_key": "vip", "attributes": {"level": 3}}
    first = await api.call("PUT", PLAYER, body, role=Role.SERVICE)
    again = await api.call("PUT", PLAYER, body, role=Role.SERVICE)
    assert (first.status, again.status) == (201, 200)
    assert again.json() == first.json() == await api.get(PLAYER)
    assert first.json()["external_user_id"] == "p-1"
    assert first.json()["attributes"] == {"level": 3}


async def test_what_a_put_does_not_name_stays_and_null_takes_it_away(api: Api) -> None:
    named = {"time_zone": "UTC", "segment_key": "vip", "attributes": {"a": 1}}
    await api.call("PUT", PLAYER, named)
    kept = await api.call("PUT", PLAYER, {"time_zone": "UTC"})
    assert (kept.json()["segment_key"], kept.json()["attributes"]) == ("vip", {"a": 1})
    cleared = await api.call("PUT", PLAYER, {"time_zone": "UTC", "segment_key": None})
    assert (cleared.json()["segment_key"], cleared.json()["attributes"]) == (None, {"a": 1})


async def test_twenty_puts_at_once_create_one_player(api: Api, world: World) -> None:
    replies = await asyncio.gather(
        *(api.call("PUT", PLAYER, {"time_zone": "UTC"}) for _ in range(20))
    )
    assert sorted(reply.status for reply in replies) == [200] * 19 + [201]
    assert world.execute("select count(*) from xp.xp_users") == [(1,)]


async def test_a_zone_changes_at_the_next_boundary_of_the_old_one(api: Api) -> None:
    await api.publish()
    await api.add_player(time_zone="Europe/Berlin")
    reply = await api.call("PUT", ZONE, {"time_zone": "Asia/Tokyo"})
    assert reply.json() == {"time_zone": "Asia/Tokyo", "effective_at": "2026-03-01T23:00:00Z"}
    player = await api.get(PLAYER)
    assert (player["time_zone"], player["next_time_zone"]) == ("Europe/Berlin", "Asia/Tokyo")
    api.now = at(1)
    player = await api.get(PLAYER)
    assert (player["time_zone"], player["next_time_zone"]) == ("Asia/Tokyo", None)


async def test_a_second_change_within_the_cooldown_is_refused_and_kept(
    api: Api, world: World
) -> None:
    await api.add_player()
    assert (await api.call("PUT", ZONE, {"time_zone": "Asia/Tokyo"})).status == 200
    api.now = at(3)
    refused = await api.call("PUT", ZONE, {"time_zone": "Asia/Seoul"})
    assert (refused.status, refused.json()["code"]) == (409, "xp.time_zone_cooldown")
    assert refused.json()["opens_at"] == "2026-03-08T12:00:00Z"
    assert _list_changes(world) == [
        ("UTC", "Asia/Tokyo", True),
        ("Asia/Tokyo", "Asia/Seoul", False),
    ]
    api.now = at(7)
    assert (await api.call("PUT", ZONE, {"time_zone": "Asia/Seoul"})).status == 200


async def test_asking_for_the_zone_that_holds_costs_nothing(api: Api, world: World) -> None:
    await api.add_player()
    assert (await api.call("PUT", ZONE, {"time_zone": "UTC"})).status == 200
    first = await api.call("PUT", ZONE, {"time_zone": "Asia/Tokyo"})
    again = await api.call("PUT", ZONE, {"time_zone": "Asia/Tokyo"})
    assert again.json() == first.json()
    assert _list_changes(world) == [("UTC", "Asia/Tokyo", True)]


async def test_another_zone_in_a_put_is_a_change_under_the_same_rules(
    api: Api, world: World
) -> None:
    await api.add_player()
    moved = await api.call("PUT", PLAYER, {"time_zone": "Asia/Tokyo"})
    assert (moved.json()["time_zone"], moved.json()["next_time_zone"]) == ("UTC", "Asia/Tokyo")
    refused = await api.call("PUT", PLAYER, {"time_zone": "Asia/Seoul", "segment_key": "vip"})
    assert (refused.status, refused.json()["code"]) == (409, "xp.time_zone_cooldown")
    assert (await api.get(PLAYER))["segment_key"] is None
    assert [granted for _, _, granted in _list_changes(world)] == [True, False]


@pytest.mark.parametrize(
    ("zone", "says"),
    [
        ("Asia/Calcutta", "use Asia/Kolkata"),
        ("CET", "read differently by different systems"),
        ("EST5EDT", "Area/Location"),
        ("Europe/Atlantis", "is not a time zone"),
        ("../../etc/passwd", "is not a time zone"),
        ("", "is not a time zone"),
    ],
)
async def test_a_zone_that_cannot_be_had_is_refused_with_the_one_to_use(
    api: Api, world: World, zone: str, says: str
) -> None:
    for method, target in (("PUT", PLAYER), ("PUT", ZONE)):
        reply = await api.call(method, target, {"time_zone": zone})
        assert (reply.status, reply.json()["code"]) == (422, "xp.time_zone_unknown")
        assert says in reply.json()["errors"][0]["message"]
    assert world.execute("select count(*) from xp.xp_users") == [(0,)]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"segment_key": "No Slug"}, "segment_key"),
        ({"attributes": {"a": "x" * 17_000}}, "attributes"),
        ({"attributes": [1]}, "attributes"),
        ({"attributes": {"a": "\0"}}, "attributes.a"),
        ({"attributes": {"a": 2**53 + 1}}, "attributes.a"),
        ({"vip": True}, "vip"),
    ],
)
async def test_what_cannot_be_kept_of_a_player_is_refused_by_its_path(
    api: Api, world: World, body: dict[str, object], path: str
) -> None:
    reply = await api.call("PUT", PLAYER, {"time_zone": "UTC", **body})
    assert reply.status == 422, reply.body
    assert [error["path"] for error in reply.json()["errors"]] == [path]
    assert world.execute("select count(*) from xp.xp_users") == [(0,)]


async def test_an_id_that_nobody_can_read_is_refused(api: Api) -> None:
    for player_id in ("x" * 256, "a\tb"):
        reply = await api.call("PUT", f"/v1/players/{player_id}", {"time_zone": "UTC"})
        assert (reply.status, reply.json()["code"]) == (422, "xp.player_invalid")


async def test_a_player_reads_and_moves_only_themself(api: Api) -> None:
    await api.add_player()
    mine = {"role": Role.PLAYER, "subject": "p-1"}
    other = {"role": Role.PLAYER, "subject": "p-2"}
    assert (await api.call("GET", PLAYER, **mine)).status == 200
    assert (await api.call("PUT", ZONE, {"time_zone": "UTC"}, **mine)).status == 200
    assert (await api.call("GET", PLAYER, **other)).status == 403
    assert (await api.call("PUT", ZONE, {"time_zone": "UTC"}, **other)).status == 403
    assert (await api.call("PUT", PLAYER, {"time_zone": "UTC"}, **mine)).status == 403


async def test_an_unknown_player_is_not_found(api: Api) -> None:
    for target in (PLAYER, f"{PLAYER}/xp", f"{PLAYER}/ledger", f"{PLAYER}/timeline"):
        reply = await api.call("GET", target)
        assert (reply.status, reply.json()["code"]) == (404, "xp.player_unknown")
    reply = await api.call("PUT", ZONE, {"time_zone": "UTC"})
    assert (reply.status, reply.json()["code"]) == (404, "xp.player_unknown")


async def test_a_change_of_zone_neither_loses_nor_doubles_a_day(api: Api) -> None:
    await api.publish()
    await api.add_player(time_zone="Pacific/Kiritimati")
    claim = ("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
    first = (await api.call(*claim)).json()
    assert first["reward_day_id"] == "2026-03-02"
    await api.call("PUT", ZONE, {"time_zone": "Pacific/Pago_Pago"})
    # Twenty-five hours to the west: the day that was claimed comes once more, and pays no more.
    for hours in (11, 23, 34):
        api.now = at(1, hours)
        assert (await api.call(*claim)).json()["receipt_id"] == first["receipt_id"]
    api.now = at(2, 11)
    second = (await api.call(*claim)).json()
    assert (second["status"], second["reward_day_id"]) == ("NEW", "2026-03-03")
    assert second["streak"]["current"] == 2
