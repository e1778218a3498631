"""The calendar of seasons, as operators change it."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Generator
from typing import Any

from psycopg import errors as pg_errors

from emberkeep.base.db import Connection
from emberkeep.xp.model import Season, SeasonExists, SeasonId, SeasonOverlap
from emberkeep.xp.store.statements import SQL


async def insert_season(
    conn: Connection, *, season: Season, actor: str, now: datetime.datetime
) -> None:
    """Add a season to the calendar.

    :raises SeasonExists: when there is one of this name; the transaction is broken then
    :raises SeasonOverlap: when another has some of its days; the transaction is broken then
    """
    with _refusals():
        await conn.execute(
            SQL["insert_season"], {**_to_parameters(season), "now": now, "actor": actor}
        )


async def update_season(conn: Connection, *, season: Season) -> None:
    """Write over the season of this name, which is locked.

    :raises SeasonOverlap: when another has some of its days; the transaction is broken then
    """
    with _refusals():
        await conn.execute(SQL["update_season"], _to_parameters(season))


def _to_parameters(season: Season) -> dict[str, object]:
    return {
        "season_id": season.season_id,
        "display_name": season.display_name or season.season_id,
        "start_date": season.start_date,
        "end_date": season.end_date,
    }


@contextlib.contextmanager
def _refusals() -> Generator[None]:
    try:
        yield
    except (pg_errors.UniqueViolation, pg_errors.ExclusionViolation) as e:
        match e.diag.constraint_name:
            case "xp_seasons_pk":
                raise SeasonExists("there is a season of this name") from e
            case "xp_seasons_no_overlap":
                raise SeasonOverlap("another season has some of these days") from e
            case _:
                raise


async def delete_season(conn: Connection, *, season_id: SeasonId) -> None:
    """Take the season of this name, which is locked, out of the calendar."""
    await conn.execute(SQL["delete_season"], {"season_id": season_id})


async def read_season(conn: Connection, *, season_id: SeasonId) -> Season | None:
    """Return the season of this name, if there is one."""
    cursor = await conn.execute(SQL["read_season"], {"season_id": season_id})
    row = await cursor.fetchone()
    return None if row is None else to_season(row)


async def lock_season(conn: Connection, *, season_id: SeasonId) -> Season | None:
    """Return the season of this name, if there is one; nobody else changes it meanwhile."""
    cursor = await conn.execute(SQL["lock_season"], {"season_id": season_id})
    row = await cursor.fetchone()
    return None if row is None else to_season(row)


async def hold_season(conn: Connection, *, season_id: SeasonId) -> bool:
    """Say whether there is a season of this name; if so, nobody takes it away meanwhile."""
    cursor = await conn.execute(SQL["hold_season"], {"season_id": season_id})
    return await cursor.fetchone() is not None


async def list_seasons(conn: Connection) -> list[Season]:
    """Return the calendar, in order."""
    cursor = await conn.execute(SQL["list_seasons"])
    return [to_season(row) for row in await cursor.fetchall()]


def to_season(row: tuple[Any, ...]) -> Season:
    """Return the season that `row` holds."""
    season_id, display_name, start_date, end_date = row
    return Season(
        season_id=season_id, display_name=display_name, start_date=start_date, end_date=end_date
    )


async def has_claims_after(conn: Connection, *, day: datetime.date) -> bool:
    """Say whether any player has claimed a reward day after `day`."""
    cursor = await conn.execute(SQL["has_claims_after"], {"reward_day_id": day.isoformat()})
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def has_balances_of_season(conn: Connection, *, season_id: SeasonId) -> bool:
    """Say whether any player's balance counts XP of this season."""
    cursor = await conn.execute(SQL["has_balances_of_season"], {"season_id": season_id})
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
