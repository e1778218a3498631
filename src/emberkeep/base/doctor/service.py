"""Examine a server before it is trusted, and refuse one that would break a promise."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path

from emberkeep.base.config import Secret, Settings, list_settings
from emberkeep.base.db import Connection
from emberkeep.base.doctor import rules, store
from emberkeep.base.doctor.model import Finding, Level, SystemUnsound


async def examine(
    conn: Connection,
    *,
    schemas: Sequence[str],
    zones: Sequence[str],
    needed_connections: int,
    data_dir: Path | None,
    now: datetime.datetime,
) -> tuple[Finding, ...]:
    """Return everything that was looked at, in reading order.

    `schemas` are ours; `zones` are those in use, which both time-zone databases must agree on;
    `data_dir` is the embedded server's, if it is one.
    """
    server = await store.read_server_facts(conn)
    role = await store.read_role_facts(conn, schemas=schemas)
    offsets = await store.read_zone_offsets(conn, zones=zones, instants=rules.list_instants())
    return (
        rules.name_place(data_dir),
        rules.judge_version(server),
        rules.judge_encoding(server),
        *rules.judge_durability(server),
        rules.judge_connections(server, needed=needed_connections),
        rules.judge_clock(server, now=now),
        rules.judge_role(role, is_embedded=data_dir is not None),
        *rules.judge_zones(zones, offsets),
    )


def refuse_unsound(findings: Sequence[Finding]) -> None:
    """Let a system start in which nothing failed.

    :raises SystemUnsound: with what failed and what to do
    """
    failed = [f for f in findings if f.level is Level.FAIL]
    if failed:
        reasons = "; ".join(f"{f.what} is {f.fact}: {f.remedy}" for f in failed)
        raise SystemUnsound(f"this database is not safe to serve from: {reasons}")


def list_values(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Return every variable with the value in force; secrets are masked."""
    values = (getattr(settings, field.name) for field in dataclasses.fields(settings))
    return tuple(
        (variable, _show_value(value))
        for (variable, _, _), value in zip(list_settings(), values, strict=True)
    )


def _show_value(value: object) -> str:
    match value:
        case None:
            return "not set"
        case Secret():
            return "set, not shown"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)
