"""What the commands of the event store share: options, a connection, and ways to print."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from emberkeep.base.config import Settings, load_settings
from emberkeep.base.db import Connection, connect
from emberkeep.base.place import Place, open_place
from emberkeep.events.service.stores import require_store

app = typer.Typer(
    name="events",
    help="The event store: append and read, and the stores of a database themselves.",
    no_args_is_help=True,
)

ACTOR: Final = "command-line"
"""Who appends, as the metadata say."""
STDIN: Final = "-"

_out = Console(markup=False, highlight=False, emoji=False)
_err = Console(stderr=True, markup=False, highlight=False, emoji=False)

Schema = Annotated[
    str, typer.Option(metavar="NAME", help="The schema of the store; several stand side by side.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


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


@contextlib.asynccontextmanager
async def open_store(place: Place, schema: str) -> AsyncGenerator[Connection]:
    """Lend a connection as the service has it, to a store that can be worked with.

    :raises StoreUnknown: when there is none
    :raises StoreBehind: when it is not at the newest version
    """
    await require_store(place.owner_dsn, schema=schema)
    async with await connect(place.dsn, application="emberkeep events") as conn:
        yield conn


def read_bytes(path: str) -> bytes:
    """Return what is in a file, or comes from the standard input."""
    if path == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as e:
        raise typer.BadParameter(f"{path}: {e.strerror}") from e


def say(line: str) -> None:
    """Print a line as it is."""
    _out.print(line, soft_wrap=True)


def hint(line: str) -> None:
    """Print a line to whoever sits in front of it, not to a program that reads the output."""
    _err.print(line, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    typer.echo(msgspec.json.encode(value).decode())


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their headings, as wide as the terminal is."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    _out.print(table)
