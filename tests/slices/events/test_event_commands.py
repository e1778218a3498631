"""`emberkeep events …`: what is printed, what is JSON, and the exit codes that scripts see."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from emberkeep import cli
from emberkeep.base.db import DatabaseUnavailable
from emberkeep.base.postgres import create_database
from emberkeep.base.postgres.database import DatabaseRefused
from emberkeep.events.commands import app
from emberkeep.events.model import (
    AppendInvalid,
    DuplicateEventUuid,
    ReadInvalid,
    StreamUnknown,
    WrongExpectedVersion,
)
from emberkeep.events.service.stores import StoreBehind, StoreUnknown
from emberkeep.migrate.model import DestructionForbidden
from emberkeep.migrate.service import roll_back
from tests.eventing import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from emberkeep.base.postgres import EmbeddedServer

ID = "018f2f6e-0000-7000-8000-000000000001"
PLACED = ("order-17", "--type", "Placed", "--data", '{"total": 12.50}')

runner = CliRunner()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment whose settings are the test's alone, on a terminal that is wide enough."""
    monkeypatch.setenv("COLUMNS", "200")
    return monkeypatch


@pytest.fixture
def store(environment: pytest.MonkeyPatch, database: str) -> str:
    """Where the commands find an empty store."""
    environment.setenv("EMBERKEEP_DATABASE_URL", database)
    return database


@pytest.fixture
def bare(environment: pytest.MonkeyPatch, empty_database: str) -> str:
    """Where the commands find a database without a store, and may drop what they make."""
    environment.setenv("EMBERKEEP_DATABASE_URL", empty_database)
    environment.setenv("EMBERKEEP_ALLOW_DESTRUCTIVE", "yes")
    return empty_database


def _run(*arguments: str, given: str | bytes | None = None) -> Result:
    return runner.invoke(app, arguments, input=given)


def _print(*arguments: str, given: str | bytes | None = None) -> str:
    """Return what a command prints that ends with 0."""
    result = _run(*arguments, given=given)
    assert result.exit_code == 0, result.output or result.exception
    return result.stdout


def _ask(*arguments: str, given: str | bytes | None = None) -> Any:
    """Return the document that a command prints with --json."""
    return json.loads(_print(*arguments, "--json", given=given))


# --- stores ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bare")
def test_a_store_is_made_once_and_says_how_it_stands() -> None:
    first = _ask("init")
    assert [a["version"] for a in first["applied"]] == list(range(1, len(first["applied"]) + 1))
    assert _ask("init")["applied"] == []
    assert _print("init") == "event_store: is there already, at the newest version\n"
    _print("append", *PLACED)
    status = _ask("status")
    assert status["is_current"] is True
    assert {version["state"] for version in status["versions"]} == {"clean"}
    figures = status["figures"]
    assert figures.pop("size_bytes") > 100_000
    assert figures == {"streams": 1, "events": 1, "horizon": 1, "last_event_id": 1}


@pytest.mark.usefixtures("bare")
def test_status_is_read_at_a_glance() -> None:
    _print("init")
    lines = [line.split() for line in _print("status").splitlines()]
    assert lines[0] == ["event_store"]
    assert [line[0] for line in lines[1:]] == [
        "version",
        "streams",
        "events",
        "last",
        "horizon",
        "size",
    ]


def test_a_horizon_that_waits_for_an_append_says_why(store: str) -> None:
    _print("append", *PLACED)
    with psycopg.connect(store) as conn:
        conn.execute("select event_store.hold_fence()")
        conn.execute("select nextval('event_store.events_event_id_seq')")
        assert "readers of $all wait for them" in " ".join(_print("status").split())
        figures = _ask("status")["figures"]
        assert (figures["horizon"], figures["last_event_id"]) == (1, 2)


@pytest.mark.usefixtures("bare")
def test_status_without_a_store_names_the_command_that_makes_one() -> None:
    result = _run("status", "--schema", "shop")
    assert result.exit_code == 1
    assert result.stdout == "shop: no store; `emberkeep events init --schema shop` makes one\n"
    document = json.loads(_run("status", "--json").stdout)
    assert (document["is_current"], document["figures"]) == (False, None)


def test_a_store_that_is_behind_is_refused_until_it_is_migrated(bare: str) -> None:
    _print("init")
    asyncio.run(roll_back(bare, now=NOW, module="event_store"))
    assert isinstance(_run("append", *PLACED).exception, StoreBehind)
    status = _run("status")
    assert status.exit_code == 1
    assert "1 versions are pending: emberkeep events migrate" in status.stderr
    assert len(_ask("migrate")["applied"]) == 1
    assert "is at the newest version" in _print("migrate")
    _print("append", *PLACED)


@pytest.mark.usefixtures("bare")
def test_stores_stand_side_by_side() -> None:
    for schema in ("event_store", "shop"):
        _print("init", "--schema", schema)
    _print("append", *PLACED, "--schema", "shop")
    assert len(_ask("read", "$all", "--schema", "shop")["items"]) == 1
    assert _ask("read", "$all")["items"] == []
    assert _print("drop", "--schema", "shop") == "shop: dropped\n"
    assert isinstance(_run("read", "$all", "--schema", "shop").exception, StoreUnknown)
    assert _ask("status")["figures"]["events"] == 0


@pytest.mark.usefixtures("bare")
def test_reset_leaves_an_empty_store() -> None:
    _print("init")
    _print("append", *PLACED)
    assert len(_ask("reset")["applied"]) > 0
    figures = _ask("status")["figures"]
    assert (figures["events"], figures["last_event_id"]) == (0, 0)


@pytest.mark.parametrize("command", ["reset", "drop"])
def test_nothing_is_destroyed_unless_the_configuration_allows_it(
    environment: pytest.MonkeyPatch, store: str, command: str
) -> None:
    _print("append", *PLACED)
    assert isinstance(_run(command).exception, DestructionForbidden)
    environment.setenv("EMBERKEEP_ALLOW_DESTRUCTIVE", "no")
    assert isinstance(_run(command).exception, DestructionForbidden)
    assert len(_ask("read", "$all")["items"]) == 1


@pytest.mark.parametrize("command", ["migrate", "reset", "drop"])
def test_a_schema_that_holds_no_store_is_left_alone(bare: str, command: str) -> None:
    with psycopg.connect(bare, autocommit=True) as conn:
        conn.execute("create schema garden; create table garden.beds (name text)")
        assert isinstance(_run(command, "--schema", "garden").exception, StoreUnknown)
        conn.execute("select from garden.beds")


@pytest.mark.parametrize(
    "schema",
    ["xp", "web", "public", "information_schema", "Shop", "a-b", "x" * 51, "", "1a", 'a"b'],
)
@pytest.mark.parametrize("command", ["init", "migrate", "status", "reset", "drop", "streams"])
def test_a_name_that_is_not_for_stores_is_refused(bare: str, command: str, schema: str) -> None:
    assert isinstance(_run(command, "--schema", schema).exception, ReadInvalid)
    with psycopg.connect(bare) as conn:
        found = conn.execute("select count(*) from pg_namespace where nspname = %s", (schema,))
        assert found.fetchone() == (int(schema in {"public", "information_schema"}),)


# --- the database ---------------------------------------------------------------------------------


@pytest.fixture
def missing(environment: pytest.MonkeyPatch, postgres_server: EmbeddedServer) -> Iterator[str]:
    """The connection string of a database that is not there; it is dropped afterwards."""
    name = "test_events_create"
    dsn = postgres_server.dsn_for(name)
    environment.setenv("EMBERKEEP_DATABASE_URL", dsn)
    yield dsn
    with psycopg.connect(postgres_server.dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))


@pytest.mark.usefixtures("missing")
def test_a_database_is_created_once() -> None:
    assert _ask("create") == {"database": "test_events_create", "created": True}
    assert _ask("create") == {"database": "test_events_create", "created": False}
    assert _print("create") == "test_events_create: is there already\n"
    _print("init")


def test_a_role_that_may_not_create_databases_is_told_so(
    missing: str, postgres_server: EmbeddedServer
) -> None:
    with psycopg.connect(postgres_server.dsn, autocommit=True) as conn:
        conn.execute("create role test_visitor login")
        try:
            with pytest.raises(DatabaseRefused):
                create_database(make_conninfo(missing, user="test_visitor"))
        finally:
            conn.execute("drop role test_visitor")


def test_a_server_that_is_away_is_said_to_be_away() -> None:
    with pytest.raises(DatabaseUnavailable):
        create_database("host=/nowhere dbname=x connect_timeout=1")


# --- append and read ------------------------------------------------------------------------------


@pytest.mark.usefixtures("store")
def test_an_append_says_where_the_event_stands() -> None:
    assert _print("append", *PLACED) == "order-17: appended: version 1, event 1\n"
    assert _ask("append", *PLACED, "--expected-version", "1") == {
        "stream_id": "order-17",
        "first_version": 2,
        "last_version": 2,
        "first_event_id": 2,
        "last_event_id": 2,
        "is_retry": False,
    }


@pytest.mark.usefixtures("store")
def test_an_event_is_read_as_it_was_given() -> None:
    _print("append", *PLACED, "--metadata", '{"actor": "me", "correlation_id": "c-1"}')
    (item,) = _ask("read", "order-17")["items"]
    assert item["data"] == {"total": 12.50}
    assert item["metadata"] == {"actor": "command-line", "correlation_id": "c-1"}
    shown = _print("read", "order-17").splitlines()
    assert shown[0].split() == ["version", "event", "type", "at", "(UTC)", "data"]
    assert shown[1].endswith('{"total": 12.50}')


@pytest.mark.usefixtures("store")
def test_an_event_with_an_id_is_appended_once() -> None:
    assert "appended" in _print("append", *PLACED, "--uuid", ID)
    assert _print("append", *PLACED, "--uuid", ID) == (
        "order-17: was there already: version 1, event 1\n"
    )
    elsewhere = _run("append", "order-18", *PLACED[1:], "--uuid", ID)
    assert isinstance(elsewhere.exception, DuplicateEventUuid)


@pytest.mark.usefixtures("store")
def test_data_come_from_a_file_or_from_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('{"from": "file"}')
    _print("append", "order-17", "--type", "A", "--data", f"@{path}")
    _print("append", "order-17", "--type", "A", "--data", "-", given='{"from": "stdin"}')
    items = _ask("read", "order-17")["items"]
    assert [item["data"]["from"] for item in items] == ["file", "stdin"]


@pytest.mark.usefixtures("store")
def test_a_file_of_events_is_appended_together(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [
        {"event_type": "A", "data": 1},
        {"event_type": "B", "data": [2], "event_version": 2, "event_uuid": ID},
        {"event_type": "C", "data": None, "metadata": {"x": 1}},
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)))
    said = _print("append", "order-17", "--file", str(path), "--expected-version", "no_stream")
    assert said == "order-17: appended: versions 1 to 3, events 1 to 3\n"
    items = _ask("read", "order-17")["items"]
    assert [(item["event_type"], item["data"]) for item in items] == [
        ("A", 1),
        ("B", [2]),
        ("C", None),
    ]


@pytest.mark.usefixtures("store")
def test_a_file_with_a_bad_line_appends_nothing_and_names_it() -> None:
    given = '{"event_type": "A", "data": 1}\n{"event_type": "B"}\n'
    result = _run("append", "order-17", "--file", "-", given=given)
    assert result.exit_code == 2
    assert "line 2: " in result.stderr
    assert _ask("streams")["items"] == []


@pytest.mark.usefixtures("store")
def test_what_the_store_refuses_is_refused() -> None:
    _print("append", *PLACED)
    wrong = _run("append", *PLACED, "--expected-version", "no_stream")
    assert isinstance(wrong.exception, WrongExpectedVersion)
    for stream in ("$all", "", "x" * 10_000):
        assert isinstance(_run("append", stream, *PLACED[1:]).exception, AppendInvalid)
    assert isinstance(_run("read", "nobody").exception, StreamUnknown)
    assert isinstance(_run("append", "order-17", "--file", "-", given="").exception, AppendInvalid)
    not_utf8 = b'{"event_type": "A", "data": "\xff"}'
    broken = _run("append", "order-17", "--file", "-", given=not_utf8)
    assert isinstance(broken.exception, AppendInvalid)
    assert _ask("status")["figures"]["events"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("append",),
        ("append", "order-17"),
        ("append", "order-17", "--type", "A"),
        ("append", "order-17", "--data", "1"),
        ("append", *PLACED, "--file", "-"),
        ("append", "order-17", "--type", "A", "--data", "{"),
        ("append", "order-17", "--type", "A", "--data", ""),
        ("append", "order-17", "--type", "A", "--data", "@/nowhere"),
        ("append", "order-17", "--type", "A", "--data", "1", "--metadata", "[]"),
        ("append", "order-17", "--type", "A", "--data", "-", "--metadata", "-"),
        ("append", "order-17", "--type", "A", "--data", '"\udcff"'),
        ("append", "order-\udcff", "--type", "A", "--data", "1"),
        ("append", "order-17", "--type", "\udcff", "--data", "1"),
        ("append", *PLACED, "--uuid", "7"),
        ("append", *PLACED, "--expected-version", "-1"),
        ("append", *PLACED, "--expected-version", str(2**63)),
        ("append", *PLACED, "--expected-version", "some"),
        ("append", "order-17", "--file", "/nowhere"),
        ("read",),
        ("read", "order-17", "--from", "-1"),
        ("read", "order-17", "--from", str(2**63)),
        ("read", "order-17", "--limit", "0"),
        ("read", "order-17", "--limit", "1001"),
        ("streams", "--sort-by", "name"),
        ("streams", "--search", "\udcff"),
        ("no-such-command",),
    ],
)
def test_misuse_exits_with_2(arguments: tuple[str, ...]) -> None:
    assert _run(*arguments).exit_code == 2


@pytest.mark.usefixtures("store")
def test_a_stream_is_read_in_pages_in_either_direction() -> None:
    for n in range(5):
        _print("append", "order-17", "--type", "A", "--data", str(n))
    for stream, direction, expected in (
        ("order-17", [], [0, 1, 2, 3, 4]),
        ("order-17", ["--backward"], [4, 3, 2, 1, 0]),
        ("$all", [], [0, 1, 2, 3, 4]),
        ("$all", ["--backward"], [4, 3, 2, 1, 0]),
    ):
        numbers: list[int] = []
        start: list[str] = []
        while True:
            page = _ask("read", stream, *direction, "--limit", "2", *start)
            numbers += [item["data"] for item in page["items"]]
            if page["next"] is None:
                break
            start = ["--from", str(page["next"])]
        assert numbers == expected


@pytest.mark.usefixtures("store")
def test_a_page_that_is_not_the_last_says_how_to_go_on() -> None:
    for n in range(3):
        _print("append", f"order-{n}", "--type", "A", "--data", "1")
    result = _run("read", "$all", "--limit", "2")
    assert result.stderr == "there are more: --from 2\n"
    assert "$all" not in result.stdout
    result = _run("streams", "--limit", "2")
    cursor = result.stderr.removeprefix("there are more: --after ").strip()
    assert [i["stream_id"] for i in _ask("streams", "--after", cursor)["items"]] == ["order-2"]


@pytest.mark.usefixtures("store")
def test_long_data_are_cut_short_on_the_screen_only() -> None:
    long = json.dumps("x" * 5_000)
    _print("append", "order-17", "--type", "A", "--data", long)
    assert "(--json shows all)" in " ".join(_print("read", "order-17").split())
    assert len(_ask("read", "order-17")["items"][0]["data"]) == 5_000


@pytest.mark.usefixtures("store")
def test_text_that_looks_like_markup_is_printed_as_it_is() -> None:
    _print("append", "[red]1[/red]", "--type", ":smile:", "--data", '"[bold]"')
    shown = _print("read", "[red]1[/red]")
    assert ":smile:" in shown
    assert '"[bold]"' in shown
    assert "[red]1[/red]" in _print("streams")


@pytest.mark.usefixtures("store")
def test_streams_are_searched_and_sorted() -> None:
    for name in ("order-1", "player-1", "order-2", "order-1"):
        _print("append", name, "--type", "A", "--data", "1")
    names = [i["stream_id"] for i in _ask("streams", "--search", "order")["items"]]
    assert names == ["order-1", "order-2"]
    sorted_ = _ask("streams", "--sort-by", "stream_version", "--descending")["items"]
    assert sorted_[0]["stream_id"] == "order-1"
    shown = _print("streams").splitlines()
    assert [line.split()[0] for line in shown] == ["stream", "order-1", "order-2", "player-1"]


@pytest.mark.usefixtures("store")
def test_nothing_is_said_to_be_nothing() -> None:
    assert _print("streams") == "no streams\n"
    assert _print("read", "$all") == "no events\n"


@pytest.mark.usefixtures("store")
def test_a_refusal_ends_with_1_and_is_json_where_that_is_asked_for(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setattr(
        sys, "argv", ["emberkeep", "events", "append", *PLACED, "--expected-version", "3", "--json"]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = json.loads(capsys.readouterr().err)
    assert (said["code"], said["expected"], said["actual"]) == (
        "events.wrong_expected_version",
        3,
        0,
    )
