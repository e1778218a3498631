"""`emberkeep xp ledger`, `leaderboard`, `archive` and `export-daily`: output and exit codes."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from emberkeep.xp.commands import app
from emberkeep.xp.model import AlreadyReversed, ArchiveDamaged, ArchiveInvalid, SpanInvalid
from tests.claiming import World
from tests.slices.test_archive import fill

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

runner = CliRunner()
SPAN = ("export-daily", "--from", "2026-03-01", "--to", "2026-04-30")


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch, database: str) -> World:
    """Where the commands find players with a short history."""
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", database)
    world = World(database)
    asyncio.run(fill(world, seed=3, days=12, players=2))
    return world


def _run(*arguments: str) -> Result:
    return runner.invoke(app, arguments)


def _ask(*arguments: str) -> Any:
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.output or result.exception
    return json.loads(result.stdout)


def test_a_grant_is_listed_and_taken_back_once() -> None:
    granted = _ask("ledger", "grant", "idle", "40", "--reason", "QUEST", "--metadata", '{"a": 1}')
    row = str(granted["entry"]["ledger_id"])
    assert granted["entry"]["policy_key"] == "daily-login"
    assert _run("ledger", "reverse", "idle", row).exit_code == 2, "nobody said that it is meant"
    assert "-40 XP" in _run("ledger", "reverse", "idle", row, "--yes", "--reason", "why").stdout
    again = _run("ledger", "reverse", "idle", row, "--yes")
    assert isinstance(again.exception, AlreadyReversed)
    items = _ask("ledger", "list", "idle")["items"]
    assert [(item["amount"], item["balance_after"]) for item in items] == [(-40, 0), (40, 40)]
    assert "REVERSAL" in _run("ledger", "list", "idle", "--limit", "1").stdout
    assert _run("ledger", "grant", "idle", "1", "--reason", "A", "--metadata", "[]").exit_code == 2


def test_a_leaderboard_is_printed_whole_or_around_a_player() -> None:
    board = _ask("leaderboard", "lifetime", "--limit", "1")
    best = board["items"][0]["player_id"]
    assert board["items"][0]["rank"] == 1
    assert _ask("leaderboard", "lifetime", "--around", "granted")["items"][-1]["score"] == 9
    assert best in _run("leaderboard", "lifetime").stdout
    assert _run("leaderboard", "lifetime", "--around", "p0", "--after", "x").exit_code == 2


def test_an_archive_is_tried_made_and_looked_at_again(tmp_path: Path) -> None:
    arguments = ("archive", "--before", "2026-03-08", "--out", str(tmp_path))
    tried = _ask(*arguments, "--dry-run")
    assert list(tmp_path.iterdir()) == []
    assert _run(*arguments).exit_code == 2, "nobody said that it is meant"
    done = _ask(*arguments, "--yes", "--reason", "a test")
    assert done["ledger_rows"] == tried["ledger_rows"] > 0
    assert "nothing is older" in _run(*arguments, "--yes").stdout
    folder = done["location"]
    assert _ask("archive", "verify", folder)["award_rows"] == done["award_rows"]
    assert "as written on" in _run("archive", "verify", folder).stdout
    assert isinstance(_run("archive", "verify", str(tmp_path)).exception, ArchiveDamaged)
    assert isinstance(
        _run("archive", "--before", "1d", "--out", str(tmp_path), "--yes").exception, ArchiveInvalid
    )
    for wrong in (("archive",), ("archive", "look", folder), ("archive", "--before", "soon")):
        assert _run(*wrong).exit_code == 2
    months = _ask("archive", "--before", "2months", "--dry-run")
    assert months["archived_before"].endswith("-01T00:00:00Z")


def test_daily_totals_are_the_same_in_every_format(tmp_path: Path) -> None:
    totals = json.loads(_run(*SPAN, "--format", "json").stdout)
    assert totals["reconciled"] is True
    rows = list(csv.DictReader(io.StringIO(_run(*SPAN).stdout)))
    assert [int(row["net"]) for row in rows] == [item["net"] for item in totals["items"]]
    out = tmp_path / "daily.parquet"
    assert _run(*SPAN, "--format", "parquet", "--out", str(out)).exit_code == 0
    table = pq.read_table(out).to_pylist()
    assert [row["net"] for row in table] == [item["net"] for item in totals["items"]]
    assert [row["day"].isoformat() for row in table] == [item["day"] for item in totals["items"]]
    assert _run(*SPAN, "--format", "parquet").exit_code == 2
    assert isinstance(
        _run("export-daily", "--from", "2026-04-30", "--to", "2026-03-01").exception, SpanInvalid
    )


def test_totals_stay_reconciled_behind_an_archive_and_say_what_they_lack(tmp_path: Path) -> None:
    _ask("archive", "--before", "2026-03-08", "--out", str(tmp_path), "--yes")
    result = _run(*SPAN)
    assert result.exit_code == 0
    assert "rows from before 2026-03-08 were archived" in result.stderr


def test_totals_that_do_not_agree_end_with_1(world: World) -> None:
    with psycopg.connect(world.dsn) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update xp.xp_balance set current_balance = current_balance + 1")
    result = _run(*SPAN)
    assert result.exit_code == 1
    assert "NOT reconciled" in result.stderr
    assert result.stdout.startswith("day,")
