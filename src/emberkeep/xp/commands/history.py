"""Login histories from files into the ledger, through the claim path."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
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
from emberkeep.base.config import Settings, load_settings
from emberkeep.base.console import read_bytes
from emberkeep.base.db import connect_for_batches
from emberkeep.base.place import Place, open_place
from emberkeep.migrate import service as migrations
from emberkeep.xp.model import ActivityInvalid, PolicyKey, PolicyUnknown
from emberkeep.xp.service import history as history_service
from emberkeep.xp.service import policies
from emberkeep.xp.service.history import ImportReport

_STDIN: Final = Path("-")
_ACTOR: Final = "import-activity"
_GZIP_MAGIC: Final = b"\x1f\x8b"


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("import-activity")(import_history)


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
                document=read_bytes(policy),
                max_award_xp=settings.max_award_xp,
                actor=_ACTOR,
                now=started_at,
            )
        with open_lines(file) as lines, _make_progress() as progress:
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
def open_lines(path: Path) -> Generator[Iterator[str]]:
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
