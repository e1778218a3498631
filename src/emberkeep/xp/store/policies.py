"""The life of a policy: drafts, what is in force when, and overrides."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp.model import PolicyKey, PolicyStatus, SegmentKey, VersionLife
from emberkeep.xp.store.statements import SQL

Document = Mapping[str, Any]
"""A policy document that is known to be valid, as JSON values."""


async def insert_policy(
    conn: Connection, *, document: Document, actor: str, now: datetime.datetime
) -> None:
    """Create the policy that `document` is a version of, unless it is there."""
    await conn.execute(
        SQL["insert_policy"],
        {
            "policy_key": document["policy_key"],
            "display_name": document["display_name"],
            "description": document["description"],
            "now": now,
            "actor": actor,
        },
    )


async def lock_policy(conn: Connection, *, policy_key: PolicyKey) -> bool:
    """Keep everybody else from changing this policy; False when there is none."""
    cursor = await conn.execute(SQL["lock_policy"], {"policy_key": policy_key})
    return await cursor.fetchone() is not None


async def list_lives(conn: Connection, *, policy_key: PolicyKey) -> list[VersionLife]:
    """Return the life of every version, oldest first."""
    cursor = await conn.execute(SQL["list_lives"], {"policy_key": policy_key})
    return [
        VersionLife(
            policy_version=policy_version,
            status=PolicyStatus(status),
            revision=revision,
            effective_at=effective_at,
            superseded_at=superseded_at,
            published_at=published_at,
        )
        for (
            policy_version,
            status,
            revision,
            effective_at,
            superseded_at,
            published_at,
        ) in await cursor.fetchall()
    ]


async def insert_draft(
    conn: Connection,
    *,
    policy_version: int,
    document: Document,
    actor: str,
    now: datetime.datetime,
) -> None:
    """Write a new draft with its curve and boosts; its policy must be locked."""
    parameters = _to_parameters(document, policy_version)
    await conn.execute(SQL["insert_draft"], {**parameters, "now": now, "actor": actor})
    await insert_curve(conn, policy_version=policy_version, document=document)
    await insert_boosts(conn, policy_version=policy_version, document=document)


async def update_draft(conn: Connection, *, policy_version: int, document: Document) -> None:
    """Write `document` over a draft, whose policy must be locked."""
    await conn.execute(SQL["update_draft"], _to_parameters(document, policy_version))
    await delete_curve(conn, policy_version=policy_version, document=document)
    await delete_boosts(conn, policy_version=policy_version, document=document)
    await insert_curve(conn, policy_version=policy_version, document=document)
    await insert_boosts(conn, policy_version=policy_version, document=document)


async def delete_draft(conn: Connection, *, policy_key: PolicyKey, policy_version: int) -> None:
    """Take away a draft with its curve and boosts; its policy must be locked."""
    await conn.execute(
        SQL["delete_draft"], {"policy_key": policy_key, "policy_version": policy_version}
    )


async def delete_policy(conn: Connection, *, policy_key: PolicyKey) -> None:
    """Take away a policy that has no version left, and is locked."""
    await conn.execute(SQL["delete_policy"], {"policy_key": policy_key})


def _to_parameters(document: Document, policy_version: int) -> dict[str, object]:
    window, grace = document["claim_window"], document["grace"]
    model, preview = document["streak_model"], document["preview"]
    freezes: Document = document.get("freezes") or {}
    pause: Document = document.get("pause") or {}
    return {
        "policy_key": document["policy_key"],
        "policy_version": policy_version,
        "display_name": document["display_name"],
        "description": document["description"],
        "base_xp_amount": document["base_xp_amount"],
        "currency": document["currency"],
        "start_minutes": window["start_minutes"],
        "duration_hours": window["duration_hours"],
        "min_cooldown_hours": window["min_cooldown_hours"],
        "anchor_strategy": window["anchor_strategy"],
        "allowed_misses": grace["allowed_misses"],
        "window_days": grace["window_days"],
        "model_type": model["type"],
        "model_parameters": msgspec.json.encode(model["parameters"]).decode(),
        "sample_window_days": preview["sample_window_days"],
        "default_segment": preview["default_segment"],
        "freezes_max_held": freezes.get("max_held"),
        "freezes_earned_every_days": freezes.get("earned_every_days"),
        "pause_max_days": pause.get("max_days"),
        "pause_cooldown_days": pause.get("cooldown_days"),
    }


async def delete_curve(conn: Connection, *, policy_version: int, document: Document) -> None:
    """Take away the curve of a draft of the policy that `document` names."""
    await conn.execute(
        SQL["delete_curve"],
        {"policy_key": document["policy_key"], "policy_version": policy_version},
    )


async def delete_boosts(conn: Connection, *, policy_version: int, document: Document) -> None:
    """Take away the boosts of a draft of the policy that `document` names."""
    await conn.execute(
        SQL["delete_boosts"],
        {"policy_key": document["policy_key"], "policy_version": policy_version},
    )


async def insert_curve(conn: Connection, *, policy_version: int, document: Document) -> None:
    """Write the curve of a draft."""
    rows: Sequence[Document] = document["streak_curve"]
    await conn.execute(
        SQL["insert_curve"],
        {
            "policy_key": document["policy_key"],
            "policy_version": policy_version,
            "day_indexes": [row["day_index"] for row in rows],
            "multipliers": [row["multiplier"] for row in rows],
            "additive_bonuses": [row["additive_bonus_xp"] for row in rows],
            "cap_next_days": [row["cap_next_day"] for row in rows],
        },
    )


async def insert_boosts(conn: Connection, *, policy_version: int, document: Document) -> None:
    """Write the boosts of a draft."""
    rows: Sequence[Document] = document["seasonal_boosts"]
    await conn.execute(
        SQL["insert_boosts"],
        {
            "policy_key": document["policy_key"],
            "policy_version": policy_version,
            "labels": [row["label"] for row in rows],
            "multipliers": [row["multiplier"] for row in rows],
            "starts_utc": [_to_instant(row["start_utc"]) for row in rows],
            "ends_utc": [_to_instant(row["end_utc"]) for row in rows],
        },
    )


def _to_instant(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


async def update_life(conn: Connection, *, policy_key: PolicyKey, life: VersionLife) -> None:
    """Take a step in the life of one version; the policy must be locked."""
    await conn.execute(
        SQL["update_life"],
        {
            "policy_key": policy_key,
            "policy_version": life.policy_version,
            "status": life.status.value,
            "effective_at": life.effective_at,
            "superseded_at": life.superseded_at,
            "published_at": life.published_at,
        },
    )


async def delete_overrides(conn: Connection, *, policy_key: PolicyKey) -> None:
    """Take away the overrides of one policy, which must be locked."""
    await conn.execute(SQL["delete_overrides"], {"policy_key": policy_key})


async def insert_overrides(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    overrides: Mapping[SegmentKey, int],
    actor: str,
    now: datetime.datetime,
) -> None:
    """Write overrides of one policy, which has none of these segments."""
    await conn.execute(
        SQL["insert_overrides"],
        {
            "policy_key": policy_key,
            "segment_keys": list(overrides),
            "policy_versions": list(overrides.values()),
            "now": now,
            "actor": actor,
        },
    )
