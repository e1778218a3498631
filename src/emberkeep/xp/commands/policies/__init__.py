"""`emberkeep xp policies …`: what operators do with policies, on the database itself.

Reading order: console (what the commands share), looks, drafts, steps.
"""

import typer

from emberkeep.xp.commands.policies import drafts, looks, steps
from emberkeep.xp.commands.policies.console import app as policies

# In the order in which the help shows them.
for module in (looks, drafts, steps):
    module.add_commands(policies)


def add_commands(app: typer.Typer) -> None:
    """Put the group into the group of XP."""
    app.add_typer(policies)
