"""Append and read at the command line, and list streams."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any

import msgspec
import typer

from emberkeep.base import clock, page
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    check_text,
    hint,
    open_settings,
    print_json,
    read_bytes,
    say,
    show_table,
)
from emberkeep.base.page import Page
from emberkeep.base.place import Place
from emberkeep.events import service
from emberkeep.events.commands.console import ACTOR, Expected, Schema, Stream, open_store, shorten
from emberkeep.events.model import (
    ALL_STREAMS,
    DEFAULT_SCHEMA,
    LAST_VERSION,
    Appended,
    Direction,
    ExpectedVersion,
    StreamId,
    StreamInfo,
    StreamSort,
)
from emberkeep.events.service.drafts import (
    EventDraft,
    Origin,
    make_events,
)
from emberkeep.events.service.pages import MAX_ITEMS, EventItem, EventPage, read_event_page


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command()(append)
    app.command()(read)
    app.command("streams")(list_streams)


def append(
    stream: Stream,
    type_: Annotated[
        str | None,
        typer.Option("--type", metavar="T", help="What happened.", callback=check_text),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="What there is to know of it; @FILE, or - to read it.",
            callback=check_text,
        ),
    ] = None,
    metadata: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="An object; @FILE, or - to read it.", callback=check_text
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Events as JSON Lines instead; - is standard input."),
    ] = None,
    expected_version: Expected = "any",
    event_uuid: Annotated[
        uuid.UUID | None,
        typer.Option("--uuid", help="Its id, under which it is appended once, however often."),
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Append an event to STREAM, or all events of a file, together or not at all.

    A line of the file is an object with `event_type`, `data` and, if need be, `metadata`,
    `event_version` and `event_uuid`.
    """
    if file is not None:
        if (type_, data, metadata, event_uuid) != (None, None, None, None):
            raise typer.BadParameter("--file brings events with all that belongs to them")
        drafts = _parse_lines(read_bytes(file))
    elif type_ is None or data is None:
        raise typer.BadParameter("needs --type and --data, or --file")
    else:
        if [data, metadata].count("-") > 1:
            raise typer.BadParameter("only one of --data and --metadata can be standard input")
        drafts = [
            EventDraft(
                event_type=type_,
                data=_read_json("--data", data, msgspec.Raw),
                metadata=None
                if metadata is None
                else _read_json("--metadata", metadata, dict[str, msgspec.Raw]),
                event_uuid=event_uuid,
            )
        ]
    with open_settings() as (_, place):
        appended = asyncio.run(_append(place, stream, drafts, expected_version, schema))
    if as_json:
        print_json(appended)
    else:
        say(_describe(appended))


async def _append(
    place: Place,
    stream: str,
    drafts: list[EventDraft],
    expected_version: ExpectedVersion,
    schema: str,
) -> Appended:
    async with open_store(place, schema) as conn:
        return await service.append_to_stream(
            conn,
            stream_id=StreamId(stream),
            events=make_events(drafts, Origin(actor=ACTOR)),
            expected_version=expected_version,
            now=clock.read_now(),
            schema=schema,
        )


def _describe(appended: Appended) -> str:
    verb = "was there already" if appended.is_retry else "appended"
    if appended.first_version == appended.last_version:
        place = f"version {appended.first_version}, event {appended.first_event_id}"
    else:
        place = (
            f"versions {appended.first_version} to {appended.last_version},"
            f" events {appended.first_event_id} to {appended.last_event_id}"
        )
    return f"{appended.stream_id}: {verb}: {place}"


def _read_json(option: str, text: str, kind: type[Any]) -> Any:
    """Return the JSON that an option says, or that the file it names holds."""
    is_elsewhere = text == "-" or text.startswith("@")
    given = read_bytes(text.removeprefix("@")) if is_elsewhere else text.encode()
    try:
        msgspec.json.decode(given)
        return msgspec.json.decode(given, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise typer.BadParameter(f"{option} is not what it should be: {e}") from e


def _parse_lines(content: bytes) -> list[EventDraft]:
    drafts: list[EventDraft] = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            drafts.append(msgspec.json.decode(line, type=EventDraft))
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            raise typer.BadParameter(f"line {number}: {e}") from e
    return drafts


def read(
    stream: Annotated[
        str,
        typer.Argument(metavar="STREAM", help="Or '$all': every stream.", callback=check_text),
    ],
    start: Annotated[
        int | None,
        typer.Option(
            "--from",
            min=0,
            max=LAST_VERSION,
            help="The first version; of $all the position to go on after.",
            show_default="the beginning",
        ),
    ] = None,
    is_backward: Annotated[
        bool, typer.Option("--backward", help="From the newest event to the oldest.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_ITEMS, help="How many events at most.")
    ] = page.DEFAULT_ITEMS,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Print the events of STREAM in order."""
    direction = Direction.BACKWARD if is_backward else Direction.FORWARD

    async def find(place: Place) -> EventPage:
        async with open_store(place, schema) as conn:
            return await read_event_page(
                conn,
                stream_id=StreamId(stream),
                start=start,
                direction=direction,
                limit=limit,
                schema=schema,
            )

    with open_settings() as (_, place):
        found = asyncio.run(find(place))
    if as_json:
        print_json(found)
        return
    _show_events(found, is_all=stream == ALL_STREAMS)
    if found.next is not None:
        hint(f"there are more: --from {found.next}")


def _show_events(found: EventPage, *, is_all: bool) -> None:
    if not found.items:
        say("no events")
        return
    if is_all:
        columns = ("event", "stream", "version", "type", "at (UTC)", "data")
        rows = [
            (str(i.event_id), i.stream_id, str(i.stream_version), *_describe_item(i))
            for i in found.items
        ]
    else:
        columns = ("version", "event", "type", "at (UTC)", "data")
        rows = [(str(i.number), str(i.event_id), *_describe_item(i)) for i in found.items]
    show_table(columns, rows)


def _describe_item(item: EventItem) -> tuple[str, str, str]:
    data = shorten(bytes(item.data).decode())
    return item.event_type, f"{item.created_at:{INSTANT}}", data


def list_streams(
    search: Annotated[
        str | None, typer.Option(help="Only names that hold this.", callback=check_text)
    ] = None,
    sort_by: Annotated[
        StreamSort, typer.Option(help="What the list is in the order of.")
    ] = StreamSort.STREAM_ID,
    is_descending: Annotated[
        bool, typer.Option("--descending", help="From the highest to the lowest.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=page.MAX_ITEMS, help="How many streams at most.")
    ] = page.DEFAULT_ITEMS,
    after: Annotated[
        str | None, typer.Option(help="Where the list before broke off.", callback=check_text)
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """List streams, how far they have come, and what became of them."""

    async def find(place: Place) -> Page[StreamInfo]:
        async with open_store(place, schema) as conn:
            return await service.paginate_streams(
                conn,
                search=search,
                sort_by=sort_by,
                is_descending=is_descending,
                after=after,
                limit=limit,
                schema=schema,
            )

    with open_settings() as (_, place):
        found = asyncio.run(find(place))
    if as_json:
        print_json(found)
        return
    if not found.items:
        say("no streams")
        return
    columns = ("stream", "version", "created at (UTC)", "updated at (UTC)", "")
    show_table(columns, [_describe_stream(info) for info in found.items])
    if found.next is not None:
        hint(f"there are more: --after {found.next}")


def _describe_stream(info: StreamInfo) -> tuple[str, ...]:
    state = "erased" if info.erased_at else "deleted" if info.deleted_at else ""
    return (
        info.stream_id,
        str(info.stream_version),
        f"{info.created_at:{INSTANT}}",
        f"{info.updated_at:{INSTANT}}",
        state,
    )
