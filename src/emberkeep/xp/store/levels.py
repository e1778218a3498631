"""Level curves, and the highest level of a player that was announced."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp.model import LevelCurve, PlayerId, PolicyKey
from emberkeep.xp.store.statements import SQL

_ROWS_PER_FETCH: Final = 2_000

_decode_levels = msgspec.json.Decoder(dict[str, int]).decode


async def read_level_curve(conn: Connection, *, policy_key: PolicyKey) -> LevelCurve | None:
    """Return the level curve of this policy, if it has one."""
    cursor = await conn.execute(SQL["read_level_curve"], {"policy_key": policy_key})
    row = await cursor.fetchone()
    if row is None:
        return None
    key, thresholds, revision = row
    return LevelCurve(policy_key=key, thresholds=tuple(thresholds), revision=revision)


async def insert_level_curve(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    thresholds: tuple[int, ...],
    actor: str,
    now: datetime.datetime,
) -> None:
    """Give the policy, which is locked and has none, a level curve."""
    await conn.execute(
        SQL["insert_level_curve"], _to_parameters(policy_key, thresholds, actor, now)
    )


async def update_level_curve(
    conn: Connection,
    *,
    policy_key: PolicyKey,
    thresholds: tuple[int, ...],
    actor: str,
    now: datetime.datetime,
) -> None:
    """Write over the level curve of the policy, which is locked."""
    await conn.execute(
        SQL["update_level_curve"], _to_parameters(policy_key, thresholds, actor, now)
    )


def _to_parameters(
    policy_key: PolicyKey, thresholds: tuple[int, ...], actor: str, now: datetime.datetime
) -> dict[str, object]:
    return {
        "policy_key": policy_key,
        "thresholds": list(thresholds),
        "actor": actor,
        "now": now,
    }


async def delete_level_curve(conn: Connection, *, policy_key: PolicyKey) -> None:
    """Take away the level curve of the policy, which is locked."""
    await conn.execute(SQL["delete_level_curve"], {"policy_key": policy_key})


async def read_highest_level(
    conn: Connection, *, player_id: PlayerId, policy_key: PolicyKey
) -> int | None:
    """Return the highest level of a policy that was announced to a player, if any was."""
    cursor = await conn.execute(
        SQL["read_highest_level"], {"player_id": player_id, "policy_key": policy_key}
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def update_highest_level(
    conn: Connection, *, player_id: PlayerId, policy_key: PolicyKey, level: int
) -> None:
    """Remember that `level` and all below it were announced; the balance must be locked."""
    await conn.execute(
        SQL["update_highest_level"],
        {"player_id": player_id, "policy_key": policy_key, "level": level},
    )


async def stream_highest_levels(
    conn: Connection,
) -> AsyncIterator[tuple[PlayerId, Mapping[str, int] | None]]:
    """Yield who was announced levels, and the highest by policy, in order of the ids' bytes.

    None instead of the levels: what is remembered cannot be read.
    """
    async with conn.cursor(name="highest_levels") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        await cursor.execute(SQL["stream_highest_levels"])
        async for player_id, highest_levels in cursor:
            yield player_id, _read_levels(highest_levels)


def _read_levels(text: str) -> Mapping[str, int] | None:
    try:
        return _decode_levels(text)
    except msgspec.ValidationError:
        return None
