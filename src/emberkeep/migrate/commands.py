"""`emberkeep migrate …`: parse, call the service, print. Anticipated errors rise to cli.py."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from emberkeep.base import clock
from emberkeep.base.config import Settings, load_settings
from emberkeep.base.place import open_place
from emberkeep.migrate import service
from emberkeep.migrate.model import DEFAULT_SETS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from emberkeep.migrate.model import Applied

app = typer.Typer(
    name="migrate",
    help="Bring the schemas from one version to the next, and see where they stand.",
    no_args_is_help=True,
)


def _check_module(module: str | None) -> str | None:
    known = [s.name for s in DEFAULT_SETS]
    if module is not None and module not in known:
        raise typer.BadParameter(f"there is no module {module!r}; there are: {', '.join(known)}")
    return module


Module = Annotated[
    str | None,
    typer.Argument(
        callback=_check_module, show_default=False, help="One module only; by default all of them."
    ),
]
To = Annotated[int | None, typer.Option("--to", min=0, help="The version to end at.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@app.command()
def up(module: Module = None, to: To = None, as_json: AsJson = False) -> None:
    """Apply what is pending; with a MODULE, also what it requires."""
    _refuse_lone_version(module, to)
    with _open_dsn() as dsn:
        applied = asyncio.run(
            service.apply_migrations(
                dsn, now=clock.read_now(), module=module, to=to, report=_report
            )
        )
    _show_applied(applied, as_json, key="applied", nothing="Nothing is pending.")


@app.command()
def down(module: Module = None, to: To = None, as_json: AsJson = False) -> None:
    """Take back the newest version of MODULE, or all above --to; without MODULE only --to 0."""
    if module is None and to != 0:
        raise typer.BadParameter("name a MODULE, or take all of them back with --to 0")
    with _open_dsn() as dsn:
        undone = asyncio.run(
            service.roll_back(dsn, now=clock.read_now(), module=module, to=to, report=_report)
        )
    _show_applied(undone, as_json, key="taken_back", nothing="Nothing was applied.")


@app.command()
def status(module: Module = None, as_json: AsJson = False) -> None:
    """List every version and its state; exit 1 when one of them stands in the way of `up`."""
    with _open_dsn() as dsn:
        versions = asyncio.run(service.read_status(dsn, module=module))
    rows = [
        (
            v.set_name,
            f"V{v.version:03d}__{v.name}",
            v.state,
            "" if v.applied_at is None else f"{v.applied_at:%Y-%m-%d %H:%M:%S}Z",
            v.applied_by or "",
            "" if v.duration_ms is None else f"{v.duration_ms} ms",
        )
        for v in versions
    ]
    columns = ("module", "version", "state", "applied at", "by", "took")
    _show(as_json, {"versions": versions}, columns, rows)
    _exit(is_clean=all(v.state in ("clean", "pending") for v in versions))


@app.command()
def plan(module: Module = None, to: To = None, as_json: AsJson = False) -> None:
    """Print the SQL that `up` would run and the locks it takes, found by trying: changes nothing.

    While it tries, it holds those locks; it gives way to others within a tenth of a second.
    """
    _refuse_lone_version(module, to)
    with _open_dsn() as dsn:
        planned = asyncio.run(service.plan_migrations(dsn, module=module, to=to))
    if as_json:
        _print_json({"files": planned})
        return
    for file in planned:
        _say(f"-- {file.path} ({file.note})")
        for lock in file.locks or ():
            _say(f"-- locks {lock.relation}: {lock.mode}")
        typer.echo(file.sql)
    if not planned:
        _say("Nothing is pending.")


@app.command()
def verify(module: Module = None, as_json: AsJson = False) -> None:
    """Hold files, history and live schema against each other; exit 1 on any difference."""
    with _open_dsn() as dsn:
        verified = asyncio.run(service.verify_schemas(dsn, module=module))
    findings = [f for v in verified for f in v.findings]
    if as_json:
        _print_json({"is_clean": not findings, "sets": verified})
    else:
        for v in verified:
            verdict = f"{len(v.findings)} findings" if v.findings else "clean"
            note = f": {v.note}" if v.note else ""
            _say(f"{v.set_name}: {verdict} (compared with {v.compared_with}{note})")
        for finding in findings:
            _say(f"{finding.set_name} {finding.kind}: {finding.message}")
    _exit(is_clean=not findings)


@app.command()
def repair(module: Module = None, as_json: AsJson = False) -> None:
    """Drop indexes that were left invalid, and make versions that were cut off pending again."""
    with _open_dsn() as dsn:
        repairs = asyncio.run(service.repair_schemas(dsn, module=module, report=_report))
    rows = [
        (
            r.set_name,
            ", ".join(r.dropped_indexes) or "none",
            ", ".join(f"V{v:03d}" for v in r.cleared_versions) or "none",
        )
        for r in repairs
    ]
    _show(as_json, {"repairs": repairs}, ("module", "dropped indexes", "pending again"), rows)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="What the version does, in a few words.")],
    module: Annotated[str, typer.Argument(callback=_check_module, help="Whose version it is.")],
    as_json: AsJson = False,
) -> None:
    """Create the next up and down file of MODULE."""
    paths = [str(path) for path in service.create_files(module=module, name=name)]
    if as_json:
        _print_json({"files": paths})
        return
    for path in paths:
        typer.echo(path)


@app.command()
def lint(module: Module = None, as_json: AsJson = False) -> None:
    """Read the files with squawk and with our own rules; exit 1 on any warning."""
    warnings = asyncio.run(service.lint_files(module=module))
    if as_json:
        _print_json({"warnings": warnings})
    for w in () if as_json else warnings:
        typer.echo(f"{w.path}:{w.line}: {w.rule}: {w.message}")
    _exit(is_clean=not warnings)


@app.command()
def reset(module: Module = None, as_json: AsJson = False) -> None:
    """Drop the schemas with all data and apply every version anew; for development only."""
    settings = _load_settings()
    with _open_dsn(settings) as dsn:
        applied = asyncio.run(
            service.reset_schemas(
                dsn,
                is_allowed=settings.allow_destructive,
                now=clock.read_now(),
                module=module,
                report=_report,
            )
        )
    _show_applied(applied, as_json, key="applied", nothing="There is nothing to apply.")


@app.command()
def drop(module: Module = None, as_json: AsJson = False) -> None:
    """Drop the schemas with all data; for development only."""
    settings = _load_settings()
    with _open_dsn(settings) as dsn:
        dropped = asyncio.run(
            service.drop_schemas(
                dsn, is_allowed=settings.allow_destructive, module=module, report=_report
            )
        )
    _show(as_json, {"dropped": dropped}, ("dropped schema",), [(name,) for name in dropped])


def _load_settings() -> Settings:
    return load_settings(os.environ)


@contextlib.contextmanager
def _open_dsn(settings: Settings | None = None) -> Generator[str]:
    """Lend the connection string of the role that may change the schema."""
    with open_place(settings or _load_settings()) as place:
        yield place.owner_dsn


def _refuse_lone_version(module: str | None, to: int | None) -> None:
    if to is not None and module is None:
        raise typer.BadParameter("--to needs the MODULE whose version it is")


_out = Console()
_err = Console(stderr=True)


def _report(line: str) -> None:
    _err.print(line, markup=False, highlight=False)


def _say(line: str) -> None:
    _out.print(line, markup=False, highlight=False, soft_wrap=True)


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value).decode())


def _show(
    as_json: bool, value: object, columns: Sequence[str], rows: Iterable[tuple[str, ...]]
) -> None:
    if as_json:
        _print_json(value)
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    _out.print(table)


def _show_applied(applied: Sequence[Applied], as_json: bool, *, key: str, nothing: str) -> None:
    if not applied and not as_json:
        _say(nothing)
        return
    rows = [(a.set_name, f"V{a.version:03d}__{a.name}", f"{a.duration_ms} ms") for a in applied]
    _show(as_json, {key: applied}, ("module", "version", "took"), rows)


def _exit(*, is_clean: bool) -> None:
    if not is_clean:
        raise typer.Exit(1)
