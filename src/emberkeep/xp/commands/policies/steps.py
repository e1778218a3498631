"""What is in force: published now or for an instant, cancelled, rolled back, retired."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Annotated

import typer

from emberkeep.base import clock
from emberkeep.base.config import Settings
from emberkeep.base.console import AsJson, check_text
from emberkeep.base.db import Connection
from emberkeep.xp.commands.console import ACTOR, Reason, run
from emberkeep.xp.commands.policies.console import (
    At,
    Key,
    report,
    say_from,
    version_argument,
    version_option,
)
from emberkeep.xp.commands.policies.drafts import find_draft
from emberkeep.xp.model import (
    PolicyKey,
    PolicyOutline,
    PolicyUnknown,
    PolicyVersion,
    SegmentKey,
)
from emberkeep.xp.service import policies as service


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("publish")(publish)
    app.command("cancel")(cancel)
    app.command("rollback")(roll_back)
    app.command("retire")(retire)


def publish(
    policy_key: Key,
    policy_version: Annotated[int | None, version_argument("None: the draft.")] = None,
    effective_at: At = None,
    override: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SEGMENT=VERSION",
            help="Which version a segment gets; may be repeated, and replaces all there are.",
        ),
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Put a version of KEY in force, at once or from an instant on. Its predecessor ends there."""
    key, overrides = PolicyKey(policy_key), _parse_overrides(override or [])

    async def step(conn: Connection, _: Settings, now: datetime.datetime) -> PolicyVersion:
        return await service.publish_version(
            conn,
            policy_key=key,
            policy_version=policy_version or await find_draft(conn, key, now),
            effective_at=effective_at,
            overrides=overrides or None,
            actor=ACTOR,
            reason=reason,
            now=now,
        )

    version = run(step)
    report(version, say_from(version, clock.read_now()), as_json=as_json)


def cancel(
    policy_key: Key,
    policy_version: Annotated[int | None, version_argument("None: the one that waits.")] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Take back a publication of KEY before its instant. What is in force goes on."""
    key = PolicyKey(policy_key)

    async def step(conn: Connection, _: Settings, now: datetime.datetime) -> PolicyVersion:
        number = policy_version or await _find(
            conn, key, now, lambda outline: outline.scheduled, "no version that waits"
        )
        return await service.cancel_version(
            conn, policy_key=key, policy_version=number, actor=ACTOR, reason=reason, now=now
        )

    report(run(step), "cancelled", as_json=as_json)


def roll_back(
    policy_key: Key,
    to_version: Annotated[
        int | None, version_option("--to", "None: the one in force before the present one.")
    ] = None,
    effective_at: At = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Put an archived version of KEY in force again."""

    async def step(conn: Connection, _: Settings, now: datetime.datetime) -> PolicyVersion:
        return await service.roll_back_policy(
            conn,
            policy_key=PolicyKey(policy_key),
            to_version=to_version,
            effective_at=effective_at,
            actor=ACTOR,
            reason=reason,
            now=now,
        )

    version = run(step)
    report(version, say_from(version, clock.read_now()), as_json=as_json)


def retire(
    policy_key: Key,
    policy_version: Annotated[int | None, version_argument("None: the one in force.")] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Take the published version of KEY out of force, without a successor: claims are refused."""
    key = PolicyKey(policy_key)

    async def step(conn: Connection, _: Settings, now: datetime.datetime) -> PolicyVersion:
        number = policy_version or await _find(
            conn, key, now, lambda outline: outline.in_force, "no version in force"
        )
        return await service.retire_version(
            conn, policy_key=key, policy_version=number, actor=ACTOR, reason=reason, now=now
        )

    report(run(step), "out of force", as_json=as_json)


async def _find(
    conn: Connection,
    policy_key: PolicyKey,
    now: datetime.datetime,
    choose: Callable[[PolicyOutline], int | None],
    lack: str,
) -> int:
    number = choose(await service.read_outline(conn, policy_key=policy_key, now=now))
    if number is None:
        raise PolicyUnknown(f"this policy has {lack}", policy_key=policy_key)
    return number


def _parse_overrides(given: list[str]) -> dict[SegmentKey, int]:
    overrides: dict[SegmentKey, int] = {}
    for text in given:
        segment, is_assigned, number = text.rpartition("=")
        if not is_assigned or not number.isdecimal() or not 1 <= int(number) < 2**31:
            raise typer.BadParameter(f"--override {text}: is not SEGMENT=VERSION")
        check_text(segment)
        overrides[SegmentKey(segment)] = int(number)
    return overrides
