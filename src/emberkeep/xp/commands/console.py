"""What the commands of XP share."""

from __future__ import annotations

import datetime
from typing import Final

import typer

from emberkeep.base.clock import UTC

ACTOR: Final = "command-line"
"""Who did it, as events and audits say."""

app = typer.Typer(name="xp", help="Policies, streaks, claims and the ledger.", no_args_is_help=True)


def parse_instant(text: str) -> datetime.datetime:
    """Return the instant that an option says, in UTC."""
    try:
        at = datetime.datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise typer.BadParameter("is not an ISO 8601 instant") from e
    raise typer.BadParameter("needs an offset from UTC, such as Z")
