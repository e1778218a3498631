"""Bad input is told what is wrong with it, and never breaks anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.http.notes_app import Client

DEEP = b'{"text": "x", "extra": {"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}"
BIG = b'{"text": "' + b"x" * 10_000_000 + b'"}'

CASES = [
    pytest.param(b"", 422, None, id="nothing"),
    pytest.param(b"{", 400, None, id="half of it"),
    pytest.param(b"[1, 2", 400, None, id="half of a list"),
    pytest.param(b"[]", 422, "", id="a list"),
    pytest.param(b"null", 422, "", id="null"),
    pytest.param(b'{"text": "x"} {}', 400, None, id="two documents"),
    pytest.param(b'{"text": "x", "amount": NaN}', 400, None, id="NaN"),
    pytest.param(b'{"text": "x", "amount": Infinity}', 400, None, id="infinity"),
    pytest.param(b'{"text": "x", "extra": {"a": NaN}}', 400, None, id="NaN inside"),
    pytest.param(DEEP, 400, None, id="depth 10,000"),
    pytest.param(b"[" * 500_000, 400, None, id="depth without end"),
    pytest.param(BIG, 413, None, id="10 MB"),
    pytest.param(b'{"text": "\xff"}', 400, None, id="not UTF-8"),
    pytest.param(b'{"text": "\xed\xa0\x80"}', 400, None, id="a raw surrogate"),
    pytest.param(b'{"text": "a\x00b"}', 400, None, id="a raw NUL"),
    pytest.param(b'{"text": "a\\u0000b"}', 422, "text", id="NUL"),
    pytest.param(b'{"text": "x", "tags": ["a", "\\u0000"]}', 422, "tags[1]", id="NUL in a list"),
    pytest.param(b'{"text": "x", "extra": {"\\u0000": 1}}', 422, "extra", id="NUL in a name"),
    pytest.param(b'{"text": "\\ud800"}', 422, "text", id="half a pair"),
    pytest.param(b'{"text": "\\udc00x"}', 422, "text", id="the other half"),
    pytest.param(b'{"text": "x", "amount": 9007199254740993}', 422, "amount", id="2^53+1"),
    pytest.param(b'{"text": "x", "amount": -9007199254740993}', 422, "amount", id="-2^53-1"),
    pytest.param(b'{"text": "x", "extra": {"a": 1%s}}' % (b"0" * 400), 422, "extra.a", id="10^400"),
    pytest.param(b'{"text": "x", "extra": {"a": 1%s}}' % (b"0" * 9000), 422, None, id="10^9000"),
    pytest.param(b'{"text": "x", "amount": "5"}', 422, "amount", id="a number as text"),
    pytest.param(b'{"text": "x", "amount": 5.5}', 422, "amount", id="a fraction"),
    pytest.param(b'{"text": "x", "amount": true}', 422, "amount", id="a truth"),
    pytest.param(b'{"text": 5}', 422, "text", id="text as a number"),
    pytest.param(b'{"text": "x", "other": 1}', 422, "other", id="an unknown field"),
    pytest.param(b'{"amount": 5}', 422, "text", id="a missing field"),
]


@pytest.mark.parametrize(("body", "status", "path"), CASES)
@pytest.mark.parametrize("lane", ["/v1/hot", "/v1/hot/"])
async def test_a_bad_body_is_refused_with_its_path(
    lone_client: Client, service_token: str, lane: str, body: bytes, status: int, path: str | None
) -> None:
    reply = await lone_client.call("POST", lane, body, token=service_token)
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    if path is not None:
        assert [error["path"] for error in reply.json()["errors"]] == [path]


@pytest.mark.parametrize(
    "text",
    ["\\ud83d\\ude00", "[[[[" * 200, "9" * 40, "\\\\u0000", '\\"[[[['],
    ids=["a whole pair", "brackets in text", "digits in text", "an escaped backslash", "a quote"],
)
async def test_what_only_looks_bad_passes(
    lone_client: Client, player_token: str, text: str
) -> None:
    body = f'{{"text": "{text}"}}'.encode()
    reply = await lone_client.call("POST", "/v1/hot", body, token=player_token)
    assert reply.status == 201, reply.body
    assert reply.json()["text"] == json.loads(body)["text"]


async def test_the_largest_exact_number_passes(lone_client: Client, player_token: str) -> None:
    body = {"text": "x", "amount": 2**53}
    reply = await lone_client.call("POST", "/v1/hot", body, token=player_token)
    assert reply.status == 201


async def test_no_body_at_all_is_said_to_be_missing(client: Client, service_token: str) -> None:
    reply = await client.call("POST", "/v1/players/p-1/notes", b"", token=service_token)
    assert (reply.status, reply.json()["code"]) == (422, "request.invalid")
    assert reply.json()["errors"] == [{"path": "", "message": "a JSON body is required"}]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "x"])
@pytest.mark.parametrize("lane", ["/v1/hot", "/v1/hot/"])
async def test_a_body_of_another_type_is_refused(
    lone_client: Client, player_token: str, media_type: str, lane: str
) -> None:
    headers = {"content-type": media_type}
    reply = await lone_client.call("POST", lane, {"text": "x"}, token=player_token, headers=headers)
    assert (reply.status, reply.json()["code"]) == (415, "request.media_type_refused")


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"]
)
async def test_other_spellings_of_json_pass(
    lone_client: Client, player_token: str, media_type: str
) -> None:
    headers = {"content-type": media_type}
    reply = await lone_client.call(
        "POST", "/v1/hot", {"text": "x"}, token=player_token, headers=headers
    )
    assert reply.status == 201


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/players/p-1/notes?limit=many", "limit"),
        ("/v1/players/p-1/notes?limit=%00", "query"),
        ("/v1/players/p-%00/notes", "path"),
        ("/v1/players/p-%ff/notes", "path"),
        ("/v1/players/p-%ED%A0%80/notes", "path"),
        ("/v1/players/p-1/notes?limit=1&tag=%ff", "query"),
    ],
)
async def test_bad_parameters_are_refused_with_their_name(
    client: Client, service_token: str, target: str, path: str
) -> None:
    reply = await client.call("GET", target, token=service_token)
    assert reply.status == 422
    assert [error["path"] for error in reply.json()["errors"]] == [path]


@pytest.mark.parametrize("target", ["/v1/players//notes", "//v1/players/p-1/notes"])
async def test_an_id_that_is_not_there_is_not_taken_from_what_follows(
    client: Client, service_token: str, target: str
) -> None:
    reply = await client.call("GET", target, token=service_token)
    assert (reply.status, reply.json()["code"]) == (404, "request.route_unknown")


async def test_the_sign_for_what_is_no_text_is_text(client: Client, service_token: str) -> None:
    target = "/v1/players/p-%EF%BF%BD/notes"
    assert (await client.call("GET", target, token=service_token)).status == 200


async def test_nothing_is_written_when_the_body_is_bad(
    client: Client, service_token: str, notes: object
) -> None:
    body = b'{"text": "a\\u0000b"}'
    await client.call("POST", "/v1/players/p-1/notes", body, token=service_token)
    assert notes() == []  # type: ignore[operator]
