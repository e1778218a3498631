"""What can be followed and where to begin, as the command line says it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from emberkeep.base.console import check_text
from emberkeep.base.errors import FieldError
from emberkeep.events.model import (
    LAST_VERSION,
    Category,
    OneStream,
    Source,
    Start,
    StartFrom,
    StreamId,
    SubscriptionInvalid,
    SubscriptionState,
)
from emberkeep.events.service import name_source, parse_source

_CATEGORY: Final = "category:"


def parse_source_name(text: str) -> Source:
    """Return what `text` names, as `show_source` does or as JSON documents do; for `parser=`."""
    check_text(text)
    try:
        if text.startswith(_CATEGORY):
            return parse_source(name_source(Category(text.removeprefix(_CATEGORY))))
        return parse_source(text)
    except SubscriptionInvalid as e:
        raise typer.BadParameter(_list_faults(e.errors)) from e


def _list_faults(errors: tuple[FieldError, ...]) -> str:
    return "; ".join(f"{error.path} {error.message}" for error in errors)


def show_source(stream_id: StreamId) -> str:
    """Return the name of what a subscription follows, as one types it."""
    source = parse_source(stream_id)
    return f"{_CATEGORY}{source.name}" if isinstance(source, Category) else stream_id


def find_position(state: SubscriptionState) -> int:
    """Return the number up to which a subscription has come: a version of its stream, or an id."""
    if isinstance(parse_source(state.stream_id), OneStream):
        return state.last_seen_stream_version
    return state.last_seen_event_id


def parse_start(text: str) -> Start:
    """Return where to begin; for `parser=`."""
    named = {start.value: start for start in StartFrom}
    if text in named:
        return named[text]
    if not (text.isascii() and text.isdigit() and int(text) <= LAST_VERSION):
        raise typer.BadParameter("is not origin, current or a number from 0 on")
    return int(text)


SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A stream, category:NAME, or '$all' for every one.",
        callback=check_text,
    ),
]
SourceOption = Annotated[
    Any,
    typer.Option(
        "--source",
        parser=parse_source_name,
        metavar="SOURCE",
        help="What it follows, where several have the name.",
        show_default=False,
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The subscription.", callback=check_text)]
