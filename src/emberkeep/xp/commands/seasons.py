"""`emberkeep xp seasons …`: the calendar."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import msgspec
import typer

from emberkeep.base import page
from emberkeep.base.config import Settings
from emberkeep.base.console import (
    AsJson,
    IsSure,
    check_text,
    confirm,
    print_json,
    say,
    show_table,
)
from emberkeep.base.db import Connection
from emberkeep.base.etag import format_etag
from emberkeep.xp.commands.console import ACTOR, Limit, Reason, run
from emberkeep.xp.commands.operating import IfMatch, find_key, show_steps
from emberkeep.xp.model import CatalogueSubject, Season, SeasonId, SeasonOutlook, SeasonSpan
from emberkeep.xp.rules.catalogue import find_default_version
from emberkeep.xp.service import seasons as service
from emberkeep.xp.service.catalogue import load_catalogue

_group = typer.Typer(name="seasons", help="The calendar of seasons.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="SEASON", help="The season's name.", callback=check_text)
]
Day = Annotated[datetime.datetime, typer.Option(formats=["%Y-%m-%d"], metavar="DAY")]
DisplayName = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="What players read; none: its name.", callback=check_text),
]
NewDisplayName = Annotated[
    str | None,
    typer.Option(
        "--display-name",
        metavar="TEXT",
        help="What players read; none: as it is.",
        callback=check_text,
    ),
]
TimeZone = Annotated[
    str, typer.Option(metavar="IANA", help="Whose reward day it is.", callback=check_text)
]
At = Annotated[str | None, typer.Option(metavar="ISO", help="Seen from this instant; none: now.")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.add_typer(_group)


@_group.command(name="list")
def list_seasons(
    when: Annotated[
        SeasonSpan | None, typer.Option(help="Only those that lie so; none: all.")
    ] = None,
    time_zone: TimeZone = "UTC",
    as_json: AsJson = False,
) -> None:
    """Print the calendar, in order."""

    async def act(conn: Connection, settings: Settings, now: datetime.datetime) -> list[Season]:
        day = await _find_day(conn, settings, now, time_zone)
        return await service.list_seasons(conn, span=when, day=day)

    seasons = run(act)
    if as_json:
        print_json(seasons)
    else:
        _show(*seasons)


@_group.command()
def show(season_id: Name, as_json: AsJson = False) -> None:
    """Print a season."""

    async def act(conn: Connection, _: Settings, __: datetime.datetime) -> Season:
        return await service.read_season(conn, season_id=SeasonId(season_id))

    _print(run(act), as_json=as_json)


@_group.command()
def current(at: At = None, time_zone: TimeZone = "UTC", as_json: AsJson = False) -> None:
    """Print the season of now, and the one that begins next."""

    async def act(conn: Connection, settings: Settings, now: datetime.datetime) -> SeasonOutlook:
        instant = now if at is None else service.read_instant(at)
        day = await _find_day(conn, settings, instant, time_zone)
        return await service.read_outlook(conn, day=day)

    outlook = run(act)
    if as_json:
        print_json(outlook)
        return
    say(f"reward day {outlook.reward_day_id} in {time_zone}")
    for name, season in (("current", outlook.current), ("next", outlook.next)):
        say(f"{name}: {'none' if season is None else _describe(season)}")


@_group.command()
def create(
    season_id: Name,
    start: Day,
    end: Day,
    display_name: DisplayName = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Add a season of the reward days from --start to --end, both included."""
    season = _make(season_id, start, end, display_name)

    async def act(conn: Connection, _: Settings, now: datetime.datetime) -> Season:
        return await service.create_season(conn, season=season, actor=ACTOR, reason=reason, now=now)

    _print(run(act), as_json=as_json)


@_group.command()
def edit(
    season_id: Name,
    start: Day,
    end: Day,
    display_name: NewDisplayName = None,
    reason: Reason = "",
    if_match: IfMatch = None,
    as_json: AsJson = False,
) -> None:
    """Change a season that has begun nowhere on earth. Its name stays unless another is said."""
    season = _make(season_id, start, end, display_name)

    async def act(conn: Connection, _: Settings, now: datetime.datetime) -> Season:
        return await service.edit_season(
            conn,
            season=season,
            expected_tag=if_match,
            actor=ACTOR,
            reason=reason,
            now=now,
        )

    _print(run(act), as_json=as_json)


@_group.command()
def delete(
    season_id: Name,
    reason: Reason = "",
    if_match: IfMatch = None,
    is_sure: IsSure = False,
    as_json: AsJson = False,
) -> None:
    """Take a season that has begun nowhere on earth out of the calendar."""
    confirm(f"Delete the season {season_id}?", is_sure=is_sure)

    async def act(conn: Connection, _: Settings, now: datetime.datetime) -> None:
        await service.delete_season(
            conn,
            season_id=SeasonId(season_id),
            expected_tag=if_match,
            actor=ACTOR,
            reason=reason,
            now=now,
        )

    run(act)
    if as_json:
        print_json({"season_id": season_id, "deleted": True})
    else:
        say(f"{season_id}: deleted")


@_group.command()
def audit(season_id: Name, limit: Limit = page.DEFAULT_ITEMS, as_json: AsJson = False) -> None:
    """List every step that was taken with a season, newest first. --json has what each changed."""
    show_steps(CatalogueSubject.SEASON, season_id, limit=limit, as_json=as_json)


async def _find_day(
    conn: Connection, settings: Settings, at: datetime.datetime, time_zone: str
) -> datetime.date:
    catalogue = await load_catalogue(conn)
    version = find_default_version(catalogue, policy_key=find_key(None, settings), at=at)
    return service.find_day(
        at=at, time_zone=time_zone, version=version, server_zone=settings.server_time_zone
    )


def _make(
    season_id: str, start: datetime.datetime, end: datetime.datetime, display_name: str | None
) -> Season:
    return Season(
        season_id=SeasonId(season_id),
        start_date=start.date(),
        end_date=end.date(),
        display_name=display_name,
    )


def _print(season: Season, *, as_json: bool) -> None:
    if as_json:
        said: dict[str, Any] = msgspec.to_builtins(season)
        print_json({**said, "etag": format_etag(service.find_tag(season))})
    else:
        _show(season)


def _show(*seasons: Season) -> None:
    rows = [
        (s.season_id, s.start_date.isoformat(), s.end_date.isoformat(), s.display_name or "")
        for s in seasons
    ]
    show_table(("season", "from", "to", "shown as"), rows)


def _describe(season: Season) -> str:
    return f"{season.season_id}, {season.start_date} to {season.end_date}"
