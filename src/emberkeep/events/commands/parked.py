"""Events that a subscription could not handle, at the command line: looked at, replayed, skipped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from emberkeep.base import clock, page
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    check_text,
    hint,
    open_settings,
    print_json,
    say,
    show_table,
)
from emberkeep.base.db import Connection
from emberkeep.base.page import Page
from emberkeep.base.place import Place
from emberkeep.events import service
from emberkeep.events.commands.console import ACTOR, Schema, open_store
from emberkeep.events.commands.sources import Name, SourceOption
from emberkeep.events.model import (
    DEFAULT_SCHEMA,
    LAST_VERSION,
    ParkedEvent,
    Source,
    SubscriptionId,
    SubscriptionState,
)
from emberkeep.events.service.operators import choose_subscription

EventIds = Annotated[
    list[int] | None,
    typer.Argument(metavar="EVENT_ID", min=1, max=LAST_VERSION, help="Which of them."),
]
IsAll = Annotated[bool, typer.Option("--all", help="All that are parked.")]

Settle = Callable[[Connection, Source, list[int] | None], Awaitable[int]]
"""Takes what the subscription follows and the ids of events, None for all; returns how many."""


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command()(parked)
    app.command()(replay)
    app.command()(skip)


def parked(
    name: Name,
    with_settled: Annotated[
        bool, typer.Option("--all", help="Also what was replayed or skipped since.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=page.MAX_ITEMS, help="How many events at most.")
    ] = page.DEFAULT_ITEMS,
    after: Annotated[
        str | None, typer.Option(help="Where the list before broke off.", callback=check_text)
    ] = None,
    source: SourceOption = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """List the events that a subscription put aside, and why it could not handle them."""

    async def find(place: Place) -> Page[ParkedEvent]:
        async with open_store(place, schema) as conn:
            state = await choose_subscription(
                conn, subscription_id=SubscriptionId(name), source=source, schema=schema
            )
            return await service.list_parked(
                conn,
                subscription_id=SubscriptionId(name),
                source=service.parse_source(state.stream_id),
                with_settled=with_settled,
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
        say("nothing is parked")
        return
    columns = ("event", "state", "by", "attempts", "parked at (UTC)", "error")
    show_table(columns, [_describe(event) for event in found.items])
    if found.next is not None:
        hint(f"there are more: --after {found.next}")


def _describe(event: ParkedEvent) -> tuple[str, ...]:
    return (
        str(event.event_id),
        event.state,
        event.settled_by or "",
        str(event.attempts),
        f"{event.parked_at:{INSTANT}}",
        event.error,
    )


def replay(
    name: Name,
    event_ids: EventIds = None,
    is_all: IsAll = False,
    source: SourceOption = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Have parked events handled once more by whoever works on the subscription.

    One that fails again is parked again. Exit 1 where an event that is named is not parked.
    """

    async def settle(conn: Connection, source: Source, chosen: list[int] | None) -> int:
        return await service.replay_parked(
            conn,
            subscription_id=SubscriptionId(name),
            source=source,
            event_ids=chosen,
            actor=ACTOR,
            schema=schema,
        )

    state, chosen, count = _settle(settle, name, event_ids, is_all, source, schema)
    said = "will be handled once more"
    _report(state, chosen, count, said=said, as_json=as_json)
    if count and not state.consumers and not as_json:
        hint("nobody works on it at present: they wait until somebody does")
    _judge(chosen, count)


def skip(
    name: Name,
    event_ids: EventIds = None,
    is_all: IsAll = False,
    source: SourceOption = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Give parked events up: they are never handled. `parked --all` goes on showing them.

    Exit 1 where an event that is named is not parked.
    """

    async def settle(conn: Connection, source: Source, chosen: list[int] | None) -> int:
        return await service.skip_parked(
            conn,
            subscription_id=SubscriptionId(name),
            source=source,
            event_ids=chosen,
            actor=ACTOR,
            now=clock.read_now(),
            schema=schema,
        )

    state, chosen, count = _settle(settle, name, event_ids, is_all, source, schema)
    _report(state, chosen, count, said="given up", as_json=as_json)
    _judge(chosen, count)


def _settle(
    settle: Settle,
    name: str,
    event_ids: list[int] | None,
    is_all: bool,
    source: Source | None,
    schema: str,
) -> tuple[SubscriptionState, set[int] | None, int]:
    """Return where the subscription stands, which events were meant, and how many it concerned."""
    if bool(event_ids) == is_all:
        raise typer.BadParameter("name the events, or say --all")
    chosen = None if is_all else set(event_ids or ())

    async def act(place: Place) -> tuple[SubscriptionState, int]:
        async with open_store(place, schema) as conn:
            state = await choose_subscription(
                conn, subscription_id=SubscriptionId(name), source=source, schema=schema
            )
            followed = service.parse_source(state.stream_id)
            return state, await settle(conn, followed, None if chosen is None else sorted(chosen))

    with open_settings() as (_, place):
        state, count = asyncio.run(act(place))
    return state, chosen, count


def _report(
    state: SubscriptionState, chosen: set[int] | None, count: int, *, said: str, as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "subscription_id": state.subscription_id,
                "stream_id": state.stream_id,
                "events": count,
            }
        )
    elif chosen is None and not count:
        say(f"{state.subscription_id}: nothing is parked")
    else:
        of_named = "" if chosen is None or count == len(chosen) else f" of {len(chosen)}"
        say(f"{state.subscription_id}: {count}{of_named} parked events {said}")


def _judge(chosen: set[int] | None, count: int) -> None:
    if chosen is not None and count < len(chosen):
        hint("the others are not parked: `parked --all` says what became of them")
        raise typer.Exit(1)
