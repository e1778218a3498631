"""The command line of XP: the rules at work on files, and histories into the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from emberkeep.base import clock
from emberkeep.base.clock import UTC
from emberkeep.base.config import Settings, load_settings
from emberkeep.base.db import connect_for_batches
from emberkeep.base.place import Place, open_place
from emberkeep.migrate import service as migrations
from emberkeep.xp.model import (
    ActivityInvalid,
    AnchorStrategy,
    ClaimWindow,
    PolicyKey,
    PolicyUnknown,
)
from emberkeep.xp.rules import document, history, reward_day
from emberkeep.xp.rules.policy import parse_policy
from emberkeep.xp.service import history as history_service
from emberkeep.xp.service import policies
from emberkeep.xp.service.history import ImportReport

app = typer.Typer(name="xp", help="Policies, streaks, claims and the ledger.", no_args_is_help=True)

_STDIN: Final = Path("-")
_ACTOR: Final = "import-activity"
_GZIP_MAGIC: Final = b"\x1f\x8b"


@app.command("evaluate")
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
        parse_policy(_read_file(policy), max_award_xp=max_award_xp),
        history.parse_visits(_read_file(days)),
        history.parse_seasons(_read_file(seasons)) if seasons is not None else (),
    )
    for line in lines:
        typer.echo(json.dumps(line))


def _read_file(path: Path) -> bytes:
    if path == _STDIN:
        return typer.get_binary_stream("stdin").read()
    try:
        return path.read_bytes()
    except OSError as e:
        raise typer.BadParameter(f"{path}: {e.strerror}") from e


def _parse_instant(text: str) -> datetime.datetime:
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError as e:
        raise typer.BadParameter("is not an ISO 8601 instant") from e
    if at.tzinfo is None:
        raise typer.BadParameter("needs an offset from UTC, such as Z")
    return at


@app.command("reward-day")
def show_reward_day(
    at: Annotated[
        datetime.datetime,
        typer.Option(parser=_parse_instant, metavar="ISO", help="An instant, with its offset."),
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


@app.command("import-activity")
def import_history(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, also as .gz; `-` is the standard input.")
    ],
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Is published first, if its key is unknown."),
    ] = None,
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Claim for every player and reward day of a login history, at the day's first event.

    The columns are player, occurred_at and, if given, utc_offset_minutes or time_zone: the clock
    that each day is read from. A day at or before a player's last claimed one is skipped, so the
    same file can be imported again, or further after an interruption.
    """
    settings = load_settings(os.environ)
    with open_place(settings) as place:
        report = asyncio.run(replay_history(settings, place, file=file, policy=policy))
    if json_:
        typer.echo(msgspec.json.encode(report).decode())
        return
    for name, value in msgspec.to_builtins(report).items():
        typer.echo(f"{name:<10}{value:,}")


async def replay_history(
    settings: Settings, place: Place, *, file: Path, policy: Path | None
) -> ImportReport:
    """Migrate `place`, then replay `file` into it with a progress bar on standard error.

    :raises ActivityInvalid: when a line cannot be read; nothing was written then
    :raises PolicyInvalid: with everything that is wrong with the policy
    """
    started_at = clock.read_now()
    await migrations.apply_migrations(place.owner_dsn, now=started_at)
    policy_key = PolicyKey(settings.default_policy_key)
    async with await connect_for_batches(place.dsn) as conn:
        if policy is not None:
            policy_key = await policies.publish_if_unknown(
                conn,
                document=_read_file(policy),
                max_award_xp=settings.max_award_xp,
                actor=_ACTOR,
                now=started_at,
            )
        with _open_lines(file) as lines, _make_progress() as progress:
            task = progress.add_task("reading", total=None)

            def show(done: int, total: int) -> None:
                progress.update(task, description="claiming", completed=done, total=total)

            try:
                report = await history_service.import_activity(
                    conn,
                    lines=lines,
                    policy_key=policy_key,
                    server_zone=settings.server_time_zone,
                    now=clock.read_now(),
                    on_progress=show,
                )
            except PolicyUnknown as e:
                hint = "--policy FILE publishes one first"
                raise PolicyUnknown(f"{e.message}; {hint}", **e.facts) from e
    seconds = (clock.read_now() - started_at).total_seconds()
    return msgspec.structs.replace(report, seconds=round(seconds, 3))


def _make_progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("player-days"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


@contextlib.contextmanager
def _open_lines(path: Path) -> Generator[Iterator[str]]:
    """Lend the lines of a text file, which may be compressed."""
    with _open_bytes(path) as file:
        is_compressed = file.peek(2)[:2] == _GZIP_MAGIC
        plain = gzip.GzipFile(fileobj=file) if is_compressed else file
        with io.TextIOWrapper(plain, encoding="utf-8-sig", newline="") as text:
            try:
                yield iter(text)
            except UnicodeDecodeError as e:
                raise ActivityInvalid("the login history is not UTF-8") from e
            except (EOFError, zlib.error, gzip.BadGzipFile) as e:
                raise ActivityInvalid(f"the login history is damaged: {e}") from e


@contextlib.contextmanager
def _open_bytes(path: Path) -> Generator[io.BufferedReader]:
    if path == _STDIN:
        yield io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
        return
    try:
        file = path.open("rb")
    except OSError as e:
        raise typer.BadParameter(f"{path}: {e.strerror}") from e
    with file:
        yield file
