"""`emberkeep xp simulate`: what versions of a policy would have paid, as a table, files or a page.

What needs numpy or a template is imported when it is asked for: every other command starts sooner.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from emberkeep.base import clock
from emberkeep.base.console import (
    STDIN,
    AsJson,
    hint,
    open_settings,
    print_json,
    read_bytes,
    say,
    show_table,
)
from emberkeep.base.db import connect
from emberkeep.base.place import Place
from emberkeep.xp.commands.console import parse_day
from emberkeep.xp.commands.history import open_lines
from emberkeep.xp.commands.outputs import check_target, render_days, render_files, write_files
from emberkeep.xp.model import Contender, PolicyKey, Season, Simulation
from emberkeep.xp.rules import history
from emberkeep.xp.rules.policy import DEFAULT_MAX_AWARD_XP, parse_policy

if TYPE_CHECKING:
    from emberkeep.xp.service.simulation import Lineup, Span

_REPORT: Final = "report.html"
_SHOWN_PLAYERS: Final = 3
_WHOLE_PERCENT: Final = 100

Version = tuple[PolicyKey, int]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("simulate")(simulate)


def _parse_version(text: str) -> Version:
    key, colon, number = text.rpartition(":")
    if not colon or not key or not number.isdecimal():
        raise typer.BadParameter(f"{text}: is not KEY:N, such as daily-login:3")
    return PolicyKey(key), int(number)


def simulate(
    policy: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A policy, a JSON document; once for each."),
    ] = None,
    version: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY:N",
            help="A version that the database holds, drafts too; once for each.",
        ),
    ] = None,
    activity: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A login history as CSV, also as .gz; `-`: the input."),
    ] = None,
    seasons: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Seasons in place of those there are.")
    ] = None,
    from_day: Annotated[
        datetime.date | None,
        typer.Option("--from", parser=parse_day, metavar="DAY", help="The first day counted."),
    ] = None,
    to_day: Annotated[
        datetime.date | None,
        typer.Option("--to", parser=parse_day, metavar="DAY", help="The last day counted."),
    ] = None,
    sample_percent: Annotated[
        int, typer.Option(min=1, max=100, help="Of the players with recorded claims.")
    ] = _WHOLE_PERCENT,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write JSON, CSV and the report there.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report: one page with charts.")
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print XP by day as CSV.")] = False,
) -> None:
    """Show side by side what policies would have paid to past players; nothing is written to them.

    Over a login history with --activity, else over the claims that the database holds. The version
    in force comes first and is what the others are compared with; without one it is the first that
    was named. Policies and a history from files need neither database nor settings.
    """
    from emberkeep.xp.service.simulation import MAX_CONTENDERS, Span, check_span

    policies, versions = policy or [], [_parse_version(text) for text in version or []]
    if not 1 <= len(policies) + len(versions) <= MAX_CONTENDERS:
        raise typer.BadParameter(f"name 1 to {MAX_CONTENDERS} policies, by --policy or --version")
    if [*policies, activity, seasons].count(Path(STDIN)) > 1:
        raise typer.BadParameter("only one file can be the standard input")
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if activity is not None and sample_percent != _WHOLE_PERCENT:
        raise typer.BadParameter("--sample-percent is for recorded claims, not for --activity")
    for target in (out, html):
        check_target(target)
    span = Span(from_day=from_day, to_day=to_day)
    check_span(span)
    given = history.parse_seasons(read_bytes(seasons)) if seasons is not None else None
    if activity is not None and not versions:
        found = _simulate_files(policies, activity, given or (), span)
    else:
        found = _simulate_with_database(
            policies, versions, activity, given, span, sample_percent=sample_percent
        )
    _put_out(found, out=out, html=html, as_json=as_json, as_csv=as_csv)


def _simulate_files(
    policies: Sequence[Path], activity: Path, seasons: Sequence[Season], span: Span
) -> Simulation:
    from emberkeep.xp.service.simulation import Lineup

    contenders = _read_policies(policies, max_award_xp=DEFAULT_MAX_AWARD_XP)
    lineup = Lineup(contenders=contenders, seasons=tuple(seasons))
    return _simulate_activity(activity, lineup, span)


def _read_policies(paths: Sequence[Path], *, max_award_xp: int) -> tuple[Contender, ...]:
    names = [path.name for path in paths]
    return tuple(
        Contender(
            # Files of one name in several folders are told apart by where they are.
            name=path.name if names.count(path.name) == 1 else str(path),
            policy=parse_policy(read_bytes(path), max_award_xp=max_award_xp),
        )
        for path in paths
    )


def _simulate_activity(activity: Path, lineup: Lineup, span: Span) -> Simulation:
    from emberkeep.xp.service.simulation import simulate_activity

    with open_lines(activity) as lines, _make_progress() as progress:
        return simulate_activity(
            lines,
            lineup,
            span,
            latest=clock.read_now(),
            on_progress=_Shown(progress, "reading", "lines"),
        )


def _simulate_with_database(
    policies: Sequence[Path],
    versions: Sequence[Version],
    activity: Path | None,
    seasons: Sequence[Season] | None,
    span: Span,
    *,
    sample_percent: int,
) -> Simulation:
    with open_settings() as (settings, place):
        documents = _read_policies(policies, max_award_xp=settings.max_award_xp)
        lineup = asyncio.run(_find_lineup(place, versions, documents, seasons))
        if activity is not None:
            return _simulate_activity(activity, lineup, span)
        with _make_progress() as progress:
            shown = _Shown(progress, "replaying", "claims")
            return asyncio.run(_simulate_recorded(place, lineup, span, sample_percent, shown))


async def _find_lineup(
    place: Place,
    versions: Sequence[Version],
    documents: Sequence[Contender],
    seasons: Sequence[Season] | None,
) -> Lineup:
    from emberkeep.xp.service.simulation import Lineup, find_lineup

    async with await connect(place.dsn) as conn:
        lineup = await find_lineup(
            conn, versions=versions, documents=documents, now=clock.read_now()
        )
    if seasons is None:
        return lineup
    return Lineup(contenders=lineup.contenders, seasons=tuple(seasons))


async def _simulate_recorded(
    place: Place, lineup: Lineup, span: Span, sample_percent: int, shown: _Shown
) -> Simulation:
    from emberkeep.xp.service.simulation import simulate_recorded_claims

    async with await connect(place.dsn) as conn:
        return await simulate_recorded_claims(
            conn,
            lineup,
            span,
            sample_percent=sample_percent,
            max_claims=None,
            on_progress=shown,
        )


class _Shown:
    """Moves a bar, whose end may not be known."""

    def __init__(self, progress: Progress, doing: str, unit: str) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(doing, total=None, unit=unit)

    def __call__(self, done: int, total: int | None) -> None:
        self._progress.update(self._task, completed=done, total=total)


def _make_progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} {task.fields[unit]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _put_out(
    found: Simulation, *, out: Path | None, html: Path | None, as_json: bool, as_csv: bool
) -> None:
    if out is not None or html is not None:
        from emberkeep.xp.commands.report import render_report

        page = render_report(found)
        if out is not None:
            write_files(out, {**render_files(found), _REPORT: page})
        if html is not None:
            write_files(html.parent, {html.name: page})
    if as_json:
        print_json(found)
    elif as_csv:
        typer.echo(render_days(found), nl=False)
    else:
        _show(found)
        for target in (out, html):
            if target is not None:
                hint(f"written: {target}")


def _show(found: Simulation) -> None:
    say(f"{found.players:,} players")
    show_table(
        ("", "XP", "inflation", "claims", "XP/claim", "XP/player", "grace", "freezes"),
        [
            (
                version.name,
                f"{version.xp:,}",
                _show_inflation(version.inflation_percent, is_baseline=version.is_baseline),
                f"{version.claims:,}",
                version.xp_per_claim,
                version.xp_per_player,
                f"{version.grace_days:,}",
                f"{version.freezes_used:,}",
            )
            for version in found.versions
        ],
    )
    for comparison in found.comparisons:
        say("")
        say(
            f"{comparison.name}: {comparison.players_gaining:,} players gain"
            f" {comparison.xp_gained:,} XP, {comparison.players_losing:,} lose"
            f" {comparison.xp_lost:,}, {comparison.players_unchanged:,} keep what they have."
        )
        for change in (
            *comparison.largest_gains[:_SHOWN_PLAYERS],
            *comparison.largest_losses[:_SHOWN_PLAYERS],
        ):
            say(
                f"  {change.change_xp:+,} XP  {change.player_id}"
                f" ({change.baseline_xp:,} to {change.xp:,})"
            )
    for note in found.notes:
        hint(f"note: {note}")


def _show_inflation(percent: str | None, *, is_baseline: bool) -> str:
    if percent is None:
        return "baseline" if is_baseline else ""
    return f"{percent} %" if percent.startswith("-") else f"+{percent} %"
