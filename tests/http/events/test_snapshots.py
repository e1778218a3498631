"""Snapshots over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.identity import Role

if TYPE_CHECKING:
    from tests.http.xp.api import Api

SNAPSHOT = "/v1/snapshots/order-17"


def _make_body(version: int = 3, **changes: object) -> dict[str, Any]:
    return {"source_version": version, "source_type": "Order", "data": {"total": 1.5}} | changes


async def test_a_state_is_read_as_it_was_kept(api: Api) -> None:
    reply = await api.call("PUT", SNAPSHOT, _make_body(metadata={"by": "fold 2"}))
    assert (reply.status, reply.json()) == (200, {"source_id": "order-17", "source_version": 3})
    assert await api.get(SNAPSHOT) == {
        "source_id": "order-17",
        "source_version": 3,
        "source_type": "Order",
        "data": {"total": 1.5},
        "metadata": {"by": "fold 2"},
        "created_at": "2026-03-01T12:00:00Z",
    }


async def test_a_newer_state_takes_the_place_of_an_older_one_and_never_the_reverse(
    api: Api,
) -> None:
    for version, kept in ((3, 3), (5, 5), (4, 5)):
        reply = await api.call("PUT", SNAPSHOT, _make_body(version, data=version))
        assert reply.json()["source_version"] == kept
    assert (await api.get(SNAPSHOT))["data"] == 5


async def test_a_state_can_be_forgotten(api: Api) -> None:
    await api.call("PUT", SNAPSHOT, _make_body())
    reply = await api.call("DELETE", SNAPSHOT)
    assert (reply.status, reply.body) == (204, b"")
    for method in ("GET", "DELETE"):
        reply = await api.call(method, SNAPSHOT)
        assert (reply.status, reply.json()["code"]) == (404, "events.snapshot_unknown")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (_make_body(0), "source_version"),
        (_make_body(-1), "source_version"),
        (_make_body(2**63), "source_version"),
        (_make_body(source_type=""), "source_type"),
        (_make_body(source_type="x" * 256), "source_type"),
        (_make_body(metadata=[]), "metadata"),
        (_make_body(other=1), "other"),
    ],
)
async def test_a_state_that_cannot_be_kept_is_refused(
    api: Api, body: dict[str, Any], path: str
) -> None:
    reply = await api.call("PUT", SNAPSHOT, body)
    assert reply.status == 422
    assert [error["path"] for error in reply.json()["errors"]] == [path]
    assert (await api.call("GET", SNAPSHOT)).status == 404


async def test_a_source_has_a_name_of_at_most_512_characters(api: Api) -> None:
    target = f"/v1/snapshots/{'x' * 513}"
    for method, body in (("PUT", _make_body()), ("GET", b""), ("DELETE", b"")):
        assert (await api.call(method, target, body)).status == 422, method


@pytest.mark.parametrize(
    ("method", "role"),
    [
        ("PUT", Role.OPERATOR),
        ("DELETE", Role.OPERATOR),
        ("PUT", Role.PLAYER),
        ("GET", Role.PLAYER),
        ("DELETE", Role.PLAYER),
    ],
)
async def test_a_role_that_may_not_is_refused(api: Api, method: str, role: Role) -> None:
    body = _make_body() if method == "PUT" else b""
    reply = await api.call(method, SNAPSHOT, body, role=role)
    assert (reply.status, reply.json()["code"]) == (403, "request.role_refused")
