"""What was done to segments, seasons and level curves, as operators read it."""

from __future__ import annotations

from emberkeep.base.db import Connection
from emberkeep.xp.model import CatalogueStep, CatalogueSubject
from emberkeep.xp.store.statements import SQL, decode_object


async def list_catalogue_audit(
    conn: Connection,
    *,
    subject: CatalogueSubject,
    subject_key: str,
    before_id: int,
    max_rows: int,
) -> list[CatalogueStep]:
    """Return the steps before that position, newest first."""
    cursor = await conn.execute(
        SQL["list_catalogue_audit"],
        {
            "subject": subject.value,
            "subject_key": subject_key,
            "before_id": before_id,
            "max_rows": max_rows,
        },
    )
    return [
        CatalogueStep(
            audit_id=audit_id,
            step=step,
            actor=actor,
            reason=reason,
            details=decode_object(details),
            at=created_at,
        )
        for audit_id, step, actor, reason, details, created_at in await cursor.fetchall()
    ]
