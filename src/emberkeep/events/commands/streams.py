"""Streams at the command line: linked to, ended; and the states that were folded from them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
import typer

from emberkeep.base import clock
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    IsSure,
    check_text,
    confirm,
    open_settings,
    print_json,
    say,
    show_table,
)
from emberkeep.base.place import Place
from emberkeep.events import service
from emberkeep.events.commands.console import ACTOR, Expected, Schema, Stream, open_store
from emberkeep.events.model import (
    DEFAULT_SCHEMA,
    LAST_VERSION,
    Snapshot,
    StreamId,
    StreamInfo,
)


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    for command in (link, delete, snapshot):
        app.command()(command)


def link(
    stream: Stream,
    event_ids: Annotated[
        list[int],
        typer.Argument(metavar="EVENT_ID", min=1, max=LAST_VERSION, help="In this order."),
    ],
    expected_version: Expected = "any",
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Let events stand in STREAM too, all of them or none. They keep their own stream."""

    async def act(place: Place) -> int:
        async with open_store(place, schema) as conn:
            return await service.link_to_stream(
                conn,
                stream_id=StreamId(stream),
                event_ids=event_ids,
                expected_version=expected_version,
                now=clock.read_now(),
                schema=schema,
            )

    with open_settings() as (_, place):
        version = asyncio.run(act(place))
    if as_json:
        print_json({"stream_id": stream, "stream_version": version})
    else:
        say(f"{stream}: linked: at version {version} now")


def delete(
    stream: Stream,
    is_erased: Annotated[
        bool,
        typer.Option("--erase", help="Remove its events and every link to them, for good."),
    ] = False,
    expected_version: Expected = "any",
    is_sure: IsSure = False,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """End STREAM: it takes no more events and shows none, and its name is never used again.

    '$all' keeps its events, unless they are erased; EMBERKEEP_ALLOW_ERASURE has to allow that.
    """
    verb = "Erase" if is_erased else "Delete"
    confirm(f"{verb} {stream} for good?", is_sure=is_sure)

    async def act(place: Place, *, is_allowed: bool) -> StreamInfo:
        target: dict[str, Any] = {
            "stream_id": StreamId(stream),
            "expected_version": expected_version,
            "actor": ACTOR,
            "now": clock.read_now(),
            "schema": schema,
        }
        async with open_store(place, schema) as conn:
            if is_erased:
                await service.erase_stream(conn, is_allowed=is_allowed, **target)
            else:
                await service.delete_stream(conn, **target)
            return await service.read_stream_info(conn, stream_id=StreamId(stream), schema=schema)

    with open_settings() as (settings, place):
        info = asyncio.run(act(place, is_allowed=settings.allow_erasure))
    if as_json:
        print_json(info)
    else:
        say(f"{stream}: {verb.lower()}d at version {info.stream_version}")


def snapshot(
    source_id: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="What it was folded from: a stream.", callback=check_text
        ),
    ],
    is_deleted: Annotated[
        bool, typer.Option("--delete", help="Forget it: it can be folded again.")
    ] = False,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Print the state that is kept of SOURCE."""

    async def act(place: Place) -> Snapshot:
        async with open_store(place, schema) as conn:
            found = await service.read_snapshot(conn, source_id=source_id, schema=schema)
            if is_deleted:
                await service.delete_snapshot(conn, source_id=source_id, schema=schema)
        return found

    with open_settings() as (_, place):
        found = asyncio.run(act(place))
    if as_json:
        print_json(found)
        return
    rows = [
        ("version", str(found.source_version)),
        ("type", found.source_type),
        ("kept at (UTC)", f"{found.created_at:{INSTANT}}"),
        ("data", msgspec.json.encode(found.data).decode()),
    ]
    show_table((source_id, ""), rows)
    if is_deleted:
        say("deleted")
