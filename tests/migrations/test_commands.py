"""`emberkeep migrate …`: what it prints and how it exits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from emberkeep.migrate import commands, gateway, service
from emberkeep.migrate.model import (
    DestructionForbidden,
    FileInvalid,
    LinterMissing,
    SetUnknown,
    VersionUnknown,
)

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg
    from click.testing import Result
    from conftest import WriteSet

HEAD = "-" * 79 + "\n-- Shop\n" + "-" * 79 + "\n\n"
TABLE = (
    HEAD + "create table ${schema}.item (id bigint primary key);\n"
    "comment on table ${schema}.item is 'An item.';\n"
)


@pytest.fixture(autouse=True)
def environment(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", empty_database)


def run(*words: str) -> Result:
    return CliRunner().invoke(commands.app, list(words))


def read_json(*words: str) -> dict[str, list[dict[str, object]]]:
    return json.loads(run(*words, "--json").stdout)


# These commands run an event loop of their own, so the tests have none.
def test_up_then_status_then_down():
    before = read_json("status")["versions"]
    assert {v["state"] for v in before} == {"pending"}
    applied = read_json("up")["applied"]
    assert len(applied) == len(before)
    assert read_json("up") == {"applied": []}
    assert "Nothing is pending." in run("up").stdout
    assert {v["state"] for v in read_json("status")["versions"]} == {"clean"}
    taken_back = read_json("down", "--to", "0")["taken_back"]
    assert [a["version"] for a in taken_back] == [a["version"] for a in applied[::-1]]
    assert "event_store" in run("plan").stdout
    assert len(read_json("plan")["files"]) == len(before)


def test_up_to_a_version_brings_what_it_requires():
    applied = [(a["set_name"], a["version"]) for a in read_json("up", "xp", "--to", "2")["applied"]]
    assert applied[0] == ("event_store", 1)
    assert {name for name, _ in applied[:-2]} == {"event_store"}
    assert applied[-2:] == [("xp", 1), ("xp", 2)]


def test_verify_exits_with_1_when_it_finds_something(conn: psycopg.Connection):
    run("up")
    assert run("verify").exit_code == 0
    conn.execute("alter table xp.xp_users add rogue int")
    result = run("verify")
    assert (result.exit_code, "+ column xp_users.rogue integer" in result.stdout) == (1, True)
    verified = json.loads(run("verify", "--json").stdout)
    assert verified["is_clean"] is False


def test_status_exits_with_1_when_up_would_be_refused(conn: psycopg.Connection):
    run("up")
    conn.execute("update xp.schema_migrations set checksum = 'other' where version = 1")
    result = run("status")
    assert (result.exit_code, "edited" in result.stdout) == (1, True)


def test_repair_says_what_it_did(conn: psycopg.Connection):
    run("up")
    conn.execute("update xp.schema_migrations set state = 'dirty' where version = 2")
    assert read_json("repair", "xp")["repairs"][-1]["cleared_versions"] == [2]
    assert run("repair").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("up", "nothing"),
        ("up", "--to", "1"),
        ("down",),
        ("down", "--to", "1"),
        ("down", "xp", "--to", "-1"),
        ("plan", "--to", "1"),
        ("new", "name"),
        ("sideways",),
    ],
)
def test_misuse_exits_with_2(words: tuple[str, ...]):
    assert run(*words).exit_code == 2


def test_a_version_that_is_not_there_is_refused():
    assert isinstance(run("up", "xp", "--to", "99").exception, VersionUnknown)


@pytest.mark.parametrize("command", ["reset", "drop"])
def test_destruction_needs_the_configuration(command: str, monkeypatch: pytest.MonkeyPatch):
    run("up")
    assert isinstance(run(command).exception, DestructionForbidden)
    monkeypatch.setenv("EMBERKEEP_ALLOW_DESTRUCTIVE", "true")
    result = run(command, "--json")
    assert (result.exit_code, list(json.loads(result.stdout))) == (
        0,
        ["applied" if command == "reset" else "dropped"],
    )


def test_new_makes_the_next_files(write_set: WriteSet):
    shop = write_set({"V001__table.sql": TABLE})
    up, down = service.create_files(module="shop", name="Add a  price-tag", sets=(shop,))
    assert (up.name, down.name) == (
        "V002__add_a_price_tag.sql",
        "V002__add_a_price_tag.down.sql",
    )
    assert up.read_text() == "-" * 79 + "\n-- Add a  price-tag\n" + "-" * 79 + "\n\n"
    with pytest.raises(FileInvalid):
        service.create_files(module="shop", name="é", sets=(shop,))
    with pytest.raises(FileInvalid, match="cannot be created"):
        gateway.write_scripts(shop, [gateway.Script(up.name, "")])
    with pytest.raises(SetUnknown):
        service.create_files(module="till", name="a", sets=(shop,))


async def test_lint_reads_with_squawk_and_our_own_eyes(write_set: WriteSet):
    shop = write_set(
        {"V001__table.sql": TABLE, "V001__table.down.sql": "drop table ${schema}.item;"}
    )
    assert await service.lint_files(sets=(shop,)) == ()
    write_set(
        {
            "V003__bad.sql": HEAD
            + "create table ${schema}.t (id serial);\nset role other;\n"
            + "create index t_idx on ${schema}.item (id);\n"
        }
    )
    found = {(w.line, w.rule) for w in await service.lint_files(sets=(shop,))}
    assert found == {
        (1, "gap"),
        (5, "table-comment"),
        (5, "prefer-identity"),
        (6, "session-state"),
        (7, "require-concurrent-index-creation"),
    }


async def test_a_missing_linter_is_told(
    write_set: WriteSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gateway.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LinterMissing, match="squawk-cli"):
        await service.lint_files(sets=(write_set({"V001__table.sql": TABLE}),))
