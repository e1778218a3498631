"""Recorded claims as the bytes of a table: nothing is unpacked row by row."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Final

from emberkeep.base.db import Connection
from emberkeep.xp.model import PlayerId, PolicyKey
from emberkeep.xp.store.statements import SQL

COPIED_ROW: Final = (
    ("fields", ">i2"),
    ("user_id_size", ">i4"),
    ("user_id", ">i8"),
    ("day_size", ">i4"),
    ("day", ">i4"),
    ("at_size", ">i4"),
    ("at", ">i8"),
    ("excused_size", ">i4"),
    ("excused", ">i4"),
)
"""A row of `copy_recorded_claims`: name and numpy type of each field. Source: PostgreSQL, COPY.

Days and microseconds are counted from the beginning of 2000.
"""

_ROW_BYTES: Final = 42
_HEADER_BYTES: Final = 19
_BYTES_AT_ONCE: Final = 2**20


async def count_recorded_claims(
    conn: Connection, *, policy_key: PolicyKey, last_day: datetime.date, sample_percent: int
) -> int:
    """Return how many claims `copy_recorded_claims` will yield in the same snapshot."""
    cursor = await conn.execute(
        SQL["count_recorded_claims"], _list_parameters(policy_key, last_day, sample_percent)
    )
    row = await cursor.fetchone()
    assert row is not None, "a count has one row"
    return row[0]


async def copy_recorded_claims(
    conn: Connection, *, policy_key: PolicyKey, last_day: datetime.date, sample_percent: int
) -> AsyncIterator[bytes]:
    """Yield the rows, each as `COPIED_ROW` says, many at a time and none in pieces."""
    statement = "copy (" + SQL["copy_recorded_claims"].rstrip(";") + ") to stdout (format binary)"
    parameters = _list_parameters(policy_key, last_day, sample_percent)
    rows = bytearray()
    skipped = _HEADER_BYTES
    async with conn.cursor() as cursor, cursor.copy(statement, parameters) as copy:
        async for block in copy:
            rows += memoryview(block)[skipped:]
            skipped = 0
            if len(rows) >= _BYTES_AT_ONCE:
                whole = len(rows) - len(rows) % _ROW_BYTES
                yield bytes(rows[:whole])
                del rows[:whole]
    # What is left ends with the trailer, which is shorter than a row.
    yield bytes(rows[: len(rows) - len(rows) % _ROW_BYTES])


async def count_other_actions(conn: Connection, *, sample_percent: int) -> int:
    """Return how many freezes were granted and streaks repaired, which no replay knows of."""
    cursor = await conn.execute(SQL["count_other_actions"], {"sample_percent": sample_percent})
    row = await cursor.fetchone()
    assert row is not None, "a count has one row"
    return row[0]


async def find_last_archived_day(conn: Connection, *, sample_percent: int) -> datetime.date | None:
    """Return the last day of which an award is in no table any more; None where all are."""
    cursor = await conn.execute(SQL["find_last_archived_day"], {"sample_percent": sample_percent})
    row = await cursor.fetchone()
    assert row is not None, "an aggregate has one row"
    return None if row[0] is None else datetime.date.fromisoformat(row[0])


async def list_player_ids(conn: Connection, *, user_ids: Sequence[int]) -> list[PlayerId]:
    """Return the ids that the platform gave the players of these numbers, which are in order."""
    cursor = await conn.execute(SQL["list_player_ids"], {"user_ids": list(user_ids)})
    return [row[0] for row in await cursor.fetchall()]


def _list_parameters(
    policy_key: PolicyKey, last_day: datetime.date, sample_percent: int
) -> dict[str, object]:
    return {
        "policy_key": policy_key,
        "last_day": last_day.isoformat(),
        "sample_percent": sample_percent,
    }
