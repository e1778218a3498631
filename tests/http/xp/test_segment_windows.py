"""Segments whose versions open their days at another hour: nobody is kept waiting, or out, by it."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.identity import Role
from tests.claiming import at
from tests.http.xp.api import POLICY, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.http.xp.api import Api

PREVIEW = "/v1/daily-login/preview"
CLAIM = "/v1/daily-login/claim"
EVENING_MINUTES = 20 * 60


def _open_at(minutes: int, **window: int) -> dict[str, object]:
    return {
        **POLICY,
        "claim_window": {**POLICY["claim_window"], "start_minutes": minutes, **window},
    }


async def _publish_both(
    api: Api, first: Mapping[str, object], second: Mapping[str, object]
) -> None:
    """Publish `first` as version 1 and `second` as version 2, which is in force then."""
    await api.publish(first)
    assert (await api.call("POST", VERSIONS, second)).status == 201
    assert (await api.call("POST", f"{VERSIONS}/2/publish", {})).status == 200


async def _give(api: Api, segment: str, version: int) -> None:
    body = {"segment_overrides": {segment: version}}
    assert (await api.call("PUT", "/v1/xp/policies/daily-login/segments", body)).status == 200


async def _preview(api: Api, days: int) -> list[str]:
    reply = await api.call(
        "POST", PREVIEW, {"player_id": "p-1", "days": days}, role=Role.PLAYER, subject="p-1"
    )
    assert reply.status == 200, reply.body
    return [day["reward_day_id"] for day in reply.json()["days"]]


@pytest.mark.timeout(20)
async def test_the_next_opening_lies_ahead_though_the_zone_changed_within_the_day(api: Api) -> None:
    # The zone changes at a boundary of the policy in force, in the middle of the segment's day.
    await _publish_both(api, _open_at(EVENING_MINUTES, min_cooldown_hours=12), POLICY)
    await _give(api, "vip", 1)
    api.now = at(1, 5 + 40 / 60)
    player = {"time_zone": "Asia/Tokyo", "segment_key": "vip"}
    assert (await api.call("PUT", "/v1/players/p-1", player)).status == 201
    zone = {"time_zone": "Europe/Berlin"}
    assert (await api.call("PUT", "/v1/players/p-1/reward-time-zone", zone)).status == 200
    assert len(await _preview(api, 3)) == 3
    for hour in (5.7, 12, 17.7, 19.1, 23):
        api.now = at(1, hour)
        answer = (await api.call("POST", CLAIM, {"player_id": "p-1"})).json()
        opens_at = answer.get("next_boundary_at") or answer["opens_at"]
        assert datetime.datetime.fromisoformat(opens_at) > api.now, answer


@pytest.mark.timeout(20)
async def test_a_preview_ends_where_a_player_finds_every_window_closed(api: Api) -> None:
    await _publish_both(
        api, _open_at(0, duration_hours=1), _open_at(EVENING_MINUTES, duration_hours=1)
    )
    rule = {"display_name": "Late", "rule": "now.getHours() >= 12"}
    assert (await api.call("PUT", "/v1/xp/segments/late", rule)).status == 201
    await _give(api, "late", 1)
    await api.add_player()
    api.now = at(1, 3)
    assert await _preview(api, 2) == []


async def test_whoever_enters_a_segment_whose_day_has_begun_is_paid_for_it(api: Api) -> None:
    await _publish_both(api, POLICY, _open_at(EVENING_MINUTES))
    rule = {"display_name": "Rich", "rule": "balance.current >= 500"}
    assert (await api.call("PUT", "/v1/xp/segments/rich", rule)).status == 201
    await _give(api, "rich", 1)
    await api.add_player()
    api.now = at(1, 12)
    first = (await api.call("POST", CLAIM, {"player_id": "p-1"})).json()
    again = await api.call("POST", CLAIM, {"player_id": "p-1"})
    assert (again.status, again.json()["receipt_id"]) == (200, first["receipt_id"])
    grant = {"amount": 500, "reason": "QUEST"}
    assert (await api.call("POST", "/v1/players/p-1/grants", grant)).status == 201
    # Until 20:00 it was the day before for everybody else; for this segment today began at midnight.
    second = await api.call("POST", CLAIM, {"player_id": "p-1"})
    assert (second.status, second.json()["policy_version"]) == (201, 1)
    assert second.json()["reward_day_id"] > first["reward_day_id"]
