"""Every failure is a problem document, and none shows what is inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from emberkeep.base.errors import EmberkeepError, FieldError, Invalid
from emberkeep.base.etag import Stale, TagInvalid, format_etag, parse_if_match
from emberkeep.web import errors
from emberkeep.web.docs import list_error_types

if TYPE_CHECKING:
    from tests.http.notes_app import Client


async def test_a_refusal_carries_code_facts_and_request_id(lone_client: Client) -> None:
    reply = await lone_client.call(
        "GET", "/v1/failures/conflict", headers={"x-request-id": "abc-1"}
    )
    assert reply.status == 409
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["x-request-id"] == "abc-1"
    assert reply.json() == {
        "type": "/docs/reference/errors#test.window_shut",
        "title": "Window shut",
        "status": 409,
        "detail": "the window is shut",
        "code": "test.window_shut",
        "request_id": "abc-1",
        "opens_at": "2026-03-01T12:00:00Z",
    }


async def test_an_unavailable_part_says_when_to_come_back(lone_client: Client) -> None:
    reply = await lone_client.call("GET", "/v1/failures/unavailable")
    assert (reply.status, reply.headers["retry-after"]) == (503, "7")


@pytest.mark.parametrize("lane", ["router", "hot"])
async def test_a_bug_is_logged_once_and_shows_nothing(
    lone_client: Client, player_token: str, lane: str
) -> None:
    with capture_logs() as logs:
        if lane == "hot":
            reply = await lone_client.call("POST", "/v1/hot", {"text": "bug"}, token=player_token)
        else:
            reply = await lone_client.call("GET", "/v1/failures/bug")
    assert reply.status == 500
    assert reply.json()["code"] == "server.bug"
    assert b"secret" not in reply.body
    (logged,) = [line for line in logs if line["event"] == "bug"]
    assert str(logged["exc_info"]) == "a secret of the house"


async def test_an_unknown_path_is_a_problem_too(lone_client: Client) -> None:
    reply = await lone_client.call("GET", "/v1/nothing")
    assert (reply.status, reply.json()["code"]) == (404, "request.route_unknown")


async def test_a_wrong_method_says_which_ones_are_right(lone_client: Client) -> None:
    reply = await lone_client.call("DELETE", "/v1/players/p-1/notes")
    assert (reply.status, reply.json()["code"]) == (405, "request.method_refused")
    assert reply.headers["allow"] == "GET, POST"


async def test_the_access_line_names_the_route_and_never_the_player(
    lone_client: Client, player_token: str
) -> None:
    with capture_logs() as logs:
        await lone_client.call("GET", "/v1/players/p-77?a=1", token=player_token)
    (line,) = [line for line in logs if line["event"] == "request"]
    assert line["route"] == "/v1/players/{player_id}"
    assert (line["status"], line["role"], line["code"]) == (403, "player", "request.not_yourself")
    assert "p-77" not in str(logs)
    assert "p-1" not in str(logs)


@pytest.mark.parametrize("given", ["", "a" * 65, "no spaces", "line\nbreak", "umlaut-\xe4"])
async def test_a_request_id_of_another_form_is_replaced(lone_client: Client, given: str) -> None:
    reply = await lone_client.call("GET", "/health/live", headers={"x-request-id": given})
    assert reply.headers["x-request-id"] not in ("", given)


def test_every_kind_of_failure_has_a_status() -> None:
    cli_only = {"service.unsound"}
    for cls in list_error_types():
        if cls.code not in cli_only:
            assert errors.find_status(cls) >= 400, cls


def test_codes_are_never_shared() -> None:
    codes = [cls.code for cls in list_error_types()]
    assert len(codes) == len(set(codes))


def test_a_fact_that_json_does_not_know_does_not_hide_the_failure() -> None:
    problem = errors.describe(Stale("changed", who=object), "r")
    assert problem.status == 412
    assert b"<class 'object'>" in problem.body


def test_invalid_names_every_field() -> None:
    problem = errors.describe(Invalid("no", (FieldError("a.b", "is bad"),)), "r")
    assert b'"errors":[{"path":"a.b","message":"is bad"}]' in problem.body


def test_a_kind_without_a_status_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        errors.find_status(EmberkeepError)


def test_entity_tags_come_back_as_they_went_out() -> None:
    assert parse_if_match(format_etag(7)) == 7
    assert parse_if_match("*") is None
    assert parse_if_match(None) is None


@pytest.mark.parametrize("header", ["7", 'W/"7"', '"seven"', '"1", "2"', '""'])
def test_other_entity_tags_are_refused(header: str) -> None:
    with pytest.raises(TagInvalid):
        parse_if_match(header)
