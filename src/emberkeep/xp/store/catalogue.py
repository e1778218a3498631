"""Policies and overrides, as the catalogue of every process holds them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp.model import LevelCurve, PolicyKey, PolicyStatus, SegmentKey
from emberkeep.xp.store.statements import SQL


class VersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A policy version as it lies in the tables; `document` has the form of a policy document."""

    document: Mapping[str, object]
    policy_version: int
    status: PolicyStatus
    effective_at: datetime.datetime | None
    superseded_at: datetime.datetime | None
    published_at: datetime.datetime | None
    created_at: datetime.datetime
    created_by: str
    revision: int


async def read_revision(conn: Connection) -> int:
    """Return the catalogue's revision."""
    row = await (await conn.execute(SQL["read_revision"])).fetchone()
    assert row is not None, "xp_catalogue has one row"
    return int(row[0])


async def list_policy_versions(
    conn: Connection,
    *,
    policy_key: PolicyKey | None = None,
    policy_version: int | None = None,
) -> list[VersionRow]:
    """Return every version of one policy, or of all, oldest first."""
    cursor = await conn.execute(
        SQL["list_policy_versions"],
        {"policy_key": policy_key, "policy_version": policy_version},
    )
    return [_to_version_row(row) for row in await cursor.fetchall()]


def _to_version_row(row: tuple[Any, ...]) -> VersionRow:
    (
        policy_key,
        policy_version,
        status,
        display_name,
        description,
        base_xp_amount,
        currency,
        start_minutes,
        duration_hours,
        min_cooldown_hours,
        anchor_strategy,
        allowed_misses,
        window_days,
        model_type,
        model_parameters,
        sample_window_days,
        default_segment,
        freezes_max_held,
        freezes_earned_every_days,
        pause_max_days,
        pause_cooldown_days,
        effective_at,
        superseded_at,
        published_at,
        created_at,
        created_by,
        revision,
        curve,
        boosts,
    ) = row
    return VersionRow(
        document={
            "policy_key": policy_key,
            "display_name": display_name,
            "description": description,
            "base_xp_amount": base_xp_amount,
            "currency": currency,
            "claim_window": {
                "start_minutes": start_minutes,
                "duration_hours": duration_hours,
                "anchor_strategy": anchor_strategy,
                "min_cooldown_hours": min_cooldown_hours,
            },
            "grace": {"allowed_misses": allowed_misses, "window_days": window_days},
            "streak_model": {
                "type": model_type,
                "parameters": msgspec.json.decode(model_parameters),
            },
            "streak_curve": msgspec.json.decode(curve),
            "seasonal_boosts": msgspec.json.decode(boosts),
            "preview": {
                "sample_window_days": sample_window_days,
                "default_segment": default_segment,
            },
            "freezes": freezes_max_held
            and {
                "max_held": freezes_max_held,
                "earned_every_days": freezes_earned_every_days,
            },
            "pause": pause_max_days
            and {"max_days": pause_max_days, "cooldown_days": pause_cooldown_days},
        },
        policy_version=policy_version,
        status=PolicyStatus(status),
        effective_at=effective_at,
        superseded_at=superseded_at,
        published_at=published_at,
        created_at=created_at,
        created_by=created_by,
        revision=revision,
    )


async def list_overrides(conn: Connection) -> dict[tuple[PolicyKey, SegmentKey], int]:
    """Return the version that each segment gets, by policy and segment."""
    cursor = await conn.execute(SQL["list_overrides"])
    return {(key, segment): version for key, segment, version in await cursor.fetchall()}


async def list_level_curves(conn: Connection) -> list[LevelCurve]:
    """Return the level curve of every policy that has one."""
    cursor = await conn.execute(SQL["list_level_curves"])
    return [
        LevelCurve(policy_key=key, thresholds=tuple(thresholds), revision=revision)
        for key, thresholds, revision in await cursor.fetchall()
    ]
