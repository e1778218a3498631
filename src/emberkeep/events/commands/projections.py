"""Projections at the command line: rebuilt, and the counts of event types, which are one."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from emberkeep.base import clock
from emberkeep.base.config import Settings
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    hint,
    open_settings,
    print_json,
    run_until_told,
    say,
    show_table,
)
from emberkeep.base.place import Place
from emberkeep.events import service
from emberkeep.events.commands.console import Schema, open_hub, open_store
from emberkeep.events.model import DEFAULT_SCHEMA, ProjectionUnknown
from emberkeep.events.service import Projection, make_type_counts
from emberkeep.events.service.operators import TypeCounts, read_type_counts
from emberkeep.events.service.stores import name_command

_MAKERS: Final = (make_type_counts,)


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command()(rebuild)
    app.command("types")(list_types)


def rebuild(
    name: Annotated[str, typer.Argument(metavar="PROJECTION", help="Such as event-type-counts.")],
    schema: Schema = DEFAULT_SCHEMA,
    as_json: AsJson = False,
) -> None:
    """Build a projection anew from the first event on, then let its readers see it.

    They see the old one meanwhile. A rebuild that was broken off goes on where it was.
    """
    projection = _find_projection(name, schema)
    started_at = clock.read_now()
    generations: list[int] = []

    async def build(settings: Settings, place: Place) -> None:
        async with open_hub(settings, place, schema) as hub:
            with _make_progress() as progress:
                task = progress.add_task(name, total=await hub.find_end(projection.source))

                def show(reached: int, end: int) -> None:
                    progress.update(task, completed=min(reached, end), total=end)

                generation = await service.rebuild_projection(hub, projection, on_progress=show)
                end = progress.tasks[task].total
                progress.update(task, completed=end)
        generations.append(generation)

    with open_settings() as (settings, place):
        run_until_told(build(settings, place))
    if not generations:
        hint("broken off; the same command goes on where it was")
        raise typer.Exit(1)
    seconds = round((clock.read_now() - started_at).total_seconds(), 3)
    if as_json:
        print_json({"projection": name, "generation": generations[0], "seconds": seconds})
    else:
        say(f"{name}: generation {generations[0]} is live, after {seconds:.1f} s")


def _find_projection(name: str, schema: str) -> Projection:
    """Return the projection of this name.

    :raises ProjectionUnknown: with those that there are
    """
    known = {projection.name: projection for projection in (make(schema) for make in _MAKERS)}
    if name not in known:
        raise ProjectionUnknown("there is no projection of this name", known=list(known))
    return known[name]


class _RateColumn(ProgressColumn):
    """How many positions a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


def _make_progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("positions"),
        _RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def list_types(schema: Schema = DEFAULT_SCHEMA, as_json: AsJson = False) -> None:
    """Say how many events of each type and form there are, as far as the worker has counted."""

    async def find(place: Place) -> TypeCounts:
        async with open_store(place, schema) as conn:
            return await read_type_counts(conn, schema=schema)

    with open_settings() as (_, place):
        found = asyncio.run(find(place))
    if as_json:
        print_json(found)
        return
    if found.items:
        columns = ("type", "form", "events", "last event", "at (UTC)")
        rows = [
            (
                item.event_type,
                str(item.event_version),
                f"{item.events:,}",
                str(item.last_event_id),
                f"{item.last_created_at:{INSTANT}}",
            )
            for item in found.items
        ]
        show_table(columns, rows)
    elif found.lag == 0:
        say("no events")
    else:
        say("nothing is counted yet")
    if found.lag is None:
        rebuilding = name_command("rebuild event-type-counts", schema)
        worker = "`emberkeep worker` counts; so does " if schema == DEFAULT_SCHEMA else ""
        hint(f"{worker}`{rebuilding}`" + ("" if worker else " counts them"))
    elif found.lag:
        hint(f"{found.lag:,} positions are still to be counted: `emberkeep worker` does that")
