"""Level curves, and the levels that players reach: each is announced once, whatever comes after."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from emberkeep.base.db import Connection
from emberkeep.base.etag import Stale, format_etag
from emberkeep.events.model import NewEvent
from emberkeep.xp import store
from emberkeep.xp.model import (
    CatalogueSubject,
    LevelCurve,
    LevelCurveUnknown,
    PlayerId,
    PolicyKey,
    PolicyUnknown,
)
from emberkeep.xp.rules import level as rules
from emberkeep.xp.service.attempt import write_atomically

LEVEL_REACHED: Final = "LevelReached"
"""The type of the event that tells of a level, once for each player, policy and level."""

_encode = msgspec.json.Encoder().encode


async def read_curve(conn: Connection, *, policy_key: PolicyKey) -> LevelCurve:
    """Return the level curve of a policy.

    :raises LevelCurveUnknown: when it has none
    """
    curve = await store.read_level_curve(conn, policy_key=policy_key)
    if curve is None:
        raise LevelCurveUnknown("this policy has no level curve", policy_key=policy_key)
    return curve


async def put_curve(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    document: bytes,
    expected_revision: int | None,
    actor: str,
    now: datetime.datetime,
    reason: str = "",
) -> tuple[LevelCurve, bool]:
    """Give a policy the level curve that `document`, a JSON text, says; return it, and if it is new.

    Nobody is announced a level for it at once: each player is with the next claim or grant, and
    only levels above the highest that was ever announced.

    :param expected_revision: what the editor has seen; None overwrites whatever is there
    :param reason: where the document does not say one
    :raises LevelCurveInvalid: with everything that is wrong
    :raises PolicyUnknown: when there is no such policy
    :raises Stale: when the curve was changed since, or is not there any more
    """
    wish = rules.parse_curve(document)
    reason = wish.reason or reason
    rules.check_reason(reason)

    async def write() -> tuple[LevelCurve, bool]:
        before = await _lock(conn, policy_key, expected_revision)
        put = store.insert_level_curve if before is None else store.update_level_curve
        await put(conn, policy_key=policy_key, thresholds=wish.thresholds, actor=actor, now=now)
        curve = await read_curve(conn, policy_key=policy_key)
        step = "created" if before is None else "edited"
        await _audit(conn, curve, step, actor=actor, reason=reason, now=now)
        return curve, before is None

    return await write_atomically(conn, write)


async def delete_curve(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    expected_revision: int | None,
    actor: str,
    reason: str,
    now: datetime.datetime,
) -> None:
    """Take away the level curve of a policy. What was announced under it stays announced.

    :raises LevelCurveInvalid: when the reason cannot be kept
    :raises PolicyUnknown: when there is no such policy
    :raises LevelCurveUnknown: when it has no level curve
    :raises Stale: when the curve was changed since it was seen
    """
    rules.check_reason(reason)

    async def write() -> None:
        before = await _lock(conn, policy_key, expected_revision)
        if before is None:
            raise LevelCurveUnknown("this policy has no level curve", policy_key=policy_key)
        await store.delete_level_curve(conn, policy_key=policy_key)
        await _audit(conn, before, "deleted", actor=actor, reason=reason, now=now)

    await write_atomically(conn, write)


async def reach_levels(
    conn: Connection, *, player_id: PlayerId, curve: LevelCurve, lifetime_xp: int
) -> tuple[int, ...]:
    """Return the levels that a player has reached for the first time, and remember them.

    The transaction has written into the player's ledger, and so locked the balance.
    """
    if rules.find_level(curve, lifetime_xp) == rules.FIRST_LEVEL:
        return ()
    key = curve.policy_key
    highest = await store.read_highest_level(conn, player_id=player_id, policy_key=key)
    reached = rules.list_reached(
        curve, highest=highest or rules.FIRST_LEVEL, lifetime_xp=lifetime_xp
    )
    if reached:
        await store.update_highest_level(
            conn, player_id=player_id, policy_key=key, level=reached[-1]
        )
    return reached


async def announce_levels(
    conn: Connection,
    *,
    player_id: PlayerId,
    curve: LevelCurve | None,
    lifetime_xp: int,
    metadata: Mapping[str, object],
) -> list[NewEvent]:
    """Return what there is to tell after a row of the ledger: the levels reached by it, if any.

    The transaction has written that row, and so locked the balance.
    """
    if curve is None:
        return []
    reached = await reach_levels(conn, player_id=player_id, curve=curve, lifetime_xp=lifetime_xp)
    return make_level_events(
        player_id,
        curve.policy_key,
        reached,
        lifetime_xp=lifetime_xp,
        metadata=msgspec.json.encode(metadata).decode(),
    )


def make_level_events(
    player_id: PlayerId,
    policy_key: PolicyKey,
    levels: Sequence[int],
    *,
    lifetime_xp: int,
    metadata: str,
) -> list[NewEvent]:
    """Return what there is to tell about levels that were reached.

    :param metadata: a JSON text, of whatever reached them
    """
    return [
        NewEvent(
            event_type=LEVEL_REACHED,
            data=_encode(
                {
                    "player_id": player_id,
                    "policy_key": policy_key,
                    "level": level,
                    "lifetime_xp": lifetime_xp,
                }
            ).decode(),
            metadata=metadata,
        )
        for level in levels
    ]


async def _lock(
    conn: Connection, policy_key: PolicyKey, expected_revision: int | None
) -> LevelCurve | None:
    """Return the curve there is, which nobody else changes before this transaction ends."""
    if not await store.lock_policy(conn, policy_key=policy_key):
        raise PolicyUnknown("no policy has this key", policy_key=policy_key)
    curve = await store.read_level_curve(conn, policy_key=policy_key)
    if expected_revision is None:
        return curve
    if curve is None:
        raise Stale("the level curve was deleted since it was read")
    if curve.revision != expected_revision:
        etag = format_etag(curve.revision)
        raise Stale("the level curve was changed since it was read", etag=etag)
    return curve


async def _audit(
    conn: Connection,
    curve: LevelCurve,
    step: str,
    *,
    actor: str,
    reason: str,
    now: datetime.datetime,
) -> None:
    details: Mapping[str, object] = {"revision": curve.revision, "thresholds": curve.thresholds}
    await store.insert_catalogue_audit(
        conn,
        subject=CatalogueSubject.LEVEL_CURVE,
        subject_key=curve.policy_key,
        step=step,
        actor=actor,
        reason=reason,
        details=details,
        now=now,
    )
