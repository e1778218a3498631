"""What the commands of XP share."""

from __future__ import annotations

import typer

app = typer.Typer(name="xp", help="Policies, streaks, claims and the ledger.", no_args_is_help=True)
