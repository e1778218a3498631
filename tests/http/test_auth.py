"""Only a token of ours lets anybody in, and only as far as its role goes."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import get, post

from emberkeep.base.config import Secret
from emberkeep.base.identity import (
    PERMISSIONS,
    NotYourself,
    Permission,
    PlayerRequired,
    Principal,
    Role,
    RoleRefused,
    acting_player,
    require,
)
from emberkeep.web.app import RouteUnsafe
from emberkeep.web.auth import Authenticator, Keys, make_token, read_token
from emberkeep.web.errors import TokenRejected, Unauthenticated
from tests.http.notes_app import KEYS, NOW, make_test_app, make_test_token

if TYPE_CHECKING:
    from tests.http.notes_app import Client

HOUR = datetime.timedelta(hours=1)
SECOND = datetime.timedelta(seconds=1)
PLAYER = Principal("p-1", Role.PLAYER)
SECRET = b"the key of these tests, and of nothing else"


def _encode(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _forge(header: dict[str, Any], key: bytes = SECRET, **changes: Any) -> str:
    at = int(NOW.timestamp())
    claims = {
        "iss": "emberkeep",
        "sub": "p-1",
        "role": "admin",
        "iat": at,
        "exp": at + 60,
        "jti": "x",
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    signed = f"{_encode(header)}.{_encode(claims)}"
    digest = "sha512" if header.get("alg") == "HS512" else "sha256"
    signature = hmac.new(key, signed.encode(), getattr(hashlib, digest)).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_a_token_stands_for_whom_it_was_made() -> None:
    token = make_token(KEYS, PLAYER, token_id="t", ttl=HOUR, now=NOW)
    principal, _ = read_token(KEYS, token, now=NOW)
    assert principal == PLAYER


HS256 = {"alg": "HS256", "typ": "JWT"}


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(_forge(HS256, key=b"another key that is long enough, too"), id="wrong key"),
        pytest.param(_forge({"alg": "HS512"}), id="another algorithm"),
        pytest.param(_forge({"alg": "none"}), id="no algorithm"),
        pytest.param(_forge({"alg": "none"}).rpartition(".")[0] + ".", id="no signature"),
        pytest.param(_forge({}), id="no header"),
        pytest.param(_forge(HS256, iss="somebody"), id="another issuer"),
        pytest.param(_forge(HS256, role="emperor"), id="another role"),
        pytest.param(_forge(HS256, role=None), id="no role"),
        pytest.param(_forge(HS256, sub=None), id="no subject"),
        pytest.param(_forge(HS256, sub=""), id="empty subject"),
        pytest.param(_forge(HS256, exp=None), id="never ends"),
        pytest.param(_forge(HS256, exp="soon"), id="ends as text"),
        pytest.param(_forge(HS256, exp=253_402_300_800), id="ends after the calendar"),
        pytest.param(_forge(HS256, exp=10**30), id="ends beyond any number"),
        pytest.param(_forge(HS256, sub="p\0"), id="NUL in the subject"),
        pytest.param(_forge(HS256, sub="p\ud800"), id="half a pair in the subject"),
        pytest.param(_forge(HS256, jti=None), id="no id"),
        pytest.param(_forge(HS256, iat=int(NOW.timestamp()) + 31), id="from the future"),
        pytest.param("", id="empty"),
        pytest.param("a.b.c", id="not a token"),
        pytest.param("x" * 10_000, id="long"),
        pytest.param(_encode({"alg": "HS256"}) + "." + "[" * 3000, id="deep"),
        pytest.param(base64.b64encode(b"[" * 2900).decode() + ".e30.e30", id="deep header"),
    ],
)
async def test_anything_else_is_refused(lone_client: Client, token: str) -> None:
    reply = await lone_client.call("POST", "/v1/hot", {"text": "x"}, token=token)
    assert (reply.status, reply.json()["code"]) == (401, "request.token_rejected")
    assert 'error="invalid_token"' in reply.headers["www-authenticate"]


@given(st.text(max_size=300))
def test_no_text_is_a_token_or_breaks_the_reader(text: str) -> None:
    with pytest.raises((TokenRejected, Unauthenticated)):
        Authenticator(KEYS).authenticate(b"Bearer " + text.encode("utf-8", "replace"), now=NOW)


@pytest.mark.parametrize("header", [None, "Basic dXNlcg==", "token"])
async def test_without_a_token_the_answer_says_how(lone_client: Client, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    for method, path in [("POST", "/v1/hot"), ("GET", "/v1/players/p-1/notes")]:
        reply = await lone_client.call(method, path, headers=headers)
        assert (reply.status, reply.json()["code"]) == (401, "request.unauthenticated")
        assert reply.headers["www-authenticate"] == 'Bearer realm="emberkeep"'


@pytest.mark.parametrize(
    ("after", "holds"),
    [(HOUR, True), (HOUR + 29 * SECOND, True), (HOUR + 30 * SECOND, False), (2 * HOUR, False)],
)
def test_a_token_ends_half_a_minute_after_it_says(after: datetime.timedelta, holds: bool) -> None:
    authenticator = Authenticator(KEYS)
    header = b"Bearer " + make_token(KEYS, PLAYER, token_id="t", ttl=HOUR, now=NOW).encode()
    # Once fresh, so that the second look is at what was remembered.
    authenticator.authenticate(header, now=NOW)
    for known in (authenticator, Authenticator(KEYS)):
        if holds:
            assert known.authenticate(header, now=NOW + after) == PLAYER
        else:
            with pytest.raises(TokenRejected):
                known.authenticate(header, now=NOW + after)


def test_the_previous_key_is_still_read_and_signs_nothing() -> None:
    old, new = Secret("o" * 32), Secret("n" * 32)
    token = make_token(Keys(old), PLAYER, token_id="t", ttl=HOUR, now=NOW)
    rotated = Keys(new, old)
    assert read_token(rotated, token, now=NOW)[0] == PLAYER
    fresh = make_token(rotated, PLAYER, token_id="t", ttl=HOUR, now=NOW)
    with pytest.raises(TokenRejected):
        read_token(Keys(old), fresh, now=NOW)


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.PLAYER, 403), (Role.SERVICE, 201), (Role.OPERATOR, 201), (Role.ADMIN, 201)],
)
async def test_a_role_goes_as_far_as_the_table_says(
    client: Client, role: Role, status: int
) -> None:
    token = make_test_token(role, "p-1")
    reply = await client.call("POST", "/v1/players/p-1/notes", {"text": "x"}, token=token)
    assert reply.status == status


def test_an_admin_may_do_everything_and_a_player_least() -> None:
    assert PERMISSIONS[Role.ADMIN] == set(Permission)
    assert PERMISSIONS[Role.PLAYER] < PERMISSIONS[Role.SERVICE]
    with pytest.raises(RoleRefused):
        require(PLAYER, Permission.GRANT_XP)


def test_a_player_acts_on_itself_only() -> None:
    assert acting_player(PLAYER, None) == "p-1"
    assert acting_player(PLAYER, "p-1") == "p-1"
    with pytest.raises(NotYourself):
        acting_player(PLAYER, "p-2")


@pytest.mark.parametrize("role", [Role.SERVICE, Role.OPERATOR, Role.ADMIN])
def test_anybody_else_must_say_for_whom(role: Role) -> None:
    assert acting_player(Principal("x", role), "p-2") == "p-2"
    with pytest.raises(PlayerRequired):
        acting_player(Principal("x", role), None)


def test_a_route_without_a_permission_stops_the_start() -> None:
    @get("/v1/open")
    async def left_open() -> None: ...

    with pytest.raises(RouteUnsafe, match="/v1/open declares no permission"):
        make_test_app(None, routes=[left_open])  # type: ignore[arg-type]


def test_an_idempotent_route_outside_a_transaction_stops_the_start() -> None:
    @post("/v1/twice", opt={"permission": Permission.GRANT_XP, "idempotent": True})
    async def twice() -> None: ...

    with pytest.raises(RouteUnsafe, match="/v1/twice is idempotent"):
        make_test_app(None, routes=[twice])  # type: ignore[arg-type]
