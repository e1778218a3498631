"""`emberkeep events …`: parse, call the service, print. Anticipated errors rise to cli.py.

Reading order: console (what the commands share), stores, events.
"""

from emberkeep.events.commands import events, stores
from emberkeep.events.commands.console import app

# In the order in which the help shows them.
for module in (stores, events):
    module.add_commands(app)

__all__ = ["app"]
