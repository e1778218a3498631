"""What the commands of the event store share: options, a connection, and ways to print."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from emberkeep.base import log
from emberkeep.base.config import Settings, load_settings
from emberkeep.base.db import Connection, connect, open_database
from emberkeep.base.place import Place, open_place
from emberkeep.base.tasks import STOP_SIGNALS
from emberkeep.events.model import AppendInvalid, ExpectedVersion
from emberkeep.events.service import SubscriptionHub
from emberkeep.events.service.drafts import parse_expected_version
from emberkeep.events.service.stores import require_store

app = typer.Typer(
    name="events",
    help="The event store: append, read and follow, and the stores of a database themselves.",
    no_args_is_help=True,
)

ACTOR: Final = "command-line"
"""Who appends, as the metadata say."""
STDIN: Final = "-"
INSTANT: Final = "%Y-%m-%d %H:%M:%S"
"""How a moment is printed, in UTC."""
_HUB_CONNECTIONS: Final = 4
_MOST_DATA_SHOWN: Final = 200

_out = Console(markup=False, highlight=False, emoji=False)
_err = Console(stderr=True, markup=False, highlight=False, emoji=False)

Schema = Annotated[
    str, typer.Option(metavar="NAME", help="The schema of the store; several stand side by side.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
IsSure = Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")]


def check_text(text: str | None) -> str | None:
    """Let an argument pass that is UTF-8; for `callback=`."""
    if text is not None and any("\ud800" <= character <= "\udfff" for character in text):
        raise typer.BadParameter("is not UTF-8")
    return text


def _parse_expected(text: str) -> ExpectedVersion:
    try:
        return parse_expected_version(text)
    except AppendInvalid as e:
        raise typer.BadParameter(e.errors[0].message) from e


Stream = Annotated[str, typer.Argument(metavar="STREAM", callback=check_text)]
Expected = Annotated[
    Any,
    typer.Option(
        parser=_parse_expected,
        metavar="V",
        help="any, no_stream, stream_exists, or the version of the last event.",
    ),
]


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


@contextlib.asynccontextmanager
async def open_hub(
    settings: Settings, place: Place, schema: str
) -> AsyncGenerator[SubscriptionHub]:
    """Lend what can follow a store for as long as the block; errors as `open_store`.

    What it has to say meanwhile, such as that the database is away, goes to standard error.
    """
    log.configure(log_format=settings.log_format, log_level=settings.log_level)
    await require_store(place.owner_dsn, schema=schema)
    async with open_database(place.dsn, connections=_HUB_CONNECTIONS) as database:
        hub = SubscriptionHub(database, schema=schema)
        await hub.start()
        try:
            yield hub
        finally:
            await hub.stop()


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
    _out.print(make_printable(line), soft_wrap=True)


def hint(line: str) -> None:
    """Print a line to whoever sits in front of it, not to a program that reads the output."""
    _err.print(make_printable(line), soft_wrap=True)


def make_printable(text: str) -> str:
    """Return text that is one line and moves no cursor, whoever wrote it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shorten(data: str) -> str:
    """Return the data of an event as far as they fit on a screen."""
    if len(data) <= _MOST_DATA_SHOWN:
        return data
    return f"{data[:_MOST_DATA_SHOWN]}… (--json shows all)"


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
