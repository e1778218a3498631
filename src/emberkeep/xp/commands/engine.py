"""The rules at work on what stands on the command line or in files; no database."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from emberkeep.base.clock import UTC
from emberkeep.base.config import load_settings
from emberkeep.base.console import read_bytes
from emberkeep.xp.commands.console import parse_instant
from emberkeep.xp.model import AnchorStrategy, ClaimWindow
from emberkeep.xp.rules import document, history, reward_day
from emberkeep.xp.rules.policy import parse_policy

_STDIN: Final = Path("-")


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("evaluate")(evaluate_history)
    app.command("reward-day")(show_reward_day)


def evaluate_history(
    policy: Annotated[Path, typer.Option(metavar="FILE", help="The policy, a JSON document.")],
    days: Annotated[Path, typer.Option(metavar="FILE", help="The reward days with a claim.")],
    seasons: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The seasons; without it there are none.")
    ] = None,
    *,
    json_: Annotated[
        bool, typer.Option("--json", help="The output is JSON with or without it.")
    ] = False,
) -> None:
    """Print what a policy pays for a history of reward days: one JSON line a day.

    The days are in order, one a line or as a JSON list: `2026-01-31`, or `{"day": …, "at": …}`
    where a boost needs the instant. Seasons are a JSON list of objects with `season_id`,
    `start_date` and `end_date`. One of the files may be `-`, the standard input.
    """
    del json_
    if [policy, days, seasons].count(_STDIN) > 1:
        raise typer.BadParameter("only one file can be the standard input")
    max_award_xp = load_settings(os.environ).max_award_xp
    lines = history.evaluate(
        parse_policy(read_bytes(policy), max_award_xp=max_award_xp),
        history.parse_visits(read_bytes(days)),
        history.parse_seasons(read_bytes(seasons)) if seasons is not None else (),
    )
    for line in lines:
        typer.echo(json.dumps(line))


def show_reward_day(
    at: Annotated[
        datetime.datetime,
        typer.Option(parser=parse_instant, metavar="ISO", help="An instant, with its offset."),
    ],
    time_zone: Annotated[str, typer.Option(metavar="IANA", help="Such as Europe/Berlin.")],
    start_minutes: Annotated[
        int, typer.Option(min=0, max=1439, help="Minutes from local midnight to the boundary.")
    ] = 0,
    duration_hours: Annotated[
        int, typer.Option(min=1, max=24, help="How long a day can be claimed; 24: all of it.")
    ] = 24,
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the reward day that an instant belongs to, and when it can be claimed."""
    window = ClaimWindow(
        start_minutes=start_minutes,
        duration_hours=duration_hours,
        anchor_strategy=AnchorStrategy.ANCHOR_TIMEZONE,
    )
    zone = reward_day.check_time_zone(time_zone)
    found = reward_day.find_reward_day(at=at, time_zone=zone, window=window)
    is_open = at.astimezone(UTC) < found.closes_at
    answer = {
        "reward_day_id": found.day.isoformat(),
        "opens_at": document.format_instant(found.opens_at),
        "closes_at": document.format_instant(found.closes_at),
        "open": is_open,
        "next_opens_at": document.format_instant(found.next_at),
    }
    if json_:
        typer.echo(json.dumps(answer))
        return
    for name, value in (answer | {"open": "yes" if is_open else "no"}).items():
        typer.echo(f"{name.replace('_', ' '):<15}{value}")
