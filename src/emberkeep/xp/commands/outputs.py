"""A simulation as files, each of which is complete or not there."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import typer

from emberkeep.base import clock
from emberkeep.xp.model import Simulation


def check_target(target: Path | None) -> None:
    """Let a file or directory pass that can be made: before hours of work, not after.

    Only the last part of the path may be missing.
    """
    if target is None:
        return
    parent = target.absolute().parent
    if not parent.is_dir():
        raise typer.BadParameter(f"{parent}: is no directory")
    if not os.access(target if target.is_dir() else parent, os.W_OK):
        raise typer.BadParameter(f"{target}: cannot be written")


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Write `files`, by name, into `directory`, which is made if need be.

    Each is written beside its place and moved there when all are: an interruption leaves nothing.
    """
    is_new = not directory.exists()
    directory.mkdir(exist_ok=True)
    suffix = f".{clock.new_id()}.partial"
    partial = [directory / f"{name}{suffix}" for name in files]
    try:
        for path, text in zip(partial, files.values(), strict=True):
            path.write_text(text, "utf-8")
        for path in partial:
            path.replace(path.with_name(path.name.removesuffix(suffix)))
    except BaseException:
        for path in partial:
            path.unlink(missing_ok=True)
        if is_new:
            with contextlib.suppress(OSError):  # Some files had found their place already.
                directory.rmdir()
        raise


def render_files(found: Simulation) -> dict[str, str]:
    """Return every figure as JSON, and as a CSV table for each kind of figure."""
    document = msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
    return {
        "simulation.json": f"{document}\n",
        "versions.csv": _render_versions(found),
        "days.csv": render_days(found),
        "streaks.csv": _render_csv(
            ("version", "effective_day", "claims"),
            (
                (version.name, count.effective_day, count.claims)
                for version in found.versions
                for count in version.streaks
            ),
        ),
        "awards.csv": _render_csv(
            ("version", "xp_awarded", "claims"),
            (
                (version.name, count.xp_awarded, count.claims)
                for version in found.versions
                for count in version.awards
            ),
        ),
        "players.csv": _render_csv(
            ("version", "player", "baseline_xp", "xp", "change_xp"),
            (
                (comparison.name, change.player_id, change.baseline_xp, change.xp, change.change_xp)
                for comparison in found.comparisons
                for change in (*comparison.largest_gains, *comparison.largest_losses)
            ),
        ),
    }


def render_days(found: Simulation) -> str:
    """Return the XP and the claims of each day under each version, as CSV."""
    return _render_csv(
        ("version", "day", "xp", "claims"),
        (
            (version.name, day.day, day.xp, day.claims)
            for version in found.versions
            for day in version.days
        ),
    )


def _render_versions(found: Simulation) -> str:
    columns = (
        "players",
        "claims",
        "xp",
        "xp_per_claim",
        "xp_per_player",
        "inflation_percent",
        "grace_days",
        "freezes_used",
        "freezes_earned",
    )
    return _render_csv(
        ("version", *columns),
        (
            (version.name, *(getattr(version, column) for column in columns))
            for version in found.versions
        ),
    )


def _render_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
