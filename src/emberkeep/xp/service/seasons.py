"""The calendar of seasons."""

from __future__ import annotations

import datetime

from emberkeep.base.db import Connection
from emberkeep.xp import store
from emberkeep.xp.model import Season, SeasonId, SeasonOver, SeasonUnknown
from emberkeep.xp.rules.season import check_season
from emberkeep.xp.service.attempt import write_atomically


async def create_season(
    conn: Connection, *, season: Season, actor: str, now: datetime.datetime
) -> Season:
    """Add a season to the calendar; return it.

    :raises SeasonInvalid: when its name or dates cannot be used
    :raises SeasonExists: when there is one of this name
    :raises SeasonOverlap: when another has some of its days
    :raises SeasonOver: when players have claimed since it would have ended
    """
    check_season(season)

    async def write() -> Season:
        await store.insert_season(conn, season=season, actor=actor, now=now)
        # A season's end restarts streaks. Put between claims that were made already, it would say
        # that they should have been decided otherwise, and no rebuild would ever agree with them.
        if await store.has_claims_after(conn, day=season.end_date):
            raise SeasonOver("players have claimed since this season would have ended")
        return await read_season(conn, season_id=season.season_id)

    return await write_atomically(conn, write)


async def list_seasons(conn: Connection) -> list[Season]:
    """Return the calendar, in order."""
    return await store.list_seasons(conn)


async def read_season(conn: Connection, *, season_id: SeasonId) -> Season:
    """Return the season of this name.

    :raises SeasonUnknown: when there is none
    """
    season = await store.read_season(conn, season_id=season_id)
    if season is None:
        raise SeasonUnknown("no season has this name")
    return season
