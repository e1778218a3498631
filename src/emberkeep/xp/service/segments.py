"""Segments as operators keep them: what they are, and who is put into them. Every step is audited.

Who belongs to a segment by its rule is never stored; a claim asks anew. `service/membership.py` says
who belongs where now, and how many.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.base.etag import Stale, format_etag
from emberkeep.base.page import CursorInvalid, Page
from emberkeep.xp import store
from emberkeep.xp.model import (
    CatalogueSubject,
    MemberChanges,
    MemberRefusal,
    MembersInvalid,
    PlayerId,
    PlayerUnknown,
    Segment,
    SegmentInUse,
    SegmentKey,
    SegmentMember,
    SegmentUnknown,
    SegmentWish,
)
from emberkeep.xp.rules import segment as rules
from emberkeep.xp.rules import versions
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.store import MemberStep

MAX_MEMBERS: Final = 1000
"""How many players are added, or taken out, at a time."""


class _MemberCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    player_id: Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\0\ud800-\udfff]+$")]


async def list_segments(conn: Connection) -> list[Segment]:
    """Return all segments, by key. They are few: every process holds them."""
    return await store.list_segments(conn)


async def read_segment(conn: Connection, *, segment_key: SegmentKey) -> Segment:
    """Return that segment.

    :raises SegmentUnknown: when there is none
    """
    found = await store.list_segments(conn, segment_key=segment_key)
    if not found:
        raise SegmentUnknown("no segment has this key", segment_key=segment_key)
    return found[0]


async def put_segment(
    conn: Connection,
    *,
    wish: SegmentWish,
    expected_revision: int | None,
    actor: str,
    reason: str,
    now: datetime.datetime,
) -> tuple[Segment, bool]:
    """Create a segment, or write over it; return it, and whether it is new. Claims follow at once.

    :param expected_revision: what the editor has seen; None overwrites whatever is there
    :raises SegmentInvalid: with everything that is wrong
    :raises Stale: when it was edited since, or is not there any more
    """
    rules.check_wish(wish)
    versions.check_reason(reason)

    async def write() -> bool:
        is_new = expected_revision is None and await store.insert_segment(
            conn, wish=wish, actor=actor, now=now
        )
        revision = 1
        if not is_new:
            revision = await _lock_as_seen(conn, wish.segment_key, expected_revision) + 1
            await store.update_segment(conn, wish=wish, actor=actor, now=now)
        details = {"revision": revision, "display_name": wish.display_name, "rule": wish.rule}
        step = "created" if is_new else "edited"
        await _audit(conn, wish.segment_key, step, actor, reason, details, now=now)
        return is_new

    is_new = await write_atomically(conn, write)
    return await read_segment(conn, segment_key=wish.segment_key), is_new


async def delete_segment(
    conn: Connection,
    *,
    segment_key: SegmentKey,
    expected_revision: int | None,
    actor: str,
    reason: str,
    now: datetime.datetime,
) -> None:
    """Take a segment away, and who was put into it.

    :raises SegmentUnknown: when there is none
    :raises SegmentInUse: when a policy has an override for it
    :raises Stale: when it was edited since it was seen
    """
    versions.check_reason(reason)

    async def write() -> None:
        await _lock(conn, segment_key)
        if expected_revision is not None:
            await _lock_as_seen(conn, segment_key, expected_revision)
        policies = await store.list_segment_policies(conn, segment_key=segment_key)
        if policies:
            raise SegmentInUse("policies have overrides for this segment", policies=policies)
        await store.delete_segment(conn, segment_key=segment_key)
        await _audit(conn, segment_key, "deleted", actor, reason, {}, now=now)

    await write_atomically(conn, write)


async def add_members(
    conn: Connection,
    *,
    segment_key: SegmentKey,
    player_ids: Sequence[PlayerId],
    actor: str,
    reason: str,
    now: datetime.datetime,
) -> MemberChanges:
    """Put players into a segment, whatever its rule says; those who cannot be are listed.

    :raises SegmentUnknown: when there is no such segment
    :raises MembersInvalid: when they are none, or too many at a time
    """
    _check_batch(player_ids)
    versions.check_reason(reason)

    async def write() -> MemberChanges:
        await _lock(conn, segment_key)
        steps = await store.insert_members(
            conn, segment_key=segment_key, player_ids=player_ids, actor=actor, now=now
        )
        return await _conclude(conn, segment_key, "members_added", steps, actor, reason, now=now)

    return await write_atomically(conn, write)


async def remove_members(
    conn: Connection,
    *,
    segment_key: SegmentKey,
    player_ids: Sequence[PlayerId],
    actor: str,
    reason: str,
    now: datetime.datetime,
) -> MemberChanges:
    """Take players out of a segment; those who are not known are listed.

    :raises SegmentUnknown: when there is no such segment
    :raises MembersInvalid: when they are none, or too many at a time
    """
    _check_batch(player_ids)
    versions.check_reason(reason)

    async def write() -> MemberChanges:
        await _lock(conn, segment_key)
        steps = await store.delete_members(conn, segment_key=segment_key, player_ids=player_ids)
        return await _conclude(conn, segment_key, "members_removed", steps, actor, reason, now=now)

    return await write_atomically(conn, write)


async def list_members(
    conn: Connection, *, segment_key: SegmentKey, limit: int, after: str | None
) -> Page[SegmentMember]:
    """Return a page of those who were put into a segment, in the order in which XP came to know them.

    :raises SegmentUnknown: when there is no such segment
    :raises CursorInvalid: when `after` is not a cursor of this list, or its player was erased
    """
    start = page.decode_cursor(after, _MemberCursor)
    await read_segment(conn, segment_key=segment_key)
    last_seen = None if start is None else PlayerId(start.player_id)
    if last_seen is not None and not await _is_known(conn, last_seen):
        message = "is not a cursor of this list any more: begin again"
        raise CursorInvalid("the page cannot be found", (FieldError("after", message),))
    rows = await store.list_segment_members(
        conn, segment_key=segment_key, after=last_seen, max_rows=limit + 1
    )
    return page.make_page(
        rows, limit=limit, find_cursor=lambda m: page.encode_cursor(_MemberCursor(m.player_id))
    )


async def _is_known(conn: Connection, player_id: PlayerId) -> bool:
    players, _ = await store.read_player_states(conn, player_ids=[player_id])
    return bool(players)


async def _lock(conn: Connection, segment_key: SegmentKey) -> int:
    revision = await store.lock_segment(conn, segment_key=segment_key)
    if revision is None:
        raise SegmentUnknown("no segment has this key", segment_key=segment_key)
    return revision


async def _lock_as_seen(
    conn: Connection, segment_key: SegmentKey, expected_revision: int | None
) -> int:
    revision = await store.lock_segment(conn, segment_key=segment_key)
    if revision is None:
        raise Stale("the segment is not there any more")
    if expected_revision not in (None, revision):
        raise Stale("the segment was edited since it was read", etag=format_etag(revision))
    return revision


def _check_batch(player_ids: Sequence[PlayerId]) -> None:
    if not 1 <= len(player_ids) <= MAX_MEMBERS:
        error = FieldError("player_ids", f"must name 1 to {MAX_MEMBERS} players")
        raise MembersInvalid("the batch cannot be taken", (error,))


async def _conclude(
    conn: Connection,
    segment_key: SegmentKey,
    step: str,
    steps: Sequence[MemberStep],
    actor: str,
    reason: str,
    *,
    now: datetime.datetime,
) -> MemberChanges:
    changed = [found.player_id for found in steps if found.is_changed]
    if changed:
        # The number alone: an audit that names players could never forget one of them.
        details = {"players": len(changed)}
        await _audit(conn, segment_key, step, actor, reason, details, now=now)
    return MemberChanges(
        segment_key=segment_key,
        changed=len(changed),
        unchanged=sum(found.is_known and not found.is_changed for found in steps),
        errors=tuple(
            MemberRefusal(
                player_id=found.player_id,
                code=PlayerUnknown.code,
                message="no player has this id",
            )
            for found in steps
            if not found.is_known
        ),
    )


async def _audit(
    conn: Connection,
    segment_key: SegmentKey,
    step: str,
    actor: str,
    reason: str,
    details: Mapping[str, object],
    *,
    now: datetime.datetime,
) -> None:
    await store.insert_catalogue_audit(
        conn,
        subject=CatalogueSubject.SEGMENT,
        subject_key=segment_key,
        step=step,
        actor=actor,
        reason=reason,
        details=details,
        now=now,
    )
