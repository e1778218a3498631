"""What happened so far, over all players."""

from __future__ import annotations

from emberkeep.base.db import Connection
from emberkeep.xp import store
from emberkeep.xp.model import Summary

_SHOWN_STREAKS = 5


async def summarize(conn: Connection) -> Summary:
    """Return totals, the longest streaks and the milestones unlocked. Reads whole tables."""
    return Summary(
        totals=await store.read_totals(conn),
        longest_streaks=tuple(await store.list_longest_streaks(conn, max_rows=_SHOWN_STREAKS)),
        milestones=tuple(await store.count_milestones(conn)),
    )


async def list_zones_in_use(conn: Connection) -> list[str]:
    """Return the time zones of players; none before the first migration."""
    if not await store.has_players_table(conn):
        return []
    return await store.list_zones_in_use(conn)
