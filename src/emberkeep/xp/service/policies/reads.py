"""What operators look at: policies and their versions, what differs, and who did what."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence
from typing import Annotated, cast

import msgspec

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.page import Page
from emberkeep.xp import store
from emberkeep.xp.model import (
    AuditEntry,
    Difference,
    Policy,
    PolicyKey,
    PolicyNotInForce,
    PolicyOutline,
    PolicyUnknown,
    PolicyVersion,
    VersionFilter,
    VersionLife,
)
from emberkeep.xp.rules import catalogue as catalogues
from emberkeep.xp.rules import policy as documents
from emberkeep.xp.rules import publication
from emberkeep.xp.rules import versions as rules
from emberkeep.xp.rules.difference import diff_documents
from emberkeep.xp.service.catalogue import load_catalogue, to_version
from emberkeep.xp.store import VersionRow

_EVERYTHING = VersionFilter()


class _KeyCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    policy_key: str


class _VersionCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    policy_version: Annotated[int, msgspec.Meta(ge=1)]


class _AuditCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    audit_id: Annotated[int, msgspec.Meta(ge=1, le=store.LAST_ID)]


def render_policy(policy: Policy) -> dict[str, object]:
    """Return the policy's document, as files and HTTP carry it."""
    return documents.render_policy(policy)


async def read_version(
    conn: Connection, *, policy_key: PolicyKey, policy_version: int
) -> PolicyVersion:
    """Return that version.

    :raises PolicyUnknown: when there is none
    """
    rows = await store.list_policy_versions(
        conn, policy_key=policy_key, policy_version=policy_version
    )
    if not rows:
        raise PolicyUnknown("this policy has no such version", policy_version=policy_version)
    return to_version(rows[0])


async def list_versions(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    limit: int,
    after: str | None,
    wanted: VersionFilter = _EVERYTHING,
) -> Page[PolicyVersion]:
    """Return a page of a policy's versions that are `wanted`, newest first.

    :raises PolicyUnknown: when there is no such policy
    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    start = page.decode_cursor(after, _VersionCursor)
    # Every process holds all versions of all policies anyway: they are few.
    rows = await store.list_policy_versions(conn, policy_key=policy_key)
    if not rows:
        raise PolicyUnknown("no policy has this key", policy_key=policy_key)
    versions = [
        to_version(row)
        for row in reversed(rows)
        if (start is None or row.policy_version < start.policy_version) and _is_shown(row, wanted)
    ]
    return page.make_page(
        versions,
        limit=limit,
        find_cursor=lambda v: page.encode_cursor(_VersionCursor(v.policy_version)),
    )


def _is_shown(row: VersionRow, wanted: VersionFilter) -> bool:
    return rules.is_shown(
        wanted, status=row.status, created_by=row.created_by, document=row.document
    )


async def list_policies(
    conn: Connection, *, limit: int, after: str | None, now: datetime.datetime
) -> Page[PolicyOutline]:
    """Return a page of the policies there are, by key, with what is in force of each at `now`.

    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    start = page.decode_cursor(after, _KeyCursor)
    rows = await store.list_policy_versions(conn)
    outlines = [
        _outline(PolicyKey(key), list(of_key), now)
        for key, of_key in itertools.groupby(rows, _read_key)
        if start is None or key > start.policy_key
    ]
    # The database's order of text is not Python's, which the cursor goes by.
    outlines.sort(key=lambda outline: outline.policy_key)
    return page.make_page(
        outlines,
        limit=limit,
        find_cursor=lambda o: page.encode_cursor(_KeyCursor(o.policy_key)),
    )


async def read_outline(
    conn: Connection, *, policy_key: PolicyKey, now: datetime.datetime
) -> PolicyOutline:
    """Return what is in force of a policy at `now`, what waits, and what is a draft.

    :raises PolicyUnknown: when there is no such policy
    """
    rows = await store.list_policy_versions(conn, policy_key=policy_key)
    if not rows:
        raise PolicyUnknown("no policy has this key", policy_key=policy_key)
    return _outline(policy_key, rows, now)


def _read_key(row: VersionRow) -> str:
    return cast("str", row.document["policy_key"])


def _outline(
    policy_key: PolicyKey, rows: Sequence[VersionRow], now: datetime.datetime
) -> PolicyOutline:
    return rules.outline_policy(
        policy_key,
        lives=[_to_life(row) for row in rows],
        names={row.policy_version: cast("str", row.document["display_name"]) for row in rows},
        now=now,
    )


def _to_life(row: VersionRow) -> VersionLife:
    return VersionLife(
        policy_version=row.policy_version,
        status=row.status,
        revision=row.revision,
        effective_at=row.effective_at,
        superseded_at=row.superseded_at,
        published_at=row.published_at,
    )


async def read_active(
    conn: Connection, *, policy_key: PolicyKey, now: datetime.datetime
) -> PolicyVersion:
    """Return the version that is in force now.

    :raises PolicyUnknown: when nothing was ever published under this key
    :raises PolicyNotInForce: when no version is in force
    """
    catalogue = await load_catalogue(conn)
    version, _ = catalogues.find_version(catalogue, policy_key=policy_key, facts=None, at=now)
    return version


async def read_difference(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    before: int | None,
    after: int | None,
    now: datetime.datetime,
) -> Difference:
    """Return how one version differs from another, changed values only.

    :param before: None for the version in force
    :param after: None for the draft, or else the one that waits, or else the newest
    :raises PolicyUnknown: when there is no such policy, or no such version
    :raises PolicyNotInForce: when no version is in force, and `before` names none
    """
    rows = await store.list_policy_versions(conn, policy_key=policy_key)
    if not rows:
        raise PolicyUnknown("no policy has this key", policy_key=policy_key)
    lives = [_to_life(row) for row in rows]
    if before is None:
        in_force = publication.find_in_force(lives, now)
        if in_force is None:
            raise PolicyNotInForce(
                "no version is in force to compare with: name one", policy_key=policy_key
            )
        before = in_force.policy_version
    if after is None:
        after = rules.find_candidate(lives, now=now)
    for number in (before, after):
        publication.find_life(lives, number)
    policies = {row.policy_version: to_version(row).policy for row in rows}
    changes = diff_documents(render_policy(policies[before]), render_policy(policies[after]))
    return Difference(policy_key=policy_key, before=before, after=after, changes=changes)


async def list_audit(
    conn: Connection, *, policy_key: PolicyKey, limit: int, after: str | None
) -> Page[AuditEntry]:
    """Return a page of the steps that were taken with a policy, newest first.

    What happened to a policy that is gone is there, too.

    :raises PolicyUnknown: when there was never such a policy
    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    start = page.decode_cursor(after, _AuditCursor) or _AuditCursor(store.LAST_ID)
    entries = await store.list_policy_audit(
        conn, policy_key=policy_key, before_id=start.audit_id, max_rows=limit + 1
    )
    if not entries and not await store.list_lives(conn, policy_key=policy_key):
        await _require_audit(conn, policy_key)
    return page.make_page(
        entries,
        limit=limit,
        find_cursor=lambda e: page.encode_cursor(_AuditCursor(e.audit_id)),
    )


async def _require_audit(conn: Connection, policy_key: PolicyKey) -> None:
    if not await store.list_policy_audit(
        conn, policy_key=policy_key, before_id=store.LAST_ID, max_rows=1
    ):
        raise PolicyUnknown("no policy has this key", policy_key=policy_key)
