"""What probes, monitors and readers of the documentation are answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CONTENT_TYPE_LATEST

from tests.http.notes_app import Client, PartMissing, make_test_app

if TYPE_CHECKING:
    from emberkeep.base.db import Database


async def test_alive_and_ready(lone_client: Client) -> None:
    for path, status in [("/health/live", "live"), ("/health/ready", "ready")]:
        reply = await lone_client.call("GET", path)
        assert (reply.status, reply.json()) == (200, {"status": status})


async def test_not_ready_says_why_and_stays_alive() -> None:
    async def check_ready() -> None:
        raise PartMissing("a part is missing")

    client = Client(make_test_app(None, check_ready=check_ready))  # type: ignore[arg-type]
    reply = await client.call("GET", "/health/ready")
    assert (reply.status, reply.json()["code"]) == (503, "test.part_missing")
    assert (await client.call("GET", "/health/live")).status == 200


async def test_a_head_request_is_answered_like_a_get(lone_client: Client) -> None:
    assert (await lone_client.call("HEAD", "/health/live")).status == 200


async def test_requests_are_counted_by_route_and_status(
    lone_client: Client, player_token: str
) -> None:
    await lone_client.call("POST", "/v1/hot", {"text": "x"}, token=player_token)
    await lone_client.call("GET", "/v1/players/p-1", token=player_token)
    await lone_client.call("GET", "/v1/anything-at-all")
    await lone_client.call("BREW", "/v1/anything-at-all")
    text = (await lone_client.call("GET", "/metrics")).body.decode()
    counts = re.findall(r"emberkeep_http_request_seconds_count\{(.*)\} (.*)", text)
    assert sorted(counts) == [
        ('method="GET",route="/v1/players/{player_id}",status="200"', "1.0"),
        ('method="GET",route="unmatched",status="404"', "1.0"),
        ('method="POST",route="/v1/hot",status="201"', "1.0"),
        ('method="other",route="unmatched",status="404"', "1.0"),
    ]
    assert "emberkeep_http_requests_in_flight 1.0" in text
    assert "p-1" not in text


async def test_metrics_tell_how_the_slices_are_doing(lone_client: Client) -> None:
    text = (await lone_client.call("GET", "/metrics")).body.decode()
    assert 'test_notes{kind="all"} 3.0' in text
    assert text.count("# HELP test_notes Notes.") == 1


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/reference/errors", "text/html; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
        ("/metrics", CONTENT_TYPE_LATEST),
    ],
)
async def test_a_page_names_its_type_and_charset_once(
    lone_client: Client, path: str, content_type: str
) -> None:
    assert (await lone_client.call("GET", path)).headers["content-type"] == content_type


async def test_the_pages_load_nothing_from_elsewhere(lone_client: Client) -> None:
    root = await lone_client.call("GET", "/")
    assert (root.status, root.headers["location"]) == (307, "/docs")
    for path in ("/docs", "/docs/docs.js", "/docs/docs.css", "/docs/reference/errors"):
        reply = await lone_client.call("GET", path)
        assert reply.status == 200
        assert b"http://" not in reply.body
        assert b"https://" not in reply.body
        assert reply.headers["content-security-policy"].startswith("default-src 'none';")


async def test_the_error_page_has_an_anchor_for_every_code(lone_client: Client) -> None:
    page = (await lone_client.call("GET", "/docs/reference/errors")).body
    for kind in ("conflict", "unavailable", "bug"):
        problem = (await lone_client.call("GET", f"/v1/failures/{kind}")).json()
        path, _, anchor = problem["type"].partition("#")
        assert path == "/docs/reference/errors"
        assert f'id="{anchor}"'.encode() in page


async def _read_document(client: Client) -> dict[str, Any]:
    document: dict[str, Any] = (await client.call("GET", "/openapi.json")).json()
    return document


async def test_the_document_says_who_may_call_and_how_to_retry(lone_client: Client) -> None:
    document = await _read_document(lone_client)
    assert document["openapi"].startswith("3.1")
    write = document["paths"]["/v1/players/{player_id}/notes"]["post"]
    assert write["x-roles"] == ["admin", "operator", "service"]
    assert write["security"] == [{"token": []}]
    assert "Idempotency-Key" in [p["name"] for p in write["parameters"]]
    assert document["paths"]["/health/live"]["get"]["security"] == []


async def test_the_document_shows_a_hot_route_like_any_other(lone_client: Client) -> None:
    hot = (await _read_document(lone_client))["paths"]["/v1/hot"]["post"]
    body = hot["requestBody"]["content"]["application/json"]["schema"]
    answer = hot["responses"]["201"]["content"]["application/json"]["schema"]
    assert (body["$ref"][-4:], answer["$ref"][-4:]) == ("Note", "Echo")


async def test_both_lanes_answer_the_same(lone_client: Client, player_token: str) -> None:
    hot = await lone_client.call("POST", "/v1/hot", {"text": "x"}, token=player_token)
    routed = await lone_client.call("POST", "/v1/hot/", {"text": "x"}, token=player_token)
    assert (hot.status, hot.body) == (routed.status, routed.body)
    assert hot.headers.keys() == routed.headers.keys()


async def test_every_answer_carries_the_security_headers(
    client: Client, service_token: str, database: Database
) -> None:
    del database
    replies = [
        await client.call("GET", "/health/live"),
        await client.call("GET", "/v1/nothing"),
        await client.call("POST", "/v1/hot", {"text": "x"}),
        await client.call("POST", "/v1/players/p/notes", {"text": "x"}, token=service_token),
    ]
    for reply in replies:
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
