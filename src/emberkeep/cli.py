"""The command line: parse, call, print. The one place where a failure becomes an exit code.

0: done. 1: refused, failed, or not clean. 2: misuse.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Coroutine, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from emberkeep import wiring
from emberkeep.base import clock, log, tasks
from emberkeep.base.check import Check
from emberkeep.base.config import Settings, load_settings
from emberkeep.base.doctor import service as doctor_service
from emberkeep.base.doctor.model import Finding, Level
from emberkeep.base.errors import EmberkeepError, Invalid, Unavailable
from emberkeep.base.identity import Principal, Role
from emberkeep.base.place import Place, open_place
from emberkeep.base.postgres import default_data_dir
from emberkeep.events.commands import app as events_app
from emberkeep.migrate.commands import app as migrate_app
from emberkeep.web import server
from emberkeep.web.auth import Keys, make_token
from emberkeep.web.metrics import SHARED_DIRECTORY
from emberkeep.xp.commands import app as xp_app
from emberkeep.xp.commands.history import replay_history
from emberkeep.xp.model import Summary
from emberkeep.xp.service.history import ImportReport

app = typer.Typer(
    name="emberkeep",
    help="Emberkeep: daily-login XP that is paid exactly once, on PostgreSQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)
# Each slice brings its own group; what concerns the whole service is a command below.
app.add_typer(migrate_app)
app.add_typer(events_app)
app.add_typer(xp_app)

_REFUSED: Final = 1
_TTL: Final = re.compile(r"(?P<count>[1-9][0-9]{0,5})(?P<unit>[smhd])")
_SUBJECT: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST_TTL: Final = datetime.timedelta(days=366)
_FIRST_TOKEN_TTL: Final = datetime.timedelta(hours=24)
_COLOURS: Final = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}

_out = Console(soft_wrap=True, highlight=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Host = Annotated[str | None, typer.Option(help="The address to listen on.", show_default=False)]
Port = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="The TCP port to listen on.", show_default="8080"),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Where the embedded PostgreSQL keeps its data.", show_default=False
    ),
]


def main() -> None:
    """Run the command line; called by the `emberkeep` script."""
    try:
        app()
    except EmberkeepError as e:
        _show_error(e)
        sys.exit(_REFUSED)
    except Exception as e:  # noqa: BLE001 - the edge: a traceback helps only those who ask for it.
        _show_bug(e)
        sys.exit(_REFUSED)


@app.command()
def up(host: Host = None, port: Port = None, data: DataDir = None, as_json: AsJson = False) -> None:
    """Migrate, serve and work in one process, on an embedded PostgreSQL unless a database is named."""
    settings = _load_settings(host=host, port=port, data_dir=data)
    _run(_serve(settings, as_json=as_json, is_first_look=True))


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many share the port.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Serve the API; migrates first. Ctrl-C ends it after the requests under way are answered."""
    settings = _load_settings(host=host, port=port)
    if processes == 1:
        _run(_serve(settings, as_json=as_json, is_first_look=False))
        return
    _serve_processes(settings, processes, as_json=as_json)


@app.command()
def worker(data: DataDir = None, as_json: AsJson = False) -> None:
    """Do the work in the background: projections. Migrates first; any number may run. Ctrl-C ends it."""
    _run(_work(_load_settings(data_dir=data), as_json=as_json))


@app.command()
def token(
    role: Annotated[Role, typer.Option(help="What the caller may do.")],
    player: Annotated[
        str | None, typer.Option(metavar="ID", help="The player that a player's token is for.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Who will use a token that is no player's; audits say so. None: the role.",
        ),
    ] = None,
    ttl: Annotated[str, typer.Option(help="How long it holds: 30m, 12h, 7d.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Print a signed access token."""
    if (role is Role.PLAYER) != (player is not None):
        problem = (
            "needs --player ID" if player is None else "is for all players: leave --player out"
        )
        raise typer.BadParameter(f"--role {role} {problem}")
    if name is not None and role is Role.PLAYER:
        raise typer.BadParameter("--role player is named by --player ID: leave --name out")
    if name is not None and _SUBJECT.fullmatch(name) is None:
        raise typer.BadParameter("--name is 1 to 64 letters, digits and . _ - @")
    lifetime = _parse_ttl(ttl)
    now = clock.read_now()
    principal = Principal(player or name or role.value, role)
    text = _make_token(wiring.read_keys(_load_settings()), principal, lifetime, now)
    if as_json:
        answer = {
            "token": text,
            "role": role,
            "subject": principal.subject,
            "expires_at": now + lifetime,
        }
        _print_json(answer)
    else:
        typer.echo(text)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look at settings, versions, durability, clocks and roles: what is wrong, and what to do."""
    settings = _load_settings()
    with open_place(settings) as place:
        findings = asyncio.run(wiring.examine(settings, place))
    values = doctor_service.list_values(settings)
    if as_json:
        _print_json({"findings": findings, "settings": dict(values)})
    else:
        _show_findings(findings)
        _show_values(values)
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(_REFUSED)


@app.command()
def verify(
    module: Annotated[
        str | None, typer.Option(metavar="M", help="Only this module, such as xp or events.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every invariant: a line each, exit 1 on a violation. Safe in production: it only reads."""
    with open_place(_load_settings()) as place:
        checks = asyncio.run(wiring.verify(place, module=module))
    if as_json:
        _print_json({"checks": checks, "clean": all(check.is_clean for check in checks)})
    else:
        _show_checks(checks)
    if not all(check.is_clean for check in checks):
        raise typer.Exit(_REFUSED)


@app.command()
def demo(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A login history; by default the one in examples/."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the report.")] = False,
    host: Host = None,
    port: Port = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Replay a login history through the real claim path, say what happened, then serve.

    The history is claimed under examples/daily-login.json, unless that policy has moved on. To run
    it again changes nothing.
    """
    settings = _load_settings(host=host, port=port, data_dir=data)
    examples = _find_examples()
    if not once:
        # Only a look, so that nobody waits for the replay to hear that the port is taken.
        server.listen(settings.host, settings.port).close()
    with open_place(settings) as place:
        report = asyncio.run(
            replay_history(
                settings,
                place,
                file=file or examples / "activity.csv.gz",
                policy=examples / "daily-login.json",
            )
        )
        summary, checks = asyncio.run(wiring.summarize(place))
    if as_json:
        _print_json({"import": report, "summary": summary, "checks": checks})
    else:
        _show_summary(report, summary)
        _out.print(f"  verify            {_conclude(checks)}")
    if not all(check.is_clean for check in checks):
        raise typer.Exit(_REFUSED)
    if not once:
        _out.print()
        _run(_serve(settings, as_json=as_json, is_first_look=True))


def _find_examples() -> Path:
    """Return the examples folder: of the checkout one stands in, or the one this code is from."""
    for root in (Path.cwd(), Path(__file__).parents[2]):
        if (root / "examples" / "daily-login.json").exists():
            return root / "examples"
    raise typer.BadParameter("there is no examples/ here: run it in a checkout of Emberkeep")


def _show_summary(report: ImportReport, summary: Summary) -> None:
    totals = summary.totals
    streaks = ", ".join(f"{s.longest_streak} days ({s.player_id})" for s in summary.longest_streaks)
    milestones = ", ".join(f"day {m.day}: {m.players:,}" for m in summary.milestones)
    replayed = f"{report.claims:,} claims in {report.seconds:.1f} s"
    if report.skipped:
        replayed += f"; {report.skipped:,} player-days were claimed before"
    rows = (
        ("replayed", replayed),
        ("players", f"{totals.players:,}"),
        ("claims", f"{totals.claims:,} from {totals.first_day} to {totals.last_day}"),
        ("XP paid", f"{totals.xp:,}"),
        ("longest streaks", streaks),
        ("milestones", milestones),
    )
    for name, value in rows:
        _out.print(f"  {name:<18}{value}")


def _show_checks(checks: Sequence[Check]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("invariant", overflow="fold")
    table.add_column("checked", justify="right")
    table.add_column("violations", justify="right")
    for check in checks:
        colour = "green" if check.is_clean else "red"
        violations = f"[{colour}]{check.violations:,}[/{colour}]"
        table.add_row(check.name, f"{check.checked:,}", violations)
    Console().print(table)
    for check in checks:
        for example in check.examples:
            _out.print(f"{check.name}: {example}", markup=False)
    _out.print(f"verify: {_conclude(checks)}")


def _conclude(checks: Sequence[Check]) -> str:
    broken = [check for check in checks if not check.is_clean]
    if not broken:
        return f"[green]clean[/green] ({len(checks)} invariants)"
    return "[red]not clean[/red]: " + "; ".join(check.name for check in broken)


def _load_settings(**given: object) -> Settings:
    """Return the environment's settings, with what the command line says in their place."""
    for name, value in given.items():
        if value is not None:
            # Into the environment, because further processes read their settings there.
            os.environ[f"EMBERKEEP_{name.upper()}"] = str(value)
    settings = load_settings(os.environ)
    log.configure(log_format=settings.log_format, log_level=settings.log_level)
    return settings


def _run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def _serve(settings: Settings, *, as_json: bool, is_first_look: bool) -> None:
    with server.listen(settings.host, settings.port) as sock:
        async with wiring.open_system(settings, does_work=is_first_look) as system:
            first_token = _make_first_token(system.keys) if is_first_look else None
            _greet(settings, system.place, first_token, as_json=as_json)
            await server.serve(system.app, sock)


async def _work(settings: Settings, *, as_json: bool) -> None:
    async with wiring.open_worker(settings) as (place, loops):
        if as_json:
            _print_json({"loops": loops})
        else:
            _out.print(f"[bold]Emberkeep {metadata.version('emberkeep')}[/bold] works: ", end="")
            _out.print(", ".join(loops))
            _show_embedded(place)
            _out.print("Ctrl-C stops it.")
        await tasks.wait_for_stop()


def _serve_processes(settings: Settings, processes: int, *, as_json: bool) -> None:
    async def prepare() -> None:
        """Examine and migrate once, so that what is wrong is said once."""
        async with wiring.open_system(settings):
            pass

    with (
        server.listen(settings.host, settings.port) as sock,
        open_place(settings) as place,
        tempfile.TemporaryDirectory(prefix="emberkeep-metrics-") as directory,
    ):
        _run(prepare())
        os.environ[SHARED_DIRECTORY] = directory
        _greet(settings, place, None, as_json=as_json)
        server.serve_processes("emberkeep.wiring:make_process_app", sock, processes=processes)


def _greet(settings: Settings, place: Place, first_token: str | None, *, as_json: bool) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{settings.port}"
    if as_json:
        _print_json({"url": url, "docs": f"{url}/docs", "operator_token": first_token})
        return
    _out.print(f"[bold]Emberkeep {metadata.version('emberkeep')}[/bold] serves {url}")
    _out.print(f"  API and docs    {url}/docs")
    _show_embedded(place)
    if first_token is not None:
        _out.print(f"  operator token  {first_token}")
        _out.print("                  (holds for 24 hours; `emberkeep token` makes others)")
    _out.print("Ctrl-C stops it.")


def _show_embedded(place: Place) -> None:
    if place.embedded_version is not None:
        where = f"embedded, in {place.data_dir}"
        _out.print(f"  database        PostgreSQL {place.embedded_version}, {where}", markup=False)
        if place.data_dir is not None and place.data_dir != default_data_dir().absolute():
            setting = f"EMBERKEEP_DATA_DIR={shlex.quote(str(place.data_dir))}"
            _out.print(f"  other commands  {setting} emberkeep …", markup=False)


def _make_first_token(keys: Keys) -> str:
    operator = Principal(Role.OPERATOR.value, Role.OPERATOR)
    return _make_token(keys, operator, _FIRST_TOKEN_TTL, clock.read_now())


def _make_token(
    keys: Keys, principal: Principal, ttl: datetime.timedelta, now: datetime.datetime
) -> str:
    return make_token(keys, principal, token_id=str(clock.new_id()), ttl=ttl, now=now)


def _parse_ttl(text: str) -> datetime.timedelta:
    match = _TTL.fullmatch(text)
    if match is None:
        raise typer.BadParameter("--ttl is a number and a unit: 45s, 30m, 12h, 7d")
    ttl = datetime.timedelta(**{_UNITS[match["unit"]]: int(match["count"])})
    if ttl > _LONGEST_TTL:
        raise typer.BadParameter("--ttl is at most 366d: a token cannot be taken back")
    return ttl


def _show_findings(findings: tuple[Finding, ...]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "what", "how it stands", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.level]
        mark = f"[{colour}]{finding.level.value}[/{colour}]"
        table.add_row(mark, finding.what, finding.fact, finding.remedy)
    Console().print(table)


def _show_values(values: tuple[tuple[str, str], ...]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("setting")
    table.add_column("value", overflow="fold")
    for variable, value in values:
        table.add_row(variable, value)
    _out.print()
    Console().print(table)


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value).decode())


def _wants_json() -> bool:
    return "--json" in sys.argv


def _show_error(error: EmberkeepError) -> None:
    """Say what was refused, with every field and fact, on standard error."""
    fields = error.errors if isinstance(error, Invalid) else ()
    facts = {name: fact for name, fact in error.facts.items() if fact is not None}
    if isinstance(error, Unavailable) and error.__cause__ is not None:
        # Not a fact: it names hosts and roles, which are for the operator only.
        facts["cause"] = str(error.__cause__).partition("\n")[0]
    if _wants_json():
        document = {
            "code": error.code,
            "detail": error.message,
            "errors": [{"path": f.path, "message": f.message} for f in fields],
            **facts,
        }
        typer.echo(msgspec.json.encode(document, enc_hook=str).decode(), err=True)
        return
    _err.print(f"[red]{error.code}[/red]: ", end="")
    _err.print(error.message, markup=False)
    details = [(field.path, field.message) for field in fields]
    details += [(name, str(fact)) for name, fact in facts.items()]
    for name, text in details:
        if text not in error.message:  # What it says already need not be said again.
            _err.print(f"  {name}: {text}", markup=False)


def _show_bug(error: Exception) -> None:
    """Say that it is our mistake; show where only to those who set the log level to debug."""
    if os.environ.get("EMBERKEEP_LOG_LEVEL") == "debug":
        _err.print_exception(show_locals=False)
    kind = type(error).__name__
    _err.print(f"[red]bug[/red]: {kind}: ", end="")
    _err.print(str(error).partition("\n")[0], markup=False)
    _err.print("  EMBERKEEP_LOG_LEVEL=debug shows where; please report it.")
