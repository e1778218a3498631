"""`emberkeep xp simulate`: what it prints and writes, and that it leaves nothing when it is stopped."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from emberkeep.xp.commands import app
from emberkeep.xp.model import PolicyInvalid, PolicyUnknown, SimulationInvalid, StreakState
from emberkeep.xp.rules.activity import find_visits
from emberkeep.xp.rules.policy import parse_policy
from emberkeep.xp.rules.reward_day import find_reward_day_at_offset
from emberkeep.xp.rules.streak import advance
from tests.claiming import World, at, claim, make_policy, open_writer
from tests.slices.test_xp_commands import POLICY

if TYPE_CHECKING:
    from click.testing import Result

EXAMPLES = Path(__file__).parents[2] / "examples"
HOSTILE = "<script>alert(1)</script>"
LINES = [
    "player,occurred_at",
    *(f"{HOSTILE},2026-01-0{day}T12:00Z" for day in (1, 2, 3)),
    *(f"p,2026-01-0{day}T12:00Z" for day in (1, 3)),
]
# Two players, five days of 100 XP; the others pay 150 and 50.
FILES: dict[str, dict[str, Any]] = {
    "now.json": POLICY,
    "more.json": POLICY | {"base_xp_amount": 150},
    "less.json": POLICY | {"base_xp_amount": 50},
}

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three policies and a history, in the working directory."""
    for name, document in FILES.items():
        (tmp_path / name).write_text(json.dumps(document))
    (tmp_path / "activity.csv").write_text("\n".join(LINES))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def simulate(*arguments: str, policies: tuple[str, ...] = ("now.json", "more.json")) -> Result:
    named = [word for policy in policies for word in ("--policy", policy)]
    return runner.invoke(app, ["simulate", *named, *arguments])


def simulate_file(*arguments: str) -> Result:
    result = simulate("--activity", "activity.csv", *arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.usefixtures("folder")
def test_files_need_neither_database_nor_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    # Settings that cannot be read: whoever looked at them would refuse.
    monkeypatch.setenv("EMBERKEEP_NO_SUCH_SETTING", "1")
    found = json.loads(simulate_file("--json").stdout)
    assert [(v["name"], v["xp"], v["inflation_percent"]) for v in found["versions"]] == [
        ("now.json", 500, None),
        ("more.json", 750, "50.00"),
    ]
    shown = simulate_file().stdout
    assert "+50.00 %" in shown
    assert "2 players gain 250 XP" in shown


@pytest.mark.usefixtures("folder")
def test_days_are_counted_from_and_to_but_streaks_begin_earlier() -> None:
    result = simulate_file("--csv", "--from", "2026-01-02", "--to", "2026-01-02")
    rows = list(csv.reader(io.StringIO(result.stdout)))
    assert rows == [
        ["version", "day", "xp", "claims"],
        ["now.json", "2026-01-02", "100", "1"],
        ["more.json", "2026-01-02", "150", "1"],
    ]


def test_out_holds_every_figure_and_a_page_that_needs_nothing_else(folder: Path) -> None:
    result = simulate(
        *("--activity", "activity.csv", "--out", "out", "--html", "page.html"),
        policies=("now.json", "more.json", "less.json"),
    )
    assert result.exit_code == 0, result.output
    names = {path.name for path in (folder / "out").iterdir()}
    tables = {f"{name}.csv" for name in ("versions", "days", "streaks", "awards", "players")}
    assert names == tables | {"simulation.json", "report.html"}
    page = (folder / "page.html").read_text()
    assert page == (folder / "out" / "report.html").read_text()
    # Nothing is fetched, nothing is run, and what players call themselves is text.
    assert not re.search(r"https?:|src=|href=|@import|url\(|<script|<link|<iframe", page)
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("<svg") == 4
    figures = json.loads((folder / "out" / "simulation.json").read_text())
    players = list(csv.DictReader(io.StringIO((folder / "out" / "players.csv").read_text())))
    assert [(row["player"], row["change_xp"]) for row in players] == [
        (HOSTILE, "150"),
        ("p", "100"),
        (HOSTILE, "-150"),
        ("p", "-100"),
    ]
    assert figures["comparisons"][1]["xp_lost"] == 250


def test_a_history_without_a_claim_has_a_page_too(folder: Path) -> None:
    (folder / "activity.csv").write_text("player,occurred_at\n")
    simulate_file("--html", "page.html")
    assert "0 players" in (folder / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "policies"),
    [
        pytest.param(["--activity", "activity.csv"], (), id="nobody to compare"),
        pytest.param(["--activity", "activity.csv", "--json", "--csv"], ("now.json",), id="both"),
        pytest.param(["--activity", "-"], ("-",), id="standard input twice"),
        pytest.param(["--activity", "nowhere.csv"], ("now.json",), id="no such history"),
        pytest.param(["--activity", "activity.csv", "--out", "no/where"], ("now.json",), id="out"),
        pytest.param(["--activity", "activity.csv", "--from", "soon"], ("now.json",), id="no day"),
        pytest.param(["--version", "daily-login"], (), id="no number"),
        pytest.param(
            ["--activity", "activity.csv", "--sample-percent", "9"], ("now.json",), id="sample"
        ),
    ],
)
@pytest.mark.usefixtures("folder")
def test_misuse_is_told_before_anything_is_read(
    arguments: list[str], policies: tuple[str, ...]
) -> None:
    assert simulate(*arguments, policies=policies).exit_code == 2


def test_what_cannot_be_simulated_is_refused(folder: Path) -> None:
    backwards = ["--from", "2026-01-02", "--to", "2026-01-01"]
    result = simulate("--activity", "activity.csv", *backwards)
    assert isinstance(result.exception, SimulationInvalid)
    (folder / "more.json").write_text("{}")
    result = simulate("--activity", "activity.csv", "--out", "out")
    assert isinstance(result.exception, PolicyInvalid)
    assert not (folder / "out").exists()


def test_ctrl_c_leaves_nothing_behind(folder: Path) -> None:
    before = sorted(folder.iterdir())
    command = [sys.executable, "-c", "from emberkeep.cli import main; main()", "xp", "simulate"]
    history = ["--policy", "now.json", "--activity", "-", "--out", "out", "--html", "page.html"]
    with subprocess.Popen(
        [*command, *history],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that runs something in the background has it ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdin is not None
        # More than the pipe holds: when it is written, it is being read, and there could be more.
        process.stdin.write("\n".join([*LINES, *LINES[1:] * 1_000]).encode())
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode != 0
    assert sorted(folder.iterdir()) == before


@pytest.mark.usefixtures("folder")
def test_neither_does_an_end_while_files_are_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_path: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    before = sorted(folder.iterdir())
    monkeypatch.setattr(Path, "replace", interrupt)
    assert simulate("--activity", "activity.csv", "--out", "out").exit_code != 0
    assert simulate("--activity", "activity.csv", "--html", "page.html").exit_code != 0
    assert sorted(folder.iterdir()) == before


def test_the_examples_pay_what_the_engine_pays_visit_by_visit() -> None:
    policy, activity = EXAMPLES / "daily-login.json", EXAMPLES / "activity.csv.gz"
    result = runner.invoke(
        app, ["simulate", "--policy", str(policy), "--activity", str(activity), "--json"]
    )
    (figures,) = json.loads(result.stdout)["versions"]
    document = parse_policy(policy.read_bytes())
    states: dict[str, StreakState] = {}
    xp = 0
    with gzip.open(activity, "rt") as lines:
        for visit in find_visits(lines, document.claim_window, latest=at(3650)):
            assert isinstance(visit.clock, int)
            today = find_reward_day_at_offset(visit.at, visit.clock, document.claim_window).day
            state = states.get(visit.player_id, StreakState())
            if state.last_reward_day is not None and today <= state.last_reward_day:
                continue
            step = advance(document, state, day=today, at=visit.at, has_season_ended=False)
            states[visit.player_id] = step.state
            xp += step.xp_awarded
    assert (figures["xp"], figures["players"]) == (xp, len(states))


@pytest.mark.usefixtures("folder")
async def test_versions_and_claims_come_from_the_database(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", database)
    world = World(database)
    world.publish(make_policy(base_xp=80))
    world.publish(make_policy(base_xp=100), version=2)
    world.add_players("p")
    async with open_writer(database) as conn:
        for day in range(3):
            await claim(conn, "p", at(day))

    def run(*arguments: str) -> Result:
        return runner.invoke(app, ["simulate", *arguments])

    result = await asyncio.to_thread(
        run, "--version", "daily-login:1", "--policy", "more.json", "--json"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [(v["name"], v["xp"]) for v in found["versions"]] == [
        ("daily-login:2", 300),
        ("daily-login:1", 240),
        ("more.json", 450),
    ]
    result = await asyncio.to_thread(run, "--version", "daily-login:9")
    assert isinstance(result.exception, PolicyUnknown)


def test_the_service_starts_without_numpy() -> None:
    code = "import sys, emberkeep.cli; sys.exit({'numpy', 'jinja2'} & set(sys.modules) != set())"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
