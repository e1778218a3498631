"""What every command shares: its settings, the options that all have, and ways to ask and to print."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Coroutine, Generator, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from emberkeep.base.config import Settings, load_settings
from emberkeep.base.place import Place, open_place
from emberkeep.base.tasks import STOP_SIGNALS

STDIN: Final = "-"
INSTANT: Final = "%Y-%m-%d %H:%M:%S"
"""How a moment is printed, in UTC."""

_out = Console(markup=False, highlight=False, emoji=False)
_err = Console(stderr=True, markup=False, highlight=False, emoji=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
IsSure = Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")]


def check_text(text: str | None) -> str | None:
    """Let an argument pass that is UTF-8; for `callback=`."""
    if text is not None and any("\ud800" <= character <= "\udfff" for character in text):
        raise typer.BadParameter("is not UTF-8")
    return text


@contextlib.contextmanager
def open_settings() -> Generator[tuple[Settings, Place]]:
    """Lend what the environment says, and where the data are."""
    settings = load_settings(os.environ)
    with open_place(settings) as place:
        yield settings, place


def run_until_told(work: Coroutine[Any, Any, None]) -> bool:
    """Run `work` to its end, or until Ctrl-C or SIGTERM; say whether it came to its end."""

    async def run() -> bool:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, task.cancel)
        await asyncio.wait({task})
        if task.cancelled():
            return False
        task.result()
        return True

    return asyncio.run(run())


def confirm(question: str, *, is_sure: bool) -> None:
    """Let pass what the user means to do; a program says so by --yes, nobody can ask it."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} Say --yes if that is meant.")
    typer.confirm(question, abort=True, err=True)


def read_bytes(path: str | Path) -> bytes:
    """Return what is in a file, or comes from the standard input."""
    if str(path) == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as e:
        raise typer.BadParameter(f"{path}: {e.strerror}") from e


def say(line: str) -> None:
    """Print a line as it is."""
    _out.print(make_printable(line), soft_wrap=True)


def hint(line: str) -> None:
    """Print a line to whoever sits in front of it, not to a program that reads the output."""
    _err.print(make_printable(line), soft_wrap=True)


def make_printable(text: str) -> str:
    """Return text that is one line and moves no cursor, whoever wrote it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_json(*values: Any) -> None:
    """Print JSON documents, a line each."""
    typer.echo(b"\n".join(map(msgspec.json.encode, values)).decode())


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their headings, as wide as the terminal is."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(make_printable, row))
    _out.print(table)
