"""`emberkeep xp …`: parse, call the service, print. Anticipated errors rise to cli.py."""

from emberkeep.xp.commands import (
    aggregates,
    archive,
    engine,
    history,
    leaderboards,
    ledger,
    levels,
    players,
    policies,
    questions,
    rebuild,
    seasons,
    segments,
    simulation,
    streaks,
)
from emberkeep.xp.commands.console import app

# In the order in which the help shows them.
for module in (
    engine,
    history,
    policies,
    simulation,
    segments,
    questions,
    levels,
    seasons,
    streaks,
    players,
    ledger,
    leaderboards,
    archive,
    aggregates,
    rebuild,
):
    module.add_commands(app)

__all__ = ["app"]
