"""A player who calls too often waits; nobody else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emberkeep.base.identity import Principal, Role
from emberkeep.web.errors import RateLimited
from emberkeep.web.limits import RateLimit
from tests.http.notes_app import Client, make_test_app, make_test_token

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAYER = Principal("p-1", Role.PLAYER)


def _count_admitted(limit: RateLimit, instants_s: Sequence[float]) -> int:
    admitted = 0
    for at_s in instants_s:
        try:
            limit.admit(PLAYER, at_s=at_s)
        except RateLimited:
            continue
        admitted += 1
    return admitted


def test_a_minutes_worth_may_come_at_once_and_no_more() -> None:
    assert _count_admitted(RateLimit(60), [0.0] * 100) == 60


def test_the_bucket_fills_evenly() -> None:
    limit = RateLimit(60)
    _count_admitted(limit, [0.0] * 60)
    assert _count_admitted(limit, [0.5, 0.99, 1.0, 1.5, 2.0]) == 2


def test_the_bucket_never_overflows() -> None:
    limit = RateLimit(60)
    _count_admitted(limit, [0.0] * 60)
    assert _count_admitted(limit, [10_000.0] * 100) == 60


def test_a_refusal_says_when_to_come_back() -> None:
    limit = RateLimit(6)
    _count_admitted(limit, [0.0] * 6)
    with pytest.raises(RateLimited) as refused:
        limit.admit(PLAYER, at_s=1.0)
    assert refused.value.facts["retry_after_s"] == 9


def test_players_do_not_share_a_bucket() -> None:
    limit = RateLimit(1)
    for number in range(3):
        limit.admit(Principal(f"p-{number}", Role.PLAYER), at_s=0.0)


@pytest.mark.parametrize("role", [Role.SERVICE, Role.OPERATOR, Role.ADMIN])
def test_other_roles_are_not_counted(role: Role) -> None:
    limit = RateLimit(1)
    for _ in range(10):
        assert limit.admit(Principal("x", role), at_s=0.0) == ()


def test_zero_means_no_limit() -> None:
    assert _count_admitted(RateLimit(0), [0.0] * 100) == 100


async def test_both_lanes_share_the_bucket_and_say_what_is_left() -> None:
    client = Client(make_test_app(None, requests_per_minute=2))  # type: ignore[arg-type]
    token = make_test_token(Role.PLAYER, "p-1")
    first = await client.call("POST", "/v1/hot", {"text": "x"}, token=token)
    assert first.headers["ratelimit-policy"] == '"player";q=2;w=60'
    assert first.headers["ratelimit"] == '"player";r=1;t=30'
    second = await client.call("GET", "/v1/players/p-2", token=token)
    assert (second.status, second.headers["ratelimit"]) == (403, '"player";r=0;t=60')
    third = await client.call("POST", "/v1/hot", {"text": "x"}, token=token)
    assert (third.status, third.json()["code"]) == (429, "request.rate_limited")
    assert third.headers["retry-after"] == "30"
    assert third.headers["ratelimit"] == '"player";r=0;t=60'
