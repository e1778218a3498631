"""What the commands of the event store share: options, and a connection."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

import typer

from emberkeep.base import log
from emberkeep.base.config import Settings
from emberkeep.base.console import check_text
from emberkeep.base.db import Connection, connect, open_database
from emberkeep.base.place import Place
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
_HUB_CONNECTIONS: Final = 4
_MOST_DATA_SHOWN: Final = 200


Schema = Annotated[
    str, typer.Option(metavar="NAME", help="The schema of the store; several stand side by side.")
]


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


def shorten(data: str) -> str:
    """Return the data of an event as far as they fit on a screen."""
    if len(data) <= _MOST_DATA_SHOWN:
        return data
    return f"{data[:_MOST_DATA_SHOWN]}… (--json shows all)"
