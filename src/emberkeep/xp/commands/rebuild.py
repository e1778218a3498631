"""Rebuilds at the command line: balances and streaks, folded from their history again."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from emberkeep.base import clock
from emberkeep.base.console import (
    AsJson,
    check_text,
    hint,
    open_settings,
    print_json,
    run_until_told,
    say,
    show_table,
)
from emberkeep.base.db import connect
from emberkeep.base.place import Place
from emberkeep.migrate import service as migrations
from emberkeep.xp.commands.console import ACTOR
from emberkeep.xp.model import (
    Balance,
    KeptStreak,
    PlayerId,
    RebuildReport,
    RebuildTarget,
    StreakState,
)
from emberkeep.xp.service import rebuild as service
from emberkeep.xp.service.streak_deeds import Cause

_MOST_CHUNK: Final = 10_000


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("rebuild")(rebuild)


def rebuild(
    what: Annotated[RebuildTarget, typer.Argument(metavar="streaks|balances")],
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would change.")
    ] = False,
    player: Annotated[
        str | None, typer.Option(metavar="ID", help="Of this player only.", callback=check_text)
    ] = None,
    chunk: Annotated[
        int, typer.Option(min=1, max=_MOST_CHUNK, help="Players in one transaction.")
    ] = service.CHUNK_PLAYERS,
    as_json: AsJson = False,
) -> None:
    """Fold balances from the ledger, or streaks from awards and actions, and mend what differs.

    Players of one chunk after the other wait for a moment; the service need not stop. Ctrl-C ends it
    between two chunks: what was mended stays so, and the next run goes through all of them again.
    """
    found: list[RebuildReport] = []

    async def work(place: Place) -> None:
        now = clock.read_now()
        await migrations.require_current(place.owner_dsn)
        async with await connect(place.dsn, application="emberkeep xp rebuild") as conn:
            with _make_progress() as progress:
                task = progress.add_task("", players=0, changed=0)

                def show(players: int, changed: int) -> None:
                    progress.update(task, players=players, changed=changed)

                report = await service.rebuild(
                    conn,
                    what=what,
                    is_dry_run=is_dry_run,
                    player_id=None if player is None else PlayerId(player),
                    cause=Cause(correlation_id=clock.new_id(), actor=ACTOR, now=now),
                    chunk_players=chunk,
                    on_progress=show,
                )
        found.append(report)

    with open_settings() as (_, place):
        is_through = run_until_told(work(place))
    if not is_through:
        hint("stopped: what was mended so far stays so")
        raise typer.Exit(1)
    _show(found[0], as_json=as_json)
    if found[0].unreadable_players:
        raise typer.Exit(1)


def _make_progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[players]:,} players, {task.fields[changed]:,} differ"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _show(report: RebuildReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    changes = (*report.streaks, *report.balances)
    if changes:
        rows = [(c.player_id, _describe(c.before), _describe(c.after)) for c in changes]
        show_table(("player", "before", "after"), rows)
    verb = "would be changed" if report.is_dry_run else "changed"
    say(f"{report.what}: {report.players:,} players, {report.changed:,} {verb}")
    if report.unreadable_players:
        names = ", ".join(report.unreadable)
        say(f"the history of {report.unreadable_players:,} cannot be read: {names}")


def _describe(value: KeptStreak | StreakState | Balance | None) -> str:
    match value:
        case None:
            return "nothing"
        case Balance():
            season = f" in {value.season_id}" if value.season_id else ""
            return f"{value.current}, lifetime {value.lifetime}, seasonal {value.seasonal}{season}"
        case StreakState():
            last_day = value.last_reward_day
        case KeptStreak():
            last_day = value.last_reward_day_id
    figures = f"{value.current_streak}, longest {value.longest_streak}, grace {value.grace_used}"
    kept = "unreadable" if value.model_state is None else dict(value.model_state)
    return f"{figures}, {last_day or 'never claimed'}, {kept}"
