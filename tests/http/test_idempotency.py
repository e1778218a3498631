"""A call with a key happens once, whatever happens to its answers."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from emberkeep.base.identity import Role
from emberkeep.web import idempotency
from tests.http.notes_app import NOW, make_test_token

if TYPE_CHECKING:
    from emberkeep.base.db import Database
    from tests.http.notes_app import Client, Reply

PATH = "/v1/players/p-1/notes"


async def _post(
    client: Client, token: str, text: str, *, key: str = "k-1", path: str = PATH
) -> Reply:
    headers = {"idempotency-key": key}
    return await client.call("POST", path, {"text": text}, token=token, headers=headers)


async def test_a_repeat_is_answered_the_same_and_writes_nothing(
    client: Client, service_token: str, notes: Any
) -> None:
    first = await _post(client, service_token, "one")
    again = await _post(client, service_token, "one")
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert notes() == [("p-1", "one")]


async def test_twenty_at_once_have_one_effect(
    client: Client, service_token: str, notes: Any
) -> None:
    replies = await asyncio.gather(*(_post(client, service_token, "slow") for _ in range(20)))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.body for reply in replies}) == 1
    assert sum("idempotency-replayed" in reply.headers for reply in replies) == 19
    assert notes() == [("p-1", "slow")]


@pytest.mark.parametrize(
    ("text", "path"),
    [("two", PATH), ("one", "/v1/players/p-2/notes"), ("one", PATH + "?a=1")],
    ids=["another body", "another path", "another query"],
)
async def test_a_key_stands_for_one_request(
    client: Client, service_token: str, notes: Any, text: str, path: str
) -> None:
    await _post(client, service_token, "one")
    reply = await _post(client, service_token, text, path=path)
    assert (reply.status, reply.json()["code"]) == (422, "request.idempotency_key_reused")
    assert notes() == [("p-1", "one")]


async def test_a_failure_leaves_no_key_and_no_effect(
    client: Client, service_token: str, notes: Any
) -> None:
    refused = await _post(client, service_token, "refuse")
    assert (refused.status, refused.json()["code"]) == (409, "test.window_shut")
    assert notes() == []
    other = await _post(client, service_token, "one")
    assert other.status == 201
    assert "idempotency-replayed" not in other.headers


async def test_a_waiting_repeat_takes_the_place_of_one_that_failed(
    client: Client, service_token: str, notes: Any
) -> None:
    replies = await asyncio.gather(*(_post(client, service_token, "refuse") for _ in range(5)))
    assert {reply.status for reply in replies} == {409}
    assert notes() == []


async def test_two_callers_may_choose_the_same_key(client: Client, notes: Any) -> None:
    for subject in ("one", "two"):
        token = make_test_token(Role.SERVICE, subject)
        reply = await _post(client, token, subject)
        assert "idempotency-replayed" not in reply.headers
    assert len(notes()) == 2


async def test_without_a_key_every_call_counts(
    client: Client, service_token: str, notes: Any
) -> None:
    for _ in range(2):
        await client.call("POST", PATH, {"text": "one"}, token=service_token)
    assert len(notes()) == 2


@pytest.mark.parametrize("key", ["", "a" * 256, "a b", "\xe4", "a\tb"])
async def test_a_key_of_another_form_is_refused(
    client: Client, service_token: str, notes: Any, key: str
) -> None:
    reply = await _post(client, service_token, "one", key=key)
    assert (reply.status, reply.json()["code"]) == (422, "request.idempotency_key_invalid")
    assert notes() == []


@pytest.mark.parametrize("key", ["a" * 255, "!", "~", '"quoted"'])
async def test_the_edges_of_the_form_pass(client: Client, service_token: str, key: str) -> None:
    assert (await _post(client, service_token, "one", key=key)).status == 201


async def test_a_key_is_forgotten_after_a_day(
    client: Client, service_token: str, database: Database, notes: Any
) -> None:
    await _post(client, service_token, "one")
    edge = NOW + idempotency.KEEP
    async with database.connection() as conn:
        assert await idempotency.sweep_keys(conn, now=edge) == 0
        assert await idempotency.sweep_keys(conn, now=edge + datetime.timedelta(seconds=1)) == 1
    await _post(client, service_token, "one")
    assert len(notes()) == 2


async def test_a_lost_connection_answers_503_and_writes_nothing(
    client: Client, service_token: str, empty_database: str, notes: Any
) -> None:
    calling = asyncio.create_task(_post(client, service_token, "slow"))
    with psycopg.connect(empty_database, autocommit=True) as conn:
        killed = 0
        while not killed:
            await asyncio.sleep(0.01)
            killed = conn.execute(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where datname = current_database() and state = 'idle in transaction'"
            ).fetchone()[0]  # type: ignore[index]
    reply = await calling
    assert reply.status == 503
    assert reply.headers["retry-after"] == "1"
    assert notes() == []
