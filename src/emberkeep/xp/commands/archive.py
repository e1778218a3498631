"""Old awards and ledger rows at the command line: into files, and the files looked at again."""

from __future__ import annotations

import asyncio
import datetime
import re
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from emberkeep.base import clock
from emberkeep.base.console import AsJson, IsSure, confirm, open_settings, print_json, say
from emberkeep.base.db import connect
from emberkeep.base.place import Place
from emberkeep.xp.commands.console import ACTOR
from emberkeep.xp.model import ArchiveReport
from emberkeep.xp.service import archive as service

_AGE: Final = re.compile(r"([1-9][0-9]{0,4})d")
_MONTHS: Final = re.compile(r"([1-9][0-9]{0,2}) ?months?")
_VERIFY: Final = "verify"


def _parse_before(text: str) -> datetime.datetime:
    """Return the beginning of a UTC day, or of a month where the age is in months."""
    today = clock.read_now().date()
    if (days := _AGE.fullmatch(text)) is not None:
        return _begin(today - datetime.timedelta(days=int(days[1])))
    if (months := _MONTHS.fullmatch(text)) is not None:
        year, month = divmod(today.year * 12 + today.month - 1 - int(months[1]), 12)
        return _begin(datetime.date(year, month + 1, 1))
    try:
        return _begin(datetime.date.fromisoformat(text))
    except ValueError as e:
        raise typer.BadParameter("is neither 2025-01-31 nor an age such as 365d or 12months") from e


def _begin(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), clock.UTC)


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("archive")(archive)


def archive(
    verify: Annotated[
        list[str] | None,
        typer.Argument(metavar="[verify DIR]", help="Read the files of an archive again instead."),
    ] = None,
    before: Annotated[
        datetime.datetime | None,
        typer.Option(
            parser=_parse_before,
            metavar="DAY|AGE",
            help="Rows of UTC days before it: 2025-01-31, 365d, 12months (from the first on).",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder is made in it for each archive.")
    ] = None,
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be archived; do nothing.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Is kept with the archive.")] = "",
    is_sure: IsSure = False,
    as_json: AsJson = False,
) -> None:
    """Write old awards and ledger rows to Parquet files, read them back, then delete the rows.

    Balances, streaks and `verify` stay as they are. It may be broken off at any moment: the next
    run goes on. A player's last award stays, and so does everything younger than two days.
    """
    if verify:
        _verify(verify, as_json=as_json)
        return
    if before is None or (out is None and not is_dry_run):
        raise typer.BadParameter("needs --before and --out, or: verify DIR")

    async def act(place: Place, folder: Path | None) -> ArchiveReport:
        now = clock.read_now()
        async with await connect(place.dsn, application="emberkeep archive") as conn:
            if folder is None:
                return await service.preview_archive(conn, before=before, now=now)
            with _make_progress() as progress:
                task = progress.add_task("reading", total=None)
                return await service.archive_rows(
                    conn,
                    before=before,
                    out=folder,
                    archive_id=str(clock.new_id()),
                    actor=ACTOR,
                    reason=reason,
                    now=now,
                    on_progress=lambda what, rows: progress.update(
                        task, description=what, completed=rows
                    ),
                )

    with open_settings() as (_, place):
        if not is_dry_run:
            confirm(f"Move rows from before {before:%Y-%m-%d} into files?", is_sure=is_sure)
        report = asyncio.run(act(place, None if is_dry_run else out))
    if as_json:
        print_json(report)
    else:
        _show(report, is_dry_run=is_dry_run)


def _verify(words: list[str], *, as_json: bool) -> None:
    if len(words) != 2 or words[0] != _VERIFY:
        raise typer.BadParameter("`verify DIR` is all that can stand here")
    manifest = service.verify_archive(Path(words[1]))
    if as_json:
        print_json(manifest)
        return
    say(
        f"{words[1]}: as written on {manifest.written_at:%Y-%m-%d}: {len(manifest.files)} files,"
        f" {manifest.ledger_rows:,} ledger rows with {manifest.net_xp:,} XP,"
        f" {manifest.award_rows:,} awards of {manifest.players:,} players"
    )


def _show(report: ArchiveReport, *, is_dry_run: bool) -> None:
    if report.resumed is not None:
        say(f"finished an earlier run: {report.resumed}")
    if report.ledger_rows == 0:
        say(f"nothing is older than {report.archived_before:%Y-%m-%d}")
        return
    verb = "would go" if is_dry_run else "went"
    say(
        f"{report.ledger_rows:,} ledger rows with {report.net_xp:,} XP and {report.award_rows:,}"
        f" awards of {report.players:,} players {verb} to the archive:"
        f" {report.months[0]} to {report.months[-1]}"
    )
    if report.location is not None:
        say(report.location)


def _make_progress() -> Progress:
    return Progress(
        TextColumn("{task.description} {task.completed:,.0f} rows"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
