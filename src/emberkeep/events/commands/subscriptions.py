"""Subscriptions at the command line: looked at, resumed, reset, deleted."""

from __future__ import annotations

import asyncio
import datetime
from typing import Annotated, Any

import typer

from emberkeep.base import clock
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    IsSure,
    check_text,
    confirm,
    hint,
    open_settings,
    print_json,
    say,
    show_table,
)
from emberkeep.base.place import Place
from emberkeep.events import service
from emberkeep.events.commands.console import Schema, open_store
from emberkeep.events.commands.sources import (
    Name,
    SourceOption,
    find_position,
    parse_start,
    show_source,
)
from emberkeep.events.model import DEFAULT_SCHEMA, Consumer, SubscriptionId, SubscriptionState
from emberkeep.events.service import operators
from emberkeep.events.service.operators import SubscriptionReport


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command()(subscriptions)
    app.command()(resume)
    app.command()(reset_subscription)
    app.command()(delete_subscription)


def subscriptions(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="One of them, with who works on it.", callback=check_text
        ),
    ] = None,
    source: SourceOption = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """List the persistent subscriptions: where they are, who works on them, what they parked.

    `behind` counts the versions or positions that are still before it. Of `leased` 1/4 says that
    one partition of four has a consumer at present.
    """
    if name is None and source is not None:
        raise typer.BadParameter("--source needs a NAME")

    async def find_all(place: Place) -> list[SubscriptionState]:
        async with open_store(place, schema) as conn:
            return await service.list_subscriptions(conn, schema=schema)

    async def find_one(place: Place, subscription_id: SubscriptionId) -> SubscriptionReport:
        async with open_store(place, schema) as conn:
            return await operators.read_report(
                conn, subscription_id=subscription_id, source=source, schema=schema
            )

    with open_settings() as (_, place):
        if name is None:
            found = asyncio.run(find_all(place))
        else:
            found = asyncio.run(find_one(place, SubscriptionId(name)))
    if as_json:
        print_json({"items": found} if isinstance(found, list) else found)
    elif isinstance(found, list):
        _show_all(found)
    else:
        _show_one(found, now=clock.read_now())


def _show_all(states: list[SubscriptionState]) -> None:
    if not states:
        say("no subscriptions")
        return
    columns = ("name", "follows", "after", "behind", "leased", "consumers", "parked", "")
    rows = [
        (
            state.subscription_id,
            show_source(state.stream_id),
            str(find_position(state)),
            f"{state.lag:,}",
            f"{state.leased}/{state.concurrency_limit}",
            str(state.consumers),
            str(state.parked),
            f"stopped: {state.stop_error}" if state.stopped else "",
        )
        for state in states
    ]
    show_table(columns, rows)


def _show_one(report: SubscriptionReport, *, now: datetime.datetime) -> None:
    state = report.subscription
    rows = [
        ("follows", show_source(state.stream_id)),
        ("after", str(find_position(state))),
        ("behind", f"{state.lag:,}"),
        ("partitions", f"{state.concurrency_limit}, of which {state.leased} leased"),
        ("parked", str(state.parked)),
        ("began at (UTC)", f"{state.created_at:{INSTANT}}"),
        ("moved at (UTC)", f"{state.updated_at:{INSTANT}}"),
    ]
    if state.stopped:
        rows.append(
            ("stopped", f"{state.stopped} of {state.concurrency_limit}: {state.stop_error}")
        )
    show_table((state.subscription_id, ""), rows)
    if report.consumers:
        say("")
        columns = ("consumer", "partitions", "joined at (UTC)", "last seen")
        show_table(columns, [_describe(consumer, now) for consumer in report.consumers])
    else:
        say("nobody works on it")
    if state.stopped:
        hint(f"once the cause is mended: {_name_command('resume', state)}")
    if state.parked:
        hint(f"what it could not handle: {_name_command('parked', state)}")


def _describe(consumer: Consumer, now: datetime.datetime) -> tuple[str, ...]:
    silent_s = max(0, round((now - consumer.seen_at).total_seconds()))
    return (
        consumer.consumer_name,
        ", ".join(map(str, consumer.partitions)) or "waits",
        f"{consumer.joined_at:{INSTANT}}",
        f"{silent_s:,} s ago",
    )


def _name_command(command: str, state: SubscriptionState) -> str:
    return f"emberkeep events {command} {state.subscription_id}"


def resume(
    name: Name,
    source: SourceOption = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Let partitions that stopped at an event go on, with that event first."""

    async def act(place: Place) -> tuple[SubscriptionState, int]:
        async with open_store(place, schema) as conn:
            state = await operators.choose_subscription(
                conn, subscription_id=SubscriptionId(name), source=source, schema=schema
            )
            resumed = await service.resume_subscription(
                conn,
                subscription_id=SubscriptionId(name),
                source=service.parse_source(state.stream_id),
                schema=schema,
            )
        return state, resumed

    with open_settings() as (_, place):
        state, resumed = asyncio.run(act(place))
    if as_json:
        print_json({"subscription_id": name, "stream_id": state.stream_id, "partitions": resumed})
    elif resumed:
        say(f"{name}: {resumed} of {state.concurrency_limit} partitions go on")
    else:
        say(f"{name}: nothing had stopped")


def reset_subscription(
    name: Name,
    after: Annotated[
        Any,
        typer.Option(
            parser=parse_start,
            metavar="origin|current|N",
            help="Go on after this version of its stream, or this position.",
            show_default="where its slowest partition is",
        ),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Have it fall into so many.", show_default="as before"),
    ] = None,
    source: SourceOption = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Have a subscription go on elsewhere, or fall into another number of partitions.

    Events between where it was and where it goes on are handled once more, or never. With
    --partitions alone none is skipped, but some may come twice; its consumers end, unless they are
    started anew with the same number.
    """
    if after is None and partitions is None:
        raise typer.BadParameter("needs --after, --partitions or both")

    async def act(place: Place) -> SubscriptionState:
        async with open_store(place, schema) as conn:
            return await operators.reset_to(
                conn,
                subscription_id=SubscriptionId(name),
                source=source,
                after=after,
                concurrency_limit=partitions,
                now=clock.read_now(),
                schema=schema,
            )

    with open_settings() as (_, place):
        state = asyncio.run(act(place))
    if as_json:
        print_json(state)
    else:
        count = state.concurrency_limit
        said = "in one partition" if count == 1 else f"in {count} partitions"
        say(f"{name}: goes on after {find_position(state)}, {said}, {state.lag:,} behind")


def delete_subscription(
    name: Name,
    source: SourceOption = None,
    is_sure: IsSure = False,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Forget a subscription: its place, and what it parked. Whoever works on it ends."""
    confirm(f"Forget where {name} is, and what it parked?", is_sure=is_sure)

    async def act(place: Place) -> SubscriptionState:
        async with open_store(place, schema) as conn:
            state = await operators.choose_subscription(
                conn, subscription_id=SubscriptionId(name), source=source, schema=schema
            )
            await service.delete_subscription(
                conn,
                subscription_id=SubscriptionId(name),
                source=service.parse_source(state.stream_id),
                schema=schema,
            )
        return state

    with open_settings() as (_, place):
        state = asyncio.run(act(place))
    if as_json:
        print_json({"deleted": name, "stream_id": state.stream_id})
    else:
        say(
            f"{name}: deleted; it was after {find_position(state)} of {show_source(state.stream_id)}"
        )
