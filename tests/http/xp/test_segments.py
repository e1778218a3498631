"""Segments over HTTP: kept with their rules, filled by hand, measured, and given versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emberkeep.base.identity import Role
from tests.http.xp.api import POLICY

if TYPE_CHECKING:
    from tests.claiming import World
    from tests.http.xp.api import Api

SEGMENTS: Final = "/v1/xp/segments"
NEW: Final = f"{SEGMENTS}/new-players"
RULE: Final[dict[str, Any]] = {"display_name": "New players", "rule": "account_age_days < 7"}
OVERRIDES: Final = "/v1/xp/policies/daily-login/segments"
WHO: Final[dict[str, Any]] = {"role": Role.OPERATOR, "subject": "olga"}


async def test_a_segment_is_created_read_and_edited_by_who_has_seen_it(api: Api) -> None:
    created = await api.call("PUT", NEW, RULE, **WHO)
    assert (created.status, created.headers["etag"]) == (201, '"1"')
    assert created.headers["location"] == NEW
    shown = created.json()
    assert (shown["rule"], shown["created_by"], shown["revision"]) == (RULE["rule"], "olga", 1)
    read = await api.call("GET", NEW, role=Role.SERVICE)
    assert (read.json(), read.headers["etag"]) == (shown, '"1"')
    assert (await api.get(SEGMENTS)) == {"items": [shown], "next": None}
    edited = await api.call("PUT", NEW, RULE | {"rule": None}, headers={"if-match": '"1"'})
    assert (edited.status, edited.headers["etag"], edited.json()["rule"]) == (200, '"2"', None)
    stale = await api.call("PUT", NEW, RULE, headers={"if-match": '"1"'})
    assert (stale.status, stale.json()["code"], stale.json()["etag"]) == (
        412,
        "request.stale",
        '"2"',
    )
    gone = await api.call("PUT", f"{SEGMENTS}/other", RULE, headers={"if-match": '"1"'})
    assert (gone.status, gone.json()["code"]) == (412, "request.stale")
    assert (await api.call("PUT", NEW, RULE, role=Role.SERVICE)).status == 403
    assert (await api.call("GET", NEW, role=Role.PLAYER, subject="p-1")).status == 403


async def test_a_rule_with_mistakes_is_refused_with_all_of_them(api: Api) -> None:
    body = {"display_name": "", "rule": "age < 7 &&\n  lower(player.id) == 1"}
    reply = await api.call("PUT", f"{SEGMENTS}/No Slug", body)
    assert (reply.status, reply.json()["code"]) == (422, "xp.segment_invalid")
    said = [(error["path"], error["message"]) for error in reply.json()["errors"]]
    assert [path for path, _ in said] == ["segment_key", "display_name", "rule", "rule"]
    assert said[2][1].startswith("line 1, column 1: undeclared reference to 'age'")
    assert said[3][1].startswith("line 2, column 8: undeclared reference to 'lower'")
    assert (await api.get(SEGMENTS))["items"] == []


async def test_players_are_put_into_a_segment_and_taken_out(api: Api, world: World) -> None:
    await api.call("PUT", NEW, {"display_name": "By hand"})
    world.add_players("a", "b", "c")
    members = f"{NEW}/members"
    added = await api.call("POST", members, {"player_ids": ["b", "nobody", "a", "b"]}, **WHO)
    assert added.json() == {
        "segment_key": "new-players",
        "changed": 2,
        "unchanged": 0,
        "errors": [
            {
                "player_id": "nobody",
                "code": "xp.player_unknown",
                "message": "no player has this id",
            }
        ],
    }
    again = (await api.call("POST", members, {"player_ids": ["a", "c"]})).json()
    assert (again["changed"], again["unchanged"]) == (1, 1)
    page = await api.get(f"{members}?limit=2")
    assert [item["player_id"] for item in page["items"]] == ["a", "b"]
    assert page["items"][0]["added_by"] == "olga"
    page = await api.get(f"{members}?limit=2&after={page['next']}")
    assert ([item["player_id"] for item in page["items"]], page["next"]) == (["c"], None)
    removed = await api.call("DELETE", f"{members}?player_id=a&player_id=c&player_id=x", **WHO)
    assert (removed.json()["changed"], len(removed.json()["errors"])) == (2, 1)
    assert [item["player_id"] for item in (await api.get(members))["items"]] == ["b"]
    # A cursor of this form, for a player whose name is NUL.
    for cursor in ("nonsense", "WyJcdTAwMDAiXQ", "WyJub2JvZHkiXQ"):
        bad_page = await api.call("GET", f"{members}?after={cursor}")
        assert (bad_page.status, bad_page.json()["code"]) == (422, "request.cursor_invalid")
    for bad in ([], ["x"] * 1001):
        assert (await api.call("POST", members, {"player_ids": bad})).status in (400, 422)
    nowhere = await api.call("POST", f"{SEGMENTS}/other/members", {"player_ids": ["a"]})
    assert (nowhere.status, nowhere.json()["code"]) == (404, "xp.segment_unknown")


async def test_a_segment_with_an_override_stays(api: Api, world: World) -> None:
    await api.publish()
    await api.call("PUT", NEW, RULE)
    world.add_players("a")
    await api.call("POST", f"{NEW}/members", {"player_ids": ["a"]})
    await api.call("PUT", OVERRIDES, {"segment_overrides": {"new-players": 1}})
    refused = await api.call("DELETE", NEW)
    assert (refused.status, refused.json()["code"]) == (409, "xp.segment_in_use")
    assert refused.json()["policies"] == ["daily-login"]
    await api.call("PUT", OVERRIDES, {"segment_overrides": {}})
    assert (await api.call("DELETE", NEW, headers={"if-match": '"7"'})).status == 412
    assert (await api.call("DELETE", f"{NEW}?reason=over", **WHO)).status == 204
    gone = await api.call("DELETE", NEW)
    assert (gone.status, gone.json()["code"]) == (404, "xp.segment_unknown")
    assert world.execute("select count(*) from xp.xp_segment_members") == [(0,)]


async def test_every_step_is_audited_with_who_took_it_and_why(api: Api, world: World) -> None:
    world.add_players("a")
    await api.call("PUT", NEW, RULE | {"reason": "launch"}, **WHO)
    await api.call("PUT", NEW, RULE | {"rule": "true", "reason": "all"}, **WHO)
    await api.call("POST", f"{NEW}/members", {"player_ids": ["a"], "reason": "asked"}, **WHO)
    await api.call("DELETE", f"{NEW}/members?player_id=a&reason=left", **WHO)
    await api.call("DELETE", f"{NEW}/members?player_id=a", **WHO)
    await api.call("DELETE", f"{NEW}?reason=over", **WHO)
    assert world.execute(
        "select subject, subject_key, step, actor, reason, details ->> 'rule'"
        " from xp.xp_catalogue_audit order by audit_id"
    ) == [
        ("segment", "new-players", "created", "olga", "launch", "account_age_days < 7"),
        ("segment", "new-players", "edited", "olga", "all", "true"),
        ("segment", "new-players", "members_added", "olga", "asked", None),
        ("segment", "new-players", "members_removed", "olga", "left", None),
        ("segment", "new-players", "deleted", "olga", "over", None),
    ]
    page = await api.get(f"{NEW}/audit?limit=2", **WHO)
    assert [item["step"] for item in page["items"]] == ["deleted", "members_removed"]
    page = await api.get(f"{NEW}/audit?after={page['next']}", **WHO)
    assert [item["reason"] for item in page["items"]] == ["asked", "all", "launch"]
    too_long = RULE | {"reason": "x" * 501}
    reply = await api.call("PUT", NEW, too_long)
    assert (reply.status, reply.json()["errors"][0]["path"]) == (422, "reason")


async def test_the_version_of_the_highest_priority_is_paid_and_explained(api: Api) -> None:
    for version, base in enumerate((100, 200, 300), start=1):
        await api.publish(POLICY | {"base_xp_amount": base}, version=version)
    await api.call("PUT", NEW, RULE | {"rule": "account_age_days < 7"})
    await api.call("PUT", f"{SEGMENTS}/vip", {"display_name": "VIP"})
    body = {"segment_overrides": {"new-players": 1, "vip": 2}, "priorities": {"new-players": 5}}
    put = await api.call("PUT", OVERRIDES, body)
    priorities = {"new-players": 5, "vip": 0}
    assert put.json() == {"policy_key": "daily-login"} | body | {"priorities": priorities}
    await api.add_player("p-1")
    await api.call("PUT", "/v1/players/p-2", {"time_zone": "UTC", "segment_key": "vip"})

    where = await api.get("/v1/players/p-2/segments")
    assert [(s["segment_key"], s["reason"]) for s in where["segments"]] == [
        ("new-players", "rule"),
        ("vip", "segment_key"),
    ]
    decided = {"segment": "new-players", "reason": "rule", "priority": 5, "failure": None}
    assert (where["policy_version"], where["decided_by"]) == (1, decided)

    receipt = (await api.call("POST", "/v1/daily-login/claim", {"player_id": "p-2"})).json()
    assert (receipt["policy_version"], receipt["segment"]) == (1, "new-players")
    assert receipt["explain"]["chosen_by"] == decided

    # A segment that is not named keeps its priority; the others hold at once.
    body = {"segment_overrides": {"new-players": 1, "vip": 2}, "priorities": {"vip": 6}}
    assert (await api.call("PUT", OVERRIDES, body)).status == 200
    assert (await api.get(OVERRIDES))["priorities"] == {"new-players": 5, "vip": 6}
    assert (await api.get("/v1/players/p-2/segments"))["policy_version"] == 2
    assert (await api.get("/v1/players/p-1/segments"))["policy_version"] == 1
    audited = (await api.get("/v1/xp/policies/daily-login/audit"))["items"][0]["details"]
    assert audited["priorities"] == {"new-players": 5, "vip": 6}
    assert audited["priorities_before"] == {"new-players": 5, "vip": 0}
    # A publication can say the same, and says nothing of priorities without overrides.
    publish = "/v1/xp/policies/daily-login/versions/3/publish"
    nothing = await api.call("POST", publish, {"priorities": {"vip": 1}})
    assert (nothing.status, nothing.json()["code"]) == (422, "xp.segment_override_invalid")
    refused = await api.call("PUT", OVERRIDES, {"segment_overrides": {}, "priorities": {"x": 1}})
    assert (refused.status, refused.json()["errors"][0]["path"]) == (422, "priorities.x")


async def test_a_failing_rule_pays_by_the_version_in_force_and_shows_in_the_metrics(
    api: Api,
) -> None:
    await api.publish()
    await api.publish(POLICY | {"base_xp_amount": 200}, version=2)
    await api.call("PUT", NEW, RULE | {"rule": "player.attributes.level > 3"})
    await api.call("PUT", OVERRIDES, {"segment_overrides": {"new-players": 1}})
    await api.add_player("p-1")
    reply = await api.call("POST", "/v1/daily-login/claim", {"player_id": "p-1"})
    receipt = reply.json()
    assert (reply.status, receipt["policy_version"], receipt["segment"]) == (201, 2, None)
    assert receipt["explain"]["chosen_by"] == {
        "segment": "new-players",
        "reason": "rule_failed",
        "priority": 0,
        "failure": "not_found",
    }
    metrics = (await api.call("GET", "/metrics")).body.decode()
    assert 'emberkeep_segment_rule_failures_total{segment="new-players"} 1.0' in metrics


async def test_an_estimate_that_cannot_be_made_is_refused(api: Api) -> None:
    bad: list[tuple[dict[str, str], int, str]] = [
        ({}, 422, "xp.estimate_invalid"),
        ({"rule": "true", "segment_key": "a"}, 422, "xp.estimate_invalid"),
        ({"rule": "true ||"}, 422, "xp.segment_invalid"),
        ({"segment_key": "a"}, 404, "xp.segment_unknown"),
    ]
    for body, status, code in bad:
        reply = await api.call("POST", f"{SEGMENTS}/estimate", body)
        assert (reply.status, reply.json()["code"]) == (status, code), body


async def test_an_estimate_is_exact_for_few_and_near_for_many(api: Api, world: World) -> None:
    nobody = await api.call("POST", f"{SEGMENTS}/estimate", {"rule": "true"})
    assert (nobody.json()["estimate"], nobody.json()["is_exact"]) == (0, True)
    world.add_players(*(f"e-{number}" for number in range(900)), zone="Europe/Berlin")
    world.add_players(*(f"a-{number}" for number in range(2100)), zone="Asia/Tokyo")
    # Numbers that nobody has, as after an erasure: they must not count.
    world.execute("select setval(pg_get_serial_sequence('xp.xp_users', 'user_id'), 6000)")
    world.add_players(*(f"m-{number}" for number in range(10)))
    await api.call(
        "PUT", f"{SEGMENTS}/mixed", {"display_name": "x", "rule": "account_age_days < 0"}
    )
    await api.call("POST", f"{SEGMENTS}/mixed/members", {"player_ids": ["m-1", "m-2", "e-5"]})
    rule = {"rule": 'player.region == "Europe" && (player.id != "e-1" || player.attributes.x == 1)'}
    exact = (await api.call("POST", f"{SEGMENTS}/estimate", rule | {"sample": 20_000})).json()
    assert (exact["players"], exact["sampled"], exact["is_exact"]) == (3010, 3010, True)
    assert (exact["estimate"], exact["low"], exact["high"], exact["failed"]) == (899, 899, 899, 1)
    assert len(exact["sample"]) == 20
    assert exact["sample"][0] == "e-0"
    # Each bound holds 19 times out of 20; that half of eight miss is one chance in 400,000.
    tries = [
        (await api.call("POST", f"{SEGMENTS}/estimate", rule | {"sample": 400})).json()
        for _ in range(8)
    ]
    assert {found["is_exact"] for found in tries} == {False}
    assert all(250 <= found["sampled"] <= 550 for found in tries)
    assert sum(found["low"] <= 899 <= found["high"] for found in tries) > 4
    mixed = (await api.call("POST", f"{SEGMENTS}/estimate", {"segment_key": "mixed"})).json()
    assert mixed["low"] <= 3 <= mixed["high"]
