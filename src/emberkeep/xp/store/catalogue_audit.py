"""Who did what to segments, seasons and level curves, and why."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp.store.statements import SQL


async def insert_catalogue_audit(
    conn: Connection,
    *,
    subject: str,
    subject_key: str,
    step: str,
    actor: str,
    reason: str,
    details: Mapping[str, object],
    now: datetime.datetime,
) -> None:
    """Keep that `actor` took this step, and why."""
    await conn.execute(
        SQL["insert_catalogue_audit"],
        {
            "subject": subject,
            "subject_key": subject_key,
            "step": step,
            "actor": actor,
            "reason": reason,
            "details": msgspec.json.encode(details).decode(),
            "now": now,
        },
    )
