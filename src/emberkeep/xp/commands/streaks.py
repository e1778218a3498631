"""Streaks at the command line: how they stand, and what is done to them beside claims."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from emberkeep.base import clock, page
from emberkeep.base.config import Settings
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    check_text,
    hint,
    print_json,
    say,
    show_table,
)
from emberkeep.base.db import Connection
from emberkeep.base.page import Page
from emberkeep.xp.commands.console import ACTOR, Answer, Limit, Reason, parse_day, run
from emberkeep.xp.model import (
    PauseWish,
    PlayerId,
    PolicyKey,
    RepairWish,
    StreakAction,
    StreakStanding,
)
from emberkeep.xp.service import streaks
from emberkeep.xp.service.catalogue import load_catalogue
from emberkeep.xp.service.streak_deeds import Cause
from emberkeep.xp.service.streaks import Ground

_group = typer.Typer(
    name="streaks",
    help="Streaks: how they stand, and freezes, pauses and repairs.",
    no_args_is_help=True,
)


def _parse_id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as e:
        raise typer.BadParameter("is not a UUID") from e


Player = Annotated[
    str, typer.Argument(metavar="PLAYER", help="The player's id.", callback=check_text)
]
CauseId = Annotated[
    uuid.UUID | None,
    typer.Option(
        "--id",
        parser=_parse_id,
        metavar="UUID",
        help="Of the cause: with the same one it is done once, however often it is asked for.",
    ),
]


def _day_option(name: str, explains: str) -> object:
    return typer.Option(name, parser=parse_day, metavar="YYYY-MM-DD", help=explains)


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    for command in (show, grant_freezes, pause, resume, repair, actions):
        _group.command()(command)
    app.add_typer(_group)


def _run(act: Callable[[Connection, Ground], Awaitable[Answer]]) -> Answer:
    async def work(conn: Connection, settings: Settings, _: datetime.datetime) -> Answer:
        ground = Ground(
            catalogue=await load_catalogue(conn),
            policy_key=PolicyKey(settings.default_policy_key),
            server_zone=settings.server_time_zone,
        )
        return await act(conn, ground)

    return run(work)


def _make_cause(reason: str, cause_id: uuid.UUID | None) -> Cause:
    return Cause(
        correlation_id=cause_id or clock.new_id(),
        actor=ACTOR,
        reason=reason,
        now=clock.read_now(),
    )


def show(player: Player, as_json: AsJson = False) -> None:
    """Print how the streak of PLAYER stands, and what keeps it."""

    async def act(conn: Connection, ground: Ground) -> StreakStanding:
        return await streaks.read_streak(
            conn, player_id=PlayerId(player), ground=ground, now=clock.read_now()
        )

    standing = _run(act)
    if as_json:
        print_json(standing)
        return
    show_table((player, ""), _list_rows(standing))


def _list_rows(standing: StreakStanding) -> list[tuple[str, str]]:
    freezes, pause = standing.freezes, standing.pause
    held = f"{freezes.held}" if freezes.max_held is None else f"{freezes.held}/{freezes.max_held}"
    rows = [
        ("current", str(standing.current)),
        ("longest", str(standing.longest)),
        ("grace used", str(standing.grace_used)),
        ("last day claimed", str(standing.last_reward_day_id or "never")),
        ("today", str(standing.today)),
        ("freezes held", held),
    ]
    if freezes.claims_to_next is not None:
        rows.append(("claims to the next", str(freezes.claims_to_next)))
    if pause is not None:
        name = "paused" if pause.is_running else "to be paused"
        rows.append((name, f"{pause.first_day} to {pause.last_day}"))
    return rows


def grant_freezes(
    player: Player,
    amount: Annotated[int, typer.Option(help="How many; negative: taken away.")],
    reason: Reason,
    cause_id: CauseId = None,
    as_json: AsJson = False,
) -> None:
    """Give PLAYER freezes, up to what the policy allows; or take them, down to none."""

    async def act(conn: Connection, ground: Ground) -> StreakAction:
        return await streaks.grant_freezes(
            conn,
            player_id=PlayerId(player),
            amount=amount,
            ground=ground,
            cause=_make_cause(reason, cause_id),
        )

    action = _run(act)
    _tell(action, f"{player}: {action.freezes:+} freezes", as_json=as_json)


def pause(
    player: Player,
    last_day: Annotated[datetime.date, _day_option("--until", "The last day, included.")],
    first_day: Annotated[
        datetime.date | None,
        _day_option("--from", "The first day; without it, the next one to claim."),
    ] = None,
    reason: Reason = "",
    cause_id: CauseId = None,
    as_json: AsJson = False,
) -> None:
    """Pause the streak of PLAYER: the days do not count as missed. Claims count as ever."""

    async def act(conn: Connection, ground: Ground) -> StreakAction:
        return await streaks.pause_streak(
            conn,
            player_id=PlayerId(player),
            wish=PauseWish(first_day=first_day, last_day=last_day),
            ground=ground,
            cause=_make_cause(reason, cause_id),
        )

    action = _run(act)
    line = f"{player}: paused from {action.first_day} to {action.last_day}"
    _tell(action, line, as_json=as_json)


def resume(
    player: Player,
    reason: Reason = "",
    cause_id: CauseId = None,
    as_json: AsJson = False,
) -> None:
    """End the pause of PLAYER as of today."""

    async def act(conn: Connection, ground: Ground) -> StreakAction:
        return await streaks.resume_streak(
            conn,
            player_id=PlayerId(player),
            ground=ground,
            cause=_make_cause(reason, cause_id),
        )

    _tell(_run(act), f"{player}: resumed", as_json=as_json)


def repair(
    player: Player,
    reason: Reason,
    streak_day: Annotated[
        int | None, typer.Option("--streak", help="What the streak was to be at the last claim.")
    ] = None,
    excuse_from: Annotated[
        datetime.date | None, _day_option("--excuse-from", "The first missed day to excuse.")
    ] = None,
    excuse_to: Annotated[
        datetime.date | None, _day_option("--excuse-to", "The last one, included.")
    ] = None,
    cause_id: CauseId = None,
    as_json: AsJson = False,
) -> None:
    """Set the streak of PLAYER to what it should be, or excuse days that were missed, or both."""

    async def act(conn: Connection, ground: Ground) -> StreakAction:
        return await streaks.repair_streak(
            conn,
            player_id=PlayerId(player),
            wish=RepairWish(streak_day=streak_day, excuse_from=excuse_from, excuse_to=excuse_to),
            ground=ground,
            cause=_make_cause(reason, cause_id),
        )

    _tell(_run(act), f"{player}: repaired", as_json=as_json)


def actions(
    player: Player,
    limit: Limit = page.DEFAULT_ITEMS,
    after: Annotated[
        str | None, typer.Option(metavar="NEXT", help="The `next` of the page before.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what was done to the streak of PLAYER beside claims, newest first."""

    async def act(conn: Connection, _: Ground) -> Page[StreakAction]:
        return await streaks.list_actions(
            conn, player_id=PlayerId(player), limit=limit, after=after
        )

    found = _run(act)
    if as_json:
        print_json(found)
        return
    rows = [
        (f"{a.created_at:{INSTANT}}", a.kind.value, _describe(a), a.actor, a.reason)
        for a in found.items
    ]
    show_table(("at (UTC)", "kind", "what", "by", "why"), rows)
    if found.next is not None:
        hint(f"--after {found.next} shows more")


def _describe(action: StreakAction) -> str:
    parts: list[str] = []
    if action.freezes is not None:
        parts.append(f"{action.freezes:+}")
    if action.streak_day is not None:
        parts.append(f"streak {action.streak_day}")
    if action.first_day is not None:
        parts.append(f"{action.first_day} to {action.last_day}")
    return ", ".join(parts)


def _tell(action: StreakAction, line: str, *, as_json: bool) -> None:
    if as_json:
        print_json(action)
    else:
        say(line)
