"""Who did what to a policy, and why."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp.model import AuditEntry, PolicyKey
from emberkeep.xp.store.statements import SQL, decode_object


async def insert_audit(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    policy_version: int,
    step: str,
    actor: str,
    reason: str,
    details: Mapping[str, object],
    now: datetime.datetime,
) -> None:
    """Keep that `actor` took this step; version 0: it is about the whole policy."""
    await conn.execute(
        SQL["insert_audit"],
        {
            "policy_key": policy_key,
            "policy_version": policy_version,
            "step": step,
            "actor": actor,
            "reason": reason,
            "details": msgspec.json.encode(details).decode(),
            "now": now,
        },
    )


async def list_policy_audit(
    conn: Connection, *, policy_key: PolicyKey, before_id: int, max_rows: int
) -> list[AuditEntry]:
    """Return the steps before that position, newest first."""
    cursor = await conn.execute(
        SQL["list_policy_audit"],
        {"policy_key": policy_key, "before_id": before_id, "max_rows": max_rows},
    )
    return [
        AuditEntry(
            audit_id=audit_id,
            policy_version=policy_version or None,
            step=step,
            actor=actor,
            reason=reason,
            details=decode_object(details),
            at=created_at,
        )
        for (
            audit_id,
            policy_version,
            step,
            actor,
            reason,
            details,
            created_at,
        ) in await cursor.fetchall()
    ]


async def read_last_version_number(conn: Connection, *, policy_key: PolicyKey) -> int:
    """Return the highest number that a version of this policy ever had, 0 if it never had one."""
    cursor = await conn.execute(SQL["read_last_version_number"], {"policy_key": policy_key})
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])
