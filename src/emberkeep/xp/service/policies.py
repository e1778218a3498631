"""The life of a policy: draft, publish now or later, roll back, retire. Every step is audited.

Whoever changes a policy locks it first, so that two operators act one after the other, and the
second sees what the first has done.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.base.etag import Stale, format_etag
from emberkeep.base.page import Page
from emberkeep.xp import store
from emberkeep.xp.model import (
    DraftExists,
    Policy,
    PolicyKey,
    PolicyKeyMismatch,
    PolicyNotDraft,
    PolicyStatus,
    PolicyUnknown,
    PolicyVersion,
    SegmentKey,
    SegmentOverrideInvalid,
    VersionLife,
)
from emberkeep.xp.rules import catalogue as catalogues
from emberkeep.xp.rules import player as player_rules
from emberkeep.xp.rules import policy as documents
from emberkeep.xp.rules import publication
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.catalogue import load_catalogue, to_version

Overrides = Mapping[SegmentKey, int]
"""Which version each segment gets."""


class _VersionCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    policy_version: Annotated[int, msgspec.Meta(ge=1)]


def render_policy(policy: Policy) -> dict[str, object]:
    """Return the policy's document, as files and HTTP carry it."""
    return documents.render_policy(policy)


async def create_version(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    document: bytes,
    max_award_xp: int,
    actor: str,
    now: datetime.datetime,
) -> PolicyVersion:
    """Return the new draft that `document`, a JSON text, says; its policy is created if need be.

    :raises PolicyInvalid: with everything that is wrong with the document
    :raises PolicyKeyMismatch: when the document is of another policy
    :raises DraftExists: when the policy has a draft
    """
    policy = _parse(document, policy_key, max_award_xp)
    rendered = documents.render_policy(policy)

    async def write() -> int:
        await store.insert_policy(conn, document=rendered, actor=actor, now=now)
        lives = await _lock(conn, policy_key)
        for life in lives:
            if life.status is PolicyStatus.DRAFT:
                raise DraftExists("the policy has a draft", policy_version=life.policy_version)
        number = max((life.policy_version for life in lives), default=0) + 1
        await store.insert_draft(
            conn, policy_version=number, document=rendered, actor=actor, now=now
        )
        await _audit(conn, policy_key, number, "created", actor=actor, now=now)
        return number

    number = await write_atomically(conn, write)
    return await read_version(conn, policy_key=policy_key, policy_version=number)


async def publish_if_unknown(
    conn: Connection, *, document: bytes, max_award_xp: int, actor: str, now: datetime.datetime
) -> PolicyKey:
    """Return the key of `document`, which is published when nothing has this key yet.

    :raises PolicyInvalid: with everything that is wrong with the document
    """
    policy_key = documents.parse_policy(document, max_award_xp=max_award_xp).policy_key
    if await store.list_policy_versions(conn, policy_key=policy_key):
        return policy_key
    version = await create_version(
        conn,
        policy_key=policy_key,
        document=document,
        max_award_xp=max_award_xp,
        actor=actor,
        now=now,
    )
    await publish_version(
        conn,
        policy_key=policy_key,
        policy_version=version.policy_version,
        effective_at=None,
        overrides=None,
        actor=actor,
        now=now,
    )
    return policy_key


async def edit_draft(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    policy_version: int,
    document: bytes,
    expected_revision: int | None,
    max_award_xp: int,
    actor: str,
    now: datetime.datetime,
) -> PolicyVersion:
    """Write `document`, a JSON text, over a draft; return the draft.

    :param expected_revision: what the editor has seen; None overwrites whatever is there
    :raises PolicyInvalid: with everything that is wrong with the document
    :raises PolicyKeyMismatch: when the document is of another policy
    :raises PolicyUnknown: when there is no such version
    :raises PolicyNotDraft: when it was ever published
    :raises Stale: when it was edited since
    """
    policy = _parse(document, policy_key, max_award_xp)

    async def write() -> None:
        life = publication.find_life(await _lock(conn, policy_key), policy_version)
        if life.status is not PolicyStatus.DRAFT:
            raise PolicyNotDraft("only a draft can be edited", status=life.status)
        if expected_revision not in (None, life.revision):
            raise Stale("the draft was edited since it was read", etag=format_etag(life.revision))
        await store.update_draft(
            conn, policy_version=policy_version, document=documents.render_policy(policy)
        )
        details = {"revision": life.revision + 1}
        await _audit(
            conn, policy_key, policy_version, "edited", actor=actor, now=now, details=details
        )

    await write_atomically(conn, write)
    return await read_version(conn, policy_key=policy_key, policy_version=policy_version)


async def publish_version(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    policy_version: int,
    effective_at: datetime.datetime | None,
    overrides: Overrides | None,
    actor: str,
    now: datetime.datetime,
) -> PolicyVersion:
    """Publish a draft, or an archived version again, from `effective_at` (or now) on.

    Until then its predecessor stays in force. A publication that still waits is replaced.
    `overrides` take the place of the policy's, at once; None leaves those there are.

    :raises PolicyUnknown: when there is no such version
    :raises PolicyAlreadyPublished: when it is the published one
    :raises EffectiveAtInvalid: when the instant lies in the past
    :raises SegmentOverrideInvalid: when an override cannot be used
    """
    begins_at = effective_at or now
    publication.check_effective_at(begins_at, now=now)

    async def write() -> None:
        lives = await _lock(conn, policy_key)
        steps = publication.publish(
            lives, policy_version=policy_version, effective_at=begins_at, now=now
        )
        await _take_steps(conn, policy_key, steps, actor=actor, now=now)
        if overrides is not None:
            # By now the version is published, and may be somebody's override itself.
            lives = await store.list_lives(conn, policy_key=policy_key)
            await _replace_overrides(conn, policy_key, lives, overrides, actor=actor, now=now)

    await write_atomically(conn, write)
    return await read_version(conn, policy_key=policy_key, policy_version=policy_version)


async def retire_version(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    policy_version: int,
    actor: str,
    now: datetime.datetime,
) -> PolicyVersion:
    """Take the published version out of force, without a successor.

    One that still waits for its instant is taken back, and its predecessor goes on.

    :raises PolicyUnknown: when there is no such version
    :raises PolicyNotPublished: when it is not the published one
    """

    async def write() -> None:
        lives = await _lock(conn, policy_key)
        steps = publication.retire(lives, policy_version=policy_version, now=now)
        await _take_steps(conn, policy_key, steps, actor=actor, now=now)

    await write_atomically(conn, write)
    return await read_version(conn, policy_key=policy_key, policy_version=policy_version)


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
    conn: Connection, *, policy_key: PolicyKey, limit: int, after: str | None
) -> Page[PolicyVersion]:
    """Return a page of a policy's versions, newest first.

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
        if start is None or row.policy_version < start.policy_version
    ]
    return page.make_page(
        versions,
        limit=limit,
        find_cursor=lambda v: page.encode_cursor(_VersionCursor(v.policy_version)),
    )


async def read_active(
    conn: Connection, *, policy_key: PolicyKey, now: datetime.datetime
) -> PolicyVersion:
    """Return the version that is in force now.

    :raises PolicyUnknown: when nothing was ever published under this key
    :raises PolicyNotInForce: when no version is in force
    """
    catalogue = await load_catalogue(conn)
    version, _ = catalogues.find_version(catalogue, policy_key=policy_key, segment_key=None, at=now)
    return version


async def read_overrides(conn: Connection, *, policy_key: PolicyKey) -> dict[SegmentKey, int]:
    """Return which version of the policy each segment gets.

    :raises PolicyUnknown: when there is no such policy
    """
    if not await store.list_lives(conn, policy_key=policy_key):
        raise PolicyUnknown("no policy has this key", policy_key=policy_key)
    overrides = await store.list_overrides(conn)
    return {segment: version for (key, segment), version in overrides.items() if key == policy_key}


async def put_overrides(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    overrides: Overrides,
    actor: str,
    now: datetime.datetime,
) -> dict[SegmentKey, int]:
    """Let `overrides` take the place of the policy's, at once; return them.

    :raises PolicyUnknown: when there is no such policy
    :raises SegmentOverrideInvalid: when an override cannot be used
    """

    async def write() -> None:
        lives = await _lock(conn, policy_key)
        await _replace_overrides(conn, policy_key, lives, overrides, actor=actor, now=now)

    await write_atomically(conn, write)
    return await read_overrides(conn, policy_key=policy_key)


def _parse(document: bytes, policy_key: PolicyKey, max_award_xp: int) -> Policy:
    policy = documents.parse_policy(document, max_award_xp=max_award_xp)
    if policy.policy_key != policy_key:
        error = FieldError("policy_key", f"must be {policy_key}, the key in the path")
        raise PolicyKeyMismatch("the document is of another policy", (error,))
    return policy


async def _lock(conn: Connection, policy_key: PolicyKey) -> list[VersionLife]:
    if not await store.lock_policy(conn, policy_key=policy_key):
        raise PolicyUnknown("no policy has this key", policy_key=policy_key)
    return await store.list_lives(conn, policy_key=policy_key)


async def _take_steps(
    conn: Connection,
    policy_key: PolicyKey,
    steps: Sequence[VersionLife],
    *,
    actor: str,
    now: datetime.datetime,
) -> None:
    for life in steps:
        await store.update_life(conn, policy_key=policy_key, life=life)
        details = {"effective_at": life.effective_at, "superseded_at": life.superseded_at}
        step = life.status.value.lower()
        await _audit(
            conn, policy_key, life.policy_version, step, actor=actor, now=now, details=details
        )


async def _replace_overrides(
    conn: Connection,
    policy_key: PolicyKey,
    lives: Sequence[VersionLife],
    overrides: Overrides,
    *,
    actor: str,
    now: datetime.datetime,
) -> None:
    _check_overrides(lives, overrides)
    await store.delete_overrides(conn, policy_key=policy_key)
    await store.insert_overrides(
        conn, policy_key=policy_key, overrides=overrides, actor=actor, now=now
    )
    # Version 0: the step is about the policy, not about one version of it.
    details = {"segment_overrides": overrides}
    await _audit(conn, policy_key, 0, "overridden", actor=actor, now=now, details=details)


def _check_overrides(lives: Sequence[VersionLife], overrides: Overrides) -> None:
    usable = {life.policy_version for life in lives if life.status is not PolicyStatus.DRAFT}
    errors = [
        FieldError(f"segment_overrides.{segment}", "is not a lower-case slug")
        for segment in overrides
        if not player_rules.is_slug(segment)
    ]
    errors += [
        FieldError(f"segment_overrides.{segment}", f"version {version} was never published")
        for segment, version in overrides.items()
        if version not in usable
    ]
    if errors:
        raise SegmentOverrideInvalid("the segment overrides cannot be used", errors)


async def _audit(
    conn: Connection,
    policy_key: PolicyKey,
    policy_version: int,
    step: str,
    *,
    actor: str,
    now: datetime.datetime,
    details: Mapping[str, object] | None = None,
) -> None:
    await store.insert_audit(
        conn,
        policy_key=policy_key,
        policy_version=policy_version,
        step=step,
        actor=actor,
        details=details or {},
        now=now,
    )
