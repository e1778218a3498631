"""`emberkeep events …`: parse, call the service, print. Anticipated errors rise to cli.py.

Reading order: console and sources (what the commands share), stores, events, streams; then tails,
subscriptions, parked, projections, archive.
"""

from emberkeep.events.commands import (
    archive,
    events,
    parked,
    projections,
    stores,
    streams,
    subscriptions,
    tails,
)
from emberkeep.events.commands.console import app

# In the order in which the help shows them.
for module in (stores, events, streams, tails, subscriptions, parked, projections, archive):
    module.add_commands(app)

__all__ = ["app"]
