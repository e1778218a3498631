"""Follow at the command line: events are printed as they come."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from emberkeep.base.config import Settings
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    check_text,
    hint,
    make_printable,
    open_settings,
    print_json,
    run_until_told,
)
from emberkeep.base.place import Place
from emberkeep.events import service
from emberkeep.events.commands.console import Schema, open_hub, shorten
from emberkeep.events.commands.sources import (
    SourceArgument,
    find_position,
    parse_source_name,
    parse_start,
    show_source,
)
from emberkeep.events.model import (
    ALL_STREAMS,
    DEFAULT_SCHEMA,
    LeaseLost,
    OneStream,
    RecordedEvent,
    Source,
    Start,
    StartFrom,
    SubscriptionId,
    SubscriptionPlan,
    SubscriptionState,
    SubscriptionUnknown,
)
from emberkeep.events.service import Subscription, SubscriptionHub
from emberkeep.events.service.operators import choose_subscription
from emberkeep.events.service.pages import make_item
from emberkeep.events.service.tails import begin_tail

_MOST_AT_ONCE: Final = 500


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command()(subscribe)


def subscribe(
    source: SourceArgument = ALL_STREAMS,
    start: Annotated[
        Any,
        typer.Option(
            "--from",
            parser=parse_start,
            metavar="origin|current|N",
            help="Where to begin, as read does: the first version; otherwise a position to go on"
            " after.",
        ),
    ] = "current",
    types: Annotated[
        str | None,
        typer.Option(
            "--types", metavar="T[,T…]", help="Only events of these types.", callback=check_text
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Keep the place under this name, and go on there the next time.",
            callback=check_text,
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="End after so many events.")
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Print events as they are appended, until Ctrl-C.

    With --name it is a persistent subscription, which acknowledges what it has printed: whatever
    comes while nobody follows is printed the next time, and --from counts only the first. Take a
    name of your own: events that another program should get under its name would come here.
    """
    event_types = None if types is None else tuple(t for t in types.split(",") if t)
    if event_types == ():
        raise typer.BadParameter("--types names no type")
    followed = parse_source_name(source)
    printer = _Printer(as_json=as_json, most=count)

    async def follow(settings: Settings, place: Place) -> None:
        async with open_hub(settings, place, schema) as hub:
            if name is None:
                await _follow(hub, followed, start, event_types, printer)
            else:
                plan = SubscriptionPlan(
                    subscription_id=SubscriptionId(name), source=followed, event_types=event_types
                )
                await _follow_by_name(hub, plan, start, printer)

    with open_settings() as (settings, place):
        run_until_told(follow(settings, place))


class _Printer:
    """Prints events, and knows when those that were asked for are."""

    def __init__(self, *, as_json: bool, most: int | None) -> None:
        self._as_json = as_json
        self._left = most

    @property
    def room(self) -> int:
        """How many events can be printed at once; 0 means that it is done."""
        return _MOST_AT_ONCE if self._left is None else min(self._left, _MOST_AT_ONCE)

    def print(self, events: Sequence[RecordedEvent]) -> None:
        """Print events; when it returns they are where the output goes."""
        if self._as_json:
            print_json(*map(make_item, events))
        else:
            # Not by `say`: where nobody reads any more, that ends the process on the spot.
            typer.echo("\n".join(make_printable(_describe(event)) for event in events))
        if self._left is not None:
            self._left -= len(events)


def _describe(event: RecordedEvent) -> str:
    stands = f"{event.stream_id} {event.stream_version}"
    parts = (
        f"{event.created_at:{INSTANT}}",
        str(event.event_id),
        stands,
        event.event_type,
        shorten(event.data_json),
    )
    return "  ".join(parts)


async def _follow(
    hub: SubscriptionHub,
    source: Source,
    start: Start,
    event_types: tuple[str, ...] | None,
    printer: _Printer,
) -> None:
    after = None if start is StartFrom.CURRENT else _find_after(source, start)
    events = await begin_tail(hub, source, after=after, event_types=event_types)
    hint(f"following {_show(source)} {_show_start(source, start)}; Ctrl-C ends it")
    async for event in events:
        printer.print([event])
        if not printer.room:
            return


async def _follow_by_name(
    hub: SubscriptionHub, plan: SubscriptionPlan, start: Start, printer: _Printer
) -> None:
    state = await _look(hub, plan)
    if state is None:
        plan = _begin(plan, start)
        begins = _show_start(plan.source, start)
    else:
        begins = f"again, after {find_position(state)}"
    hint(f"following {_show(plan.source)} as {plan.subscription_id} {begins}; Ctrl-C ends it")
    if state is not None:
        _warn(state)
    async with hub.subscribe(plan) as subscription:
        while printer.room:
            await _print_batch(subscription, printer)
        with contextlib.suppress(LeaseLost):
            await subscription.flush()


async def _print_batch(subscription: Subscription, printer: _Printer) -> None:
    deliveries = await subscription.next_batch(printer.room)
    printer.print([delivery.event for delivery in deliveries])
    # Who takes over prints them once more: at least once is what is promised.
    with contextlib.suppress(LeaseLost):
        await subscription.acknowledge_batch(deliveries)


async def _look(hub: SubscriptionHub, plan: SubscriptionPlan) -> SubscriptionState | None:
    """Return where the subscription stands, if it is there."""
    async with hub.database.connection() as conn:
        with contextlib.suppress(SubscriptionUnknown):
            return await choose_subscription(
                conn,
                subscription_id=plan.subscription_id,
                source=plan.source,
                schema=hub.schema,
            )
    return None


def _begin(plan: SubscriptionPlan, start: Start) -> SubscriptionPlan:
    """Return the plan with the place where it begins, as its source counts."""
    if isinstance(start, int):
        start = _find_after(plan.source, start)
    return dataclasses.replace(plan, start_from=start)


def _warn(state: SubscriptionState) -> None:
    """Say why nothing may come."""
    if state.stopped:
        hint(f"{state.subscription_id} has stopped: {state.stop_error}")
    elif state.leased:
        hint("somebody else works on it: nothing comes here until that one ends")


def _find_after(source: Source, start: Start) -> int:
    """Return the number to go on after; of a stream, `start` is the first version to print."""
    if not isinstance(start, int):
        return 0
    return max(start - 1, 0) if isinstance(source, OneStream) else start


def _show(source: Source) -> str:
    return show_source(service.name_source(source))


def _show_start(source: Source, start: Start) -> str:
    match start:
        case StartFrom.ORIGIN:
            return "from the beginning"
        case StartFrom.CURRENT:
            return "from now on"
        case number:
            return (
                f"from version {number} on" if isinstance(source, OneStream) else f"after {number}"
            )
