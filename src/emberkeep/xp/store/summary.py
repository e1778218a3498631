"""Totals over all players. They read whole tables: for reports, not for requests."""

from __future__ import annotations

from emberkeep.base.db import Connection
from emberkeep.xp.model import LongestStreak, MilestoneCount, Totals
from emberkeep.xp.store.statements import SQL


async def read_totals(conn: Connection) -> Totals:
    """Return how many players, claims and XP there are."""
    row = await (await conn.execute(SQL["read_totals"])).fetchone()
    assert row is not None, "an aggregate has one row"
    players, claims, xp, first_day, last_day = row
    return Totals(
        players=players, claims=claims, xp=int(xp), first_day=first_day, last_day=last_day
    )


async def list_longest_streaks(conn: Connection, *, max_rows: int) -> list[LongestStreak]:
    """Return the players with the longest streaks ever, longest first."""
    cursor = await conn.execute(SQL["list_longest_streaks"], {"max_rows": max_rows})
    return [
        LongestStreak(player_id=player_id, longest_streak=longest, current_balance=balance)
        for player_id, longest, balance in await cursor.fetchall()
    ]


async def count_milestones(conn: Connection) -> list[MilestoneCount]:
    """Return how many players have unlocked each milestone, by its day."""
    cursor = await conn.execute(SQL["count_milestones"])
    return [
        MilestoneCount(day=day, reward_type=reward_type, reward_value=reward_value, players=players)
        for day, reward_type, reward_value, players in await cursor.fetchall()
    ]


async def has_players_table(conn: Connection) -> bool:
    """Say whether there is a schema to read from."""
    row = await (await conn.execute(SQL["has_players_table"])).fetchone()
    return row is not None and bool(row[0])


async def list_zones_in_use(conn: Connection) -> list[str]:
    """Return the names of the zones that players have."""
    cursor = await conn.execute(SQL["list_zones_in_use"])
    return [row[0] for row in await cursor.fetchall()]
