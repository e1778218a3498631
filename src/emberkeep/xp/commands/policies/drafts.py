"""Documents from files: tried, written as drafts, deleted."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Annotated

import typer

from emberkeep.base.config import Settings, load_settings
from emberkeep.base.console import AsJson, print_json, read_bytes, say
from emberkeep.base.db import Connection
from emberkeep.xp.commands.console import ACTOR, Reason, run
from emberkeep.xp.commands.policies.console import Key, report, version_argument
from emberkeep.xp.model import PolicyKey, PolicyUnknown, PolicyVersion
from emberkeep.xp.service import policies as service

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="A policy document, JSON; `-` is the standard input."),
]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("validate")(validate)
    app.command("draft")(write_draft)
    app.command("delete-draft")(delete_draft)


def validate(file: File, as_json: AsJson = False) -> None:
    """Try a policy document: everything that is wrong with it, or what it can pay. Writes nothing."""
    document = read_bytes(file)
    most = load_settings(os.environ).max_award_xp
    found = service.validate_document(document, max_award_xp=most)
    if as_json:
        print_json({"document": service.render_policy(found.policy), "bounds": found.bounds})
        return
    bounds = found.bounds
    say(f"{found.policy.policy_key}: valid")
    say(f"smallest award: {bounds.smallest_xp} XP, on day {bounds.smallest_day} of a streak")
    say(f"largest award:  {bounds.largest_xp} XP, on day {bounds.largest_day} of a streak")


def write_draft(
    file: File,
    is_edit: Annotated[
        bool, typer.Option("--edit", help="Write over the draft that the policy has.")
    ] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Write a policy document as a new draft of the policy that it names."""
    document = read_bytes(file)

    async def write(conn: Connection, settings: Settings, now: datetime.datetime) -> PolicyVersion:
        most = settings.max_award_xp
        key = service.validate_document(document, max_award_xp=most).policy.policy_key
        if not is_edit:
            return await service.create_version(
                conn,
                policy_key=key,
                document=document,
                max_award_xp=most,
                actor=ACTOR,
                reason=reason,
                now=now,
            )
        return await service.edit_draft(
            conn,
            policy_key=key,
            policy_version=await find_draft(conn, key, now),
            document=document,
            expected_revision=None,
            max_award_xp=most,
            actor=ACTOR,
            reason=reason,
            now=now,
        )

    version = run(write)
    report(version, f"draft, revision {version.revision}", as_json=as_json)


def delete_draft(
    policy_key: Key,
    policy_version: Annotated[int | None, version_argument("None: the draft.")] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Delete the draft of KEY; a policy that never had another version goes with it."""
    key = PolicyKey(policy_key)

    async def delete(conn: Connection, _: Settings, now: datetime.datetime) -> int:
        number = policy_version or await find_draft(conn, key, now)
        await service.delete_draft(
            conn,
            policy_key=key,
            policy_version=number,
            expected_revision=None,
            actor=ACTOR,
            reason=reason,
            now=now,
        )
        return number

    number = run(delete)
    if as_json:
        print_json({"policy_key": policy_key, "policy_version": number})
    else:
        say(f"{policy_key} version {number}: deleted")


async def find_draft(conn: Connection, policy_key: PolicyKey, now: datetime.datetime) -> int:
    """Return the number of the policy's draft.

    :raises PolicyUnknown: when there is no such policy, or it has none
    """
    outline = await service.read_outline(conn, policy_key=policy_key, now=now)
    if outline.draft is None:
        raise PolicyUnknown("this policy has no draft", policy_key=policy_key)
    return outline.draft
