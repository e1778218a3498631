"""What a person at the command line sees, and the exit code a script sees."""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emberkeep import cli
from emberkeep.base import clock
from emberkeep.base.config import Secret, Settings
from emberkeep.base.identity import Principal, Role
from emberkeep.base.place import Place
from emberkeep.web.auth import Keys, read_token

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "a key that is long enough for these tests"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment with a key, and nothing else of ours; restored whatever a command sets."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("EMBERKEEP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EMBERKEEP_SECRET_KEY", KEY)
    # Logging is set up once a process and keeps the stream it found, here one that pytest closes.
    monkeypatch.setattr("emberkeep.base.log.configure", lambda **_: None)
    yield
    os.environ.clear()
    os.environ.update(before)


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["emberkeep", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_token_goes_plain_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "token", "--role", "player", "--player", "p-1", "--ttl", "2h") == 0
    token = capsys.readouterr().out.strip()
    principal, expires_at = read_token(Keys(Secret(KEY)), token, now=clock.read_now())
    assert principal == Principal("p-1", Role.PLAYER)
    assert expires_at - clock.read_now() > datetime.timedelta(hours=1, minutes=59)


@pytest.mark.parametrize(
    "arguments",
    [
        ("token",),
        ("token", "--role", "player"),
        ("token", "--role", "operator", "--player", "p-1"),
        ("token", "--role", "emperor"),
        ("token", "--role", "player", "--player", "p-1", "--name", "dana"),
        ("token", "--role", "operator", "--name", ""),
        ("token", "--role", "operator", "--name", "dana smith"),
        ("token", "--role", "operator", "--name", "d" * 65),
        ("token", "--role", "operator", "--ttl", "5"),
        ("token", "--role", "operator", "--ttl", "0s"),
        ("token", "--role", "operator", "--ttl", "367d"),
        ("no-such-command",),
        ("serve", "--port", "0"),
    ],
)
def test_misuse_ends_with_2(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    assert _run(monkeypatch, *arguments) == 2


@pytest.mark.parametrize(("said", "subject"), [(("--name", "d.n-_@4"), "d.n-_@4"), ((), "admin")])
def test_a_token_that_is_no_player_s_is_somebody_s_by_name(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: tuple[str, ...],
    subject: str,
) -> None:
    assert _run(monkeypatch, "token", "--role", "admin", *said) == 0
    token = capsys.readouterr().out.strip()
    principal, _ = read_token(Keys(Secret(KEY)), token, now=clock.read_now())
    assert principal == Principal(subject, Role.ADMIN)


@pytest.mark.parametrize("is_default", [True, False])
def test_the_banner_says_how_other_commands_find_the_same_data(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    *,
    is_default: bool,
) -> None:
    monkeypatch.setattr("emberkeep.cli.default_data_dir", lambda: tmp_path / "usual")
    data_dir = tmp_path / ("usual" if is_default else "my data")
    place = Place(dsn="", owner_dsn="", embedded_version="17.0", data_dir=data_dir)
    cli._greet(Settings(), place, None, as_json=False)
    said = capsys.readouterr().out
    assert (f"EMBERKEEP_DATA_DIR='{data_dir}' emberkeep" in said) is not is_default


def test_a_refusal_names_everything_at_once_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMBERKEEP_PROT", "1")
    monkeypatch.setenv("EMBERKEEP_PORT", "many")
    assert _run(monkeypatch, "token", "--role", "operator") == 1
    assert capsys.readouterr().err.splitlines() == [
        "settings.invalid: the environment has settings that cannot be used",
        "  EMBERKEEP_PORT: is not a whole number from 1 to 65535",
        "  EMBERKEEP_PROT: is not a setting of Emberkeep",
    ]


def test_a_connection_string_that_is_none_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", "postgresql://role:se%cret@host/database")
    assert _run(monkeypatch, "doctor") == 1
    said = capsys.readouterr().err
    assert "EMBERKEEP_DATABASE_URL: is no connection string" in said
    assert "cret@" not in said


def test_a_database_that_is_away_is_named_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{_find_free_port()}"
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", f"postgresql://role:secret@{address}/database")
    assert _run(monkeypatch, "doctor") == 1
    first, cause = capsys.readouterr().err.splitlines()
    assert first == "service.database_unavailable: the database cannot be reached"
    assert cause.startswith("  cause: ")
    assert "refused" in cause
    assert "secret" not in cause


def test_what_a_message_says_is_not_said_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    instant = ("--at", "2026-01-01T00:00:00Z")
    assert _run(monkeypatch, "xp", "reward-day", *instant, "--time-zone", "Asia/Calcutta") == 1
    assert capsys.readouterr().err.splitlines() == [
        "xp.time_zone_unknown: 'Asia/Calcutta' is an old name: use Asia/Kolkata"
    ]


def test_the_demo_looks_for_its_port_before_it_replays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server_dir: Path
) -> None:
    monkeypatch.setenv("EMBERKEEP_DATA_DIR", str(server_dir / "data"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        assert _run(monkeypatch, "demo", "--port", str(port)) == 1
    assert "server.address_unusable" in capsys.readouterr().err
    assert not (server_dir / "data").exists()


def test_with_json_a_refusal_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMBERKEEP_PROT", "1")
    assert _run(monkeypatch, "token", "--role", "operator", "--json") == 1
    document = json.loads(capsys.readouterr().err)
    assert document["code"] == "settings.invalid"
    assert document["errors"][0]["path"] == "EMBERKEEP_PROT"


@pytest.mark.parametrize(("level", "shows"), [("info", False), ("debug", True)])
def test_a_bug_is_one_clear_line_unless_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str, shows: bool
) -> None:
    def break_down(_: object) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setenv("EMBERKEEP_LOG_LEVEL", level)
    monkeypatch.setattr("emberkeep.wiring.read_keys", break_down)
    assert _run(monkeypatch, "token", "--role", "operator") == 1
    said = capsys.readouterr().err
    assert "bug: RuntimeError: it broke" in said
    assert ("Traceback" in said) is shows


def test_the_doctor_reports_on_an_unsafe_database_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    empty_database: str,
    pytestconfig: pytest.Config,
) -> None:
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", empty_database)
    is_durable = bool(pytestconfig.getoption("--durable"))
    assert _run(monkeypatch, "doctor", "--json") == (0 if is_durable else 1)
    findings = json.loads(capsys.readouterr().out)["findings"]
    levels = {finding["what"]: finding["level"] for finding in findings}
    assert levels["PostgreSQL version"] == "ok"
    assert levels["service role"] == "warn"
    assert levels["fsync"] == ("ok" if is_durable else "fail")


def _find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("processes", [1, 2])
def test_serve_answers_and_ends_quietly_on_ctrl_c(server_dir: Path, processes: int) -> None:
    port = _find_free_port()
    command = ["serve", "--port", str(port), "--processes", str(processes)]
    environment = {**os.environ, "EMBERKEEP_DATA_DIR": str(server_dir / "data")}
    with subprocess.Popen(
        [Path(sys.executable).with_name("emberkeep"), *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            _await_ready(running, f"http://127.0.0.1:{port}/health/ready")
            metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=30)
        finally:
            running.kill()
    assert running.returncode == 0, err
    assert out.splitlines()[0].endswith(f"serves http://127.0.0.1:{port}")
    assert re.search(r'emberkeep_http_request_seconds_count\{.*route="/health/ready"', metrics)
    if processes == 1:
        # Of several processes a counter shows when it has counted.
        assert "# TYPE emberkeep_segment_rule_failures_total counter" in metrics
    assert "Traceback" not in err


def _await_ready(running: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url) as answer:  # noqa: S310
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(running.communicate()[1])
