"""Who did what to segments, seasons and level curves, and why: what is gone is there, too."""

from __future__ import annotations

from typing import Annotated

import msgspec

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.page import Page
from emberkeep.xp import store
from emberkeep.xp.model import CatalogueStep, CatalogueSubject


class _StepCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    audit_id: Annotated[int, msgspec.Meta(ge=0, le=store.LAST_ID)]


async def list_steps(
    conn: Connection,
    *,
    subject: CatalogueSubject,
    subject_key: str,
    limit: int,
    after: str | None,
) -> Page[CatalogueStep]:
    """Return a page of what was done to one subject, newest first; none where there never was one.

    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    start = page.decode_cursor(after, _StepCursor) or _StepCursor(store.LAST_ID)
    steps = await store.list_catalogue_audit(
        conn,
        subject=subject,
        subject_key=subject_key,
        before_id=start.audit_id,
        max_rows=limit + 1,
    )
    return page.make_page(
        steps,
        limit=limit,
        find_cursor=lambda step: page.encode_cursor(_StepCursor(step.audit_id)),
    )
