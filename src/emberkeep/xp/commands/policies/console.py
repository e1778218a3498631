"""What the commands on policies share: options, and how a version is printed."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import typer

from emberkeep.base.clock import UTC
from emberkeep.base.console import INSTANT, check_text, print_json, say
from emberkeep.xp.commands.console import parse_instant
from emberkeep.xp.model import PolicyStatus, PolicyVersion
from emberkeep.xp.service import policies as service

app = typer.Typer(
    name="policies",
    help="Policies: drafts, publications now or later, rollback, differences, audit.",
    no_args_is_help=True,
)

_LAST_NUMBER: Final = 2**31 - 1

Key = Annotated[
    str, typer.Argument(metavar="KEY", help="The policy, such as daily-login.", callback=check_text)
]


def version_argument(explains: str) -> object:
    """Return the argument that names a version of the policy."""
    return typer.Argument(metavar="VERSION", min=1, max=_LAST_NUMBER, help=explains)


def version_option(name: str, explains: str) -> object:
    """Return an option that names a version of the policy."""
    return typer.Option(name, metavar="VERSION", min=1, max=_LAST_NUMBER, help=explains)


At = Annotated[
    datetime.datetime | None,
    typer.Option(
        "--at", parser=parse_instant, metavar="ISO", help="From this instant on, not at once."
    ),
]


def report(version: PolicyVersion, done: str, *, as_json: bool) -> None:
    """Print what was done with a version, or the version itself as JSON."""
    if as_json:
        print_json(to_document(version))
        return
    say(f"{version.policy.policy_key} version {version.policy_version}: {done}")


def to_document(version: PolicyVersion) -> dict[str, object]:
    """Return the version as JSON output has it: what HTTP answers with."""
    return {
        "policy_key": version.policy.policy_key,
        "policy_version": version.policy_version,
        "status": version.status,
        "revision": version.revision,
        "effective_at": version.effective_at,
        "superseded_at": version.superseded_at,
        "published_at": version.published_at,
        "created_at": version.created_at,
        "created_by": version.created_by,
        "document": service.render_policy(version.policy),
    }


def show_instant(at: datetime.datetime | None) -> str:
    """Return an instant as tables have it, in UTC."""
    return "" if at is None else f"{at.astimezone(UTC):{INSTANT}}"


def say_from(version: PolicyVersion, now: datetime.datetime) -> str:
    """Return from when on a published version is in force, in words."""
    assert version.status is PolicyStatus.PUBLISHED
    assert version.effective_at is not None
    if version.effective_at <= now:
        return "in force"
    return f"in force from {show_instant(version.effective_at)} UTC on"
