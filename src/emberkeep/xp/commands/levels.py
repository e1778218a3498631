"""`emberkeep xp levels …`: where the levels of a policy begin."""

from __future__ import annotations

import datetime
import os
from typing import Annotated

import typer

from emberkeep.base import page
from emberkeep.base.config import Settings, load_settings
from emberkeep.base.console import AsJson, IsSure, confirm, print_json, read_bytes, say, show_table
from emberkeep.base.db import Connection
from emberkeep.base.etag import format_etag
from emberkeep.xp.commands.console import ACTOR, Limit, Reason, run
from emberkeep.xp.commands.operating import IfMatch, Policy, find_key, show_steps
from emberkeep.xp.model import CatalogueSubject, LevelCurve
from emberkeep.xp.service import levels as service

_group = typer.Typer(
    name="levels", help="Where the levels of a policy begin.", no_args_is_help=True
)


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.add_typer(_group)


@_group.command()
def show(policy: Policy = None, as_json: AsJson = False) -> None:
    """Print the lifetime XP with which each level begins."""

    async def act(conn: Connection, settings: Settings, _: datetime.datetime) -> LevelCurve:
        return await service.read_curve(conn, policy_key=find_key(policy, settings))

    curve = run(act)
    if as_json:
        _print(curve)
        return
    begins = enumerate((0, *curve.thresholds), start=1)
    show_table(
        (f"level of {curve.policy_key}", "from XP"),
        [(str(level), f"{threshold:,}") for level, threshold in begins],
    )


@_group.command(name="set")
def set_curve(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help='{"thresholds": [100, …]}; `-`: standard input.')
    ],
    policy: Policy = None,
    reason: Reason = "",
    if_match: IfMatch = None,
    as_json: AsJson = False,
) -> None:
    """Let the level curve in FILE take the place of the one there is.

    Players are announced only levels above the highest that they ever were.
    """
    document = read_bytes(file)

    async def act(
        conn: Connection, settings: Settings, now: datetime.datetime
    ) -> tuple[LevelCurve, bool]:
        return await service.put_curve(
            conn,
            policy_key=find_key(policy, settings),
            document=document,
            expected_revision=if_match,
            actor=ACTOR,
            reason=reason,
            now=now,
        )

    curve, is_new = run(act)
    if as_json:
        _print(curve)
    else:
        done = "created" if is_new else "changed"
        say(f"{curve.policy_key}: level curve of {len(curve.thresholds) + 1} levels {done}")


@_group.command()
def delete(
    policy: Policy = None,
    reason: Reason = "",
    if_match: IfMatch = None,
    is_sure: IsSure = False,
    as_json: AsJson = False,
) -> None:
    """Take the level curve away. What was announced stays announced."""
    confirm("Delete the level curve?", is_sure=is_sure)

    async def act(conn: Connection, settings: Settings, now: datetime.datetime) -> str:
        key = find_key(policy, settings)
        await service.delete_curve(
            conn,
            policy_key=key,
            expected_revision=if_match,
            actor=ACTOR,
            reason=reason,
            now=now,
        )
        return key

    key = run(act)
    if as_json:
        print_json({"policy_key": key, "deleted": True})
    else:
        say(f"{key}: level curve deleted")


@_group.command()
def audit(
    policy: Policy = None, limit: Limit = page.DEFAULT_ITEMS, as_json: AsJson = False
) -> None:
    """List every step that was taken with the curve, newest first. --json has what each changed."""
    key = find_key(policy, load_settings(os.environ))
    show_steps(CatalogueSubject.LEVEL_CURVE, key, limit=limit, as_json=as_json)


def _print(curve: LevelCurve) -> None:
    print_json(
        {
            "policy_key": curve.policy_key,
            "thresholds": curve.thresholds,
            "etag": format_etag(curve.revision),
        }
    )
