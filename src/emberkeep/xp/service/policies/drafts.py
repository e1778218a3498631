"""Drafts: written, edited by those who have seen them, deleted; and documents tried beforehand."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.base.etag import Stale, format_etag
from emberkeep.xp import store
from emberkeep.xp.model import (
    DraftExists,
    Policy,
    PolicyKey,
    PolicyKeyMismatch,
    PolicyNotDraft,
    PolicyStatus,
    PolicyStep,
    PolicyVersion,
    Validation,
    VersionLife,
)
from emberkeep.xp.rules import policy as documents
from emberkeep.xp.rules import publication
from emberkeep.xp.rules.difference import diff_documents
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.policies.ground import audit, lock_policy, make_deed
from emberkeep.xp.service.policies.reads import read_version


def validate_document(document: bytes, *, max_award_xp: int) -> Validation:
    """Return what `document`, a JSON text, says and can pay; nothing is written.

    :raises PolicyInvalid: with everything that is wrong with the document
    """
    policy = documents.parse_policy(document, max_award_xp=max_award_xp)
    return Validation(policy=policy, bounds=documents.find_award_bounds(policy))


async def create_version(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    document: bytes,
    max_award_xp: int,
    actor: str,
    now: datetime.datetime,
    reason: str = "",
) -> PolicyVersion:
    """Return the new draft that `document`, a JSON text, says; its policy is created if need be.

    :raises PolicyInvalid: with everything that is wrong with the document
    :raises PolicyKeyMismatch: when the document is of another policy
    :raises DraftExists: when the policy has a draft
    :raises ReasonInvalid: when the reason cannot be kept
    """
    rendered = documents.render_policy(_parse(document, policy_key, max_award_xp))
    deed = make_deed(actor=actor, reason=reason, now=now)

    async def write() -> int:
        # Again, should somebody delete the policy's only draft between the two.
        while not await store.lock_policy(conn, policy_key=policy_key):
            await store.insert_policy(conn, document=rendered, actor=actor, now=now)
        draft = publication.find_draft(await store.list_lives(conn, policy_key=policy_key))
        if draft is not None:
            raise DraftExists("the policy has a draft", policy_version=draft.policy_version)
        # An ETag of a draft that was deleted must never fit another one.
        number = 1 + await store.read_last_version_number(conn, policy_key=policy_key)
        await store.insert_draft(
            conn, policy_version=number, document=rendered, actor=actor, now=now
        )
        await audit(conn, policy_key, number, PolicyStep.CREATED, deed, {})
        return number

    number = await write_atomically(conn, write)
    return await read_version(conn, policy_key=policy_key, policy_version=number)


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
    reason: str = "",
) -> PolicyVersion:
    """Write `document`, a JSON text, over a draft; return the draft.

    :param expected_revision: what the editor has seen; None overwrites whatever is there
    :raises PolicyInvalid: with everything that is wrong with the document
    :raises PolicyKeyMismatch: when the document is of another policy
    :raises PolicyUnknown: when there is no such version
    :raises PolicyNotDraft: when it was ever published
    :raises Stale: when it was edited since
    :raises ReasonInvalid: when the reason cannot be kept
    """
    rendered = documents.render_policy(_parse(document, policy_key, max_award_xp))
    deed = make_deed(actor=actor, reason=reason, now=now)

    async def write() -> None:
        lives = await lock_policy(conn, policy_key)
        revision = _check_draft(lives, policy_version, expected_revision)
        before = await _read_document(conn, policy_key, policy_version)
        await store.update_draft(conn, policy_version=policy_version, document=rendered)
        details = {
            "revision": revision + 1,
            "paths": [change.path for change in diff_documents(before, rendered)],
        }
        await audit(conn, policy_key, policy_version, PolicyStep.EDITED, deed, details)

    await write_atomically(conn, write)
    return await read_version(conn, policy_key=policy_key, policy_version=policy_version)


async def delete_draft(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    policy_version: int,
    expected_revision: int | None,
    actor: str,
    now: datetime.datetime,
    reason: str = "",
) -> None:
    """Take a draft away for good. A policy that never had another version goes with it.

    :param expected_revision: what whoever deletes it has seen; None deletes whatever is there
    :raises PolicyUnknown: when there is no such version
    :raises PolicyNotDraft: when it was ever published
    :raises Stale: when it was edited since
    :raises ReasonInvalid: when the reason cannot be kept
    """
    deed = make_deed(actor=actor, reason=reason, now=now)

    async def write() -> None:
        lives = await lock_policy(conn, policy_key)
        _check_draft(lives, policy_version, expected_revision)
        details = {"document": await _read_document(conn, policy_key, policy_version)}
        await store.delete_draft(conn, policy_key=policy_key, policy_version=policy_version)
        if len(lives) == 1:
            await store.delete_policy(conn, policy_key=policy_key)
        await audit(conn, policy_key, policy_version, PolicyStep.DELETED, deed, details)

    await write_atomically(conn, write)


def _parse(document: bytes, policy_key: PolicyKey, max_award_xp: int) -> Policy:
    policy = documents.parse_policy(document, max_award_xp=max_award_xp)
    if policy.policy_key != policy_key:
        error = FieldError("policy_key", f"must be {policy_key}, the key in the path")
        raise PolicyKeyMismatch("the document is of another policy", (error,))
    return policy


def _check_draft(
    lives: Sequence[VersionLife], policy_version: int, expected_revision: int | None
) -> int:
    """Return the revision of a draft that may be changed by who has seen `expected_revision`."""
    life = publication.find_life(lives, policy_version)
    if life.status is not PolicyStatus.DRAFT:
        raise PolicyNotDraft("this version was published: it never changes", status=life.status)
    if expected_revision not in (None, life.revision):
        raise Stale("the draft was edited since it was read", etag=format_etag(life.revision))
    return life.revision


async def _read_document(
    conn: Connection, policy_key: PolicyKey, policy_version: int
) -> dict[str, object]:
    version = await read_version(conn, policy_key=policy_key, policy_version=policy_version)
    return documents.render_policy(version.policy)
