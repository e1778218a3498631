"""`emberkeep events archive` and `expire`: what is printed, and the exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from typer.testing import CliRunner

from emberkeep.events.commands import app
from emberkeep.events.model import ErasureForbidden, ReadInvalid
from emberkeep.events.service.stores import StoreUnknown

if TYPE_CHECKING:
    from click.testing import Result

runner = CliRunner()


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, database: str) -> str:
    """Where the commands find a store with an event of each of two months."""
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", database)
    with psycopg.connect(database, autocommit=True) as conn:
        for at in ("2020-01-15T00:00Z", "2020-02-15T00:00Z"):
            conn.execute(
                "select event_store.append_to_stream("
                "'s', null, array['T'], array['{}'::jsonb], %s::timestamptz)",
                (at,),
            )
    return database


def _run(*arguments: str) -> Result:
    return runner.invoke(app, arguments)


def _ask(*arguments: str) -> Any:
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.output or result.exception
    return json.loads(result.stdout)


def test_old_events_are_archived_and_counted() -> None:
    result = _run("archive", "--before", "2020-02-01T00:00Z")
    assert result.exit_code == 0
    assert result.stdout == ("event_store: 1 events from before 2020-02-01 00:00:00 archived\n")
    assert _ask("archive", "--before", "30d")["archived"] == 1
    assert _ask("archive", "--before", "30d")["archived"] == 0


def test_months_expire_when_that_is_allowed_and_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    _ask("archive", "--before", "30d")
    refused = _run("expire", "--before", "30d", "--yes")
    assert isinstance(refused.exception, ErasureForbidden)
    monkeypatch.setenv("EMBERKEEP_ALLOW_ERASURE", "yes")
    assert _run("expire", "--before", "30d").exit_code == 2, "nobody said that it is meant"
    expired = _run("expire", "--before", "2020-02-01T00:00Z", "--yes")
    assert expired.exit_code == 0
    assert [line.split() for line in expired.stdout.splitlines()] == [
        ["month", "events"],
        ["2020-01", "1"],
    ]
    assert _ask("expire", "--before", "30d", "--yes")["expired"] == [
        {"month": "2020-02", "events": 1}
    ]
    nothing = _run("expire", "--before", "30d", "--yes")
    assert nothing.stdout.startswith("event_store: no month of the archive lies wholly before")


@pytest.mark.parametrize("before", ["", "soon", "0d", "2020-01-01", "-5d", "5"])
def test_an_age_or_an_instant_is_needed(before: str) -> None:
    assert _run("archive", "--before", before).exit_code == 2


def test_the_future_is_refused() -> None:
    refused = _run("archive", "--before", "2999-01-01T00:00Z")
    assert isinstance(refused.exception, ReadInvalid)


def test_a_store_that_is_not_there_is_named() -> None:
    refused = _run("archive", "--before", "30d", "--schema", "shop")
    assert isinstance(refused.exception, StoreUnknown)
