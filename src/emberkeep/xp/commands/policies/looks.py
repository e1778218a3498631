"""Looking at policies: what there is, what differs, who did what."""

from __future__ import annotations

import datetime
from typing import Annotated

import msgspec
import typer

from emberkeep.base import page
from emberkeep.base.config import Settings
from emberkeep.base.console import AsJson, check_text, hint, print_json, say, show_table
from emberkeep.base.db import Connection
from emberkeep.base.page import Page
from emberkeep.xp.commands.console import Limit, run
from emberkeep.xp.commands.policies.console import (
    Key,
    show_instant,
    to_document,
    version_argument,
    version_option,
)
from emberkeep.xp.model import (
    AuditEntry,
    Difference,
    PolicyKey,
    PolicyOutline,
    PolicyStatus,
    PolicyVersion,
    VersionFilter,
)
from emberkeep.xp.service import policies as service

After = Annotated[
    str | None,
    typer.Option(metavar="CURSOR", help="The `next` of the page before.", callback=check_text),
]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("list")(list_policies)
    app.command("versions")(list_versions)
    app.command("show")(show_version)
    app.command("diff")(show_difference)
    app.command("audit")(list_audit)


def list_policies(
    limit: Limit = page.DEFAULT_ITEMS, after: After = None, as_json: AsJson = False
) -> None:
    """List the policies there are: what is in force, what waits for its instant, what is a draft."""

    async def read(conn: Connection, _: Settings, now: datetime.datetime) -> Page[PolicyOutline]:
        return await service.list_policies(conn, limit=limit, after=after, now=now)

    found = run(read)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            outline.policy_key,
            outline.display_name,
            _show_number(outline.in_force),
            _show_number(outline.scheduled),
            show_instant(outline.scheduled_at),
            _show_number(outline.draft),
        )
        for outline in found.items
    ]
    show_table(("key", "name", "in force", "scheduled", "from (UTC)", "draft"), rows)
    _hint_next(found.next)


def list_versions(
    policy_key: Key,
    status: Annotated[PolicyStatus | None, typer.Option(help="Only of this status.")] = None,
    created_by: Annotated[
        str | None, typer.Option(metavar="ACTOR", help="Only by them.", callback=check_text)
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Only of this model.", callback=check_text)
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text", metavar="TEXT", help="Only with this in names or labels.", callback=check_text
        ),
    ] = None,
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """List the versions of KEY, newest first."""
    wanted = VersionFilter(status=status, created_by=created_by, model=model, text=text)

    async def read(conn: Connection, _: Settings, __: datetime.datetime) -> Page[PolicyVersion]:
        return await service.list_versions(
            conn, policy_key=PolicyKey(policy_key), limit=limit, after=after, wanted=wanted
        )

    found = run(read)
    if as_json:
        print_json({"items": [to_document(v) for v in found.items], "next": found.next})
        return
    rows = [
        (
            str(version.policy_version),
            version.status.value,
            show_instant(version.effective_at),
            show_instant(version.superseded_at),
            type(version.policy.streak_model).__name__,
            version.created_by,
        )
        for version in found.items
    ]
    show_table(("version", "status", "from (UTC)", "until (UTC)", "model", "by"), rows)
    _hint_next(found.next)


def show_version(
    policy_key: Key,
    policy_version: Annotated[int | None, version_argument("None: the one in force.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the document of a version, as `draft` takes it. With --json, its life around it."""
    key = PolicyKey(policy_key)

    async def read(conn: Connection, _: Settings, now: datetime.datetime) -> PolicyVersion:
        if policy_version is None:
            return await service.read_active(conn, policy_key=key, now=now)
        return await service.read_version(conn, policy_key=key, policy_version=policy_version)

    version = run(read)
    if as_json:
        print_json(to_document(version))
        return
    document = msgspec.json.encode(service.render_policy(version.policy))
    typer.echo(msgspec.json.format(document, indent=2).decode())


def show_difference(
    policy_key: Key,
    before: Annotated[int | None, version_option("--from", "None: the one in force.")] = None,
    after: Annotated[
        int | None, version_option("--to", "None: the draft, or what waits, or the newest.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print how two versions of KEY differ: changed values only."""

    async def read(conn: Connection, _: Settings, now: datetime.datetime) -> Difference:
        return await service.read_difference(
            conn, policy_key=PolicyKey(policy_key), before=before, after=after, now=now
        )

    found = run(read)
    if as_json:
        print_json(found)
        return
    say(f"{policy_key}: from version {found.before} to version {found.after}")
    rows = [
        (change.path, _show_value(change.before), _show_value(change.after))
        for change in found.changes
    ]
    show_table(("path", "from", "to"), rows)
    if not rows:
        say("nothing differs")


def list_audit(
    policy_key: Key,
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """List every step that was taken with KEY, newest first. --json has what each one changed."""

    async def read(conn: Connection, _: Settings, __: datetime.datetime) -> Page[AuditEntry]:
        return await service.list_audit(
            conn, policy_key=PolicyKey(policy_key), limit=limit, after=after
        )

    found = run(read)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            show_instant(entry.at),
            _show_number(entry.policy_version),
            entry.step,
            entry.actor,
            entry.reason,
        )
        for entry in found.items
    ]
    show_table(("at (UTC)", "version", "step", "by", "reason"), rows)
    _hint_next(found.next)


def _show_number(number: int | None) -> str:
    return "" if number is None else str(number)


def _show_value(value: object) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


def _hint_next(cursor: str | None) -> None:
    if cursor is not None:
        hint(f"There is more: --after {cursor}")
