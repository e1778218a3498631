"""What the ledger adds up to by day, into files for spreadsheets and warehouses."""

from __future__ import annotations

import asyncio
import csv
import datetime
import enum
import io
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from emberkeep.base.console import AsJson, hint, open_settings, print_json
from emberkeep.base.db import connect
from emberkeep.base.place import Place
from emberkeep.xp.model import DailyTotal, DailyTotals
from emberkeep.xp.service import aggregates


class Format(enum.StrEnum):
    """How totals are written."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def _parse_day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as e:
        raise typer.BadParameter("is not a day such as 2026-01-31") from e


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("export-daily")(export_daily)


def export_daily(
    from_day: Annotated[
        datetime.date,
        typer.Option("--from", parser=_parse_day, metavar="DAY", help="The first UTC day."),
    ],
    to_day: Annotated[
        datetime.date,
        typer.Option("--to", parser=_parse_day, metavar="DAY", help="The last, included."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Without it: to standard output.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="Of the rows.")] = Format.CSV,
    as_json: AsJson = False,
) -> None:
    """Write what each day added to the ledger: by policy, reason and season, reconciled.

    Ends with 1 when the totals are not the ledger's, or the ledger is not the sum of the balances;
    the rows are written all the same.
    """
    if format_ is Format.PARQUET and out is None:
        raise typer.BadParameter("parquet needs --out FILE")

    async def read(place: Place) -> DailyTotals:
        async with await connect(place.dsn, application="emberkeep export") as conn:
            return await aggregates.list_daily_totals(conn, from_day=from_day, to_day=to_day)

    with open_settings() as (_, place):
        totals = asyncio.run(read(place))
    content = _render(totals, Format.JSON if as_json and out is None else format_)
    if out is None:
        typer.echo(content.decode(), nl=False)
    else:
        _write(out, content)
    if as_json and out is not None:
        print_json(msgspec.structs.replace(totals, items=()))
    _tell(totals)
    if not totals.reconciled:
        raise typer.Exit(1)


def _render(totals: DailyTotals, format_: Format) -> bytes:
    match format_:
        case Format.CSV:
            return _render_csv(totals)
        case Format.JSON:
            return msgspec.json.encode(totals) + b"\n"
        case Format.PARQUET:
            return aggregates.make_parquet(totals.items)


def _render_csv(totals: DailyTotals) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(DailyTotal.__struct_fields__)
    writer.writerows(msgspec.structs.astuple(item) for item in totals.items)
    return text.getvalue().encode()


def _write(out: Path, content: bytes) -> None:
    try:
        out.write_bytes(content)
    except OSError as e:
        raise typer.BadParameter(f"{out}: {e.strerror}") from e


def _tell(totals: DailyTotals) -> None:
    sums = totals.reconciliation
    verdict = "reconciled" if totals.reconciled else "NOT reconciled"
    hint(
        f"{verdict}: {sums.span_rows:,} rows with {sums.span_net:,} XP, in the ledger"
        f" {sums.ledger_span_rows:,} with {sums.ledger_span_net:,}; the whole ledger"
        f" {sums.ledger_net:,} and {sums.archived_net:,} archived, balances {sums.balances_net:,}"
    )
    if totals.complete_from is not None and totals.from_day < totals.complete_from:
        hint(f"rows from before {totals.complete_from} were archived: those are in files only")
