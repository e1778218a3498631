"""The calendar of seasons: what has begun stays as it is, and no claim is ever decided otherwise."""

from __future__ import annotations

import datetime
from typing import Final

import msgspec

from emberkeep.base.db import Connection
from emberkeep.base.etag import Stale, format_etag
from emberkeep.xp import store
from emberkeep.xp.model import (
    AnchorStrategy,
    CatalogueSubject,
    ClaimWindow,
    PolicyVersion,
    Season,
    SeasonBegun,
    SeasonId,
    SeasonInUse,
    SeasonOutlook,
    SeasonOver,
    SeasonSpan,
    SeasonUnknown,
)
from emberkeep.xp.rules import question, reward_day
from emberkeep.xp.rules import season as rules
from emberkeep.xp.service.attempt import write_atomically

read_instant = question.read_instant

_ONE_DAY: Final = datetime.timedelta(days=1)
_MIDNIGHTS: Final = ClaimWindow(
    start_minutes=0, duration_hours=24, anchor_strategy=AnchorStrategy.ANCHOR_TIMEZONE
)


async def create_season(
    conn: Connection, *, season: Season, actor: str, now: datetime.datetime, reason: str = ""
) -> Season:
    """Add a season to the calendar; return it.

    :raises SeasonInvalid: when its name or dates, or the reason, cannot be used
    :raises SeasonExists: when there is one of this name
    :raises SeasonOverlap: when another has some of its days
    :raises SeasonOver: when players have claimed since it would have ended
    """
    rules.check_season(season, reason=reason)

    async def write() -> Season:
        await store.insert_season(conn, season=season, actor=actor, now=now)
        await _check_end(conn, season)
        created = await read_season(conn, season_id=season.season_id)
        details = {"season": created}
        await _audit(conn, created, "created", details, actor=actor, reason=reason, now=now)
        return created

    return await write_atomically(conn, write)


async def edit_season(
    conn: Connection,
    *,
    season: Season,
    expected_tag: int | None,
    actor: str,
    reason: str,
    now: datetime.datetime,
) -> Season:
    """Write `season` over the one of its name, which has not begun; return it.

    Without a display name it keeps the one it has.

    :param expected_tag: of what the editor has seen; None overwrites whatever is there
    :raises SeasonInvalid: when its dates or its display name, or the reason, cannot be used
    :raises SeasonUnknown: when there is none of this name
    :raises Stale: when it was changed since it was seen
    :raises SeasonBegun: when it has begun somewhere, or players have claimed days of it or later
    :raises SeasonOverlap: when another has some of its days
    :raises SeasonOver: when players have claimed since it would have ended
    """
    rules.check_season(season, reason=reason)

    async def write() -> Season:
        before = await _lock(conn, season.season_id, expected_tag, now=now)
        display_name = season.display_name or before.display_name
        await store.update_season(
            conn, season=msgspec.structs.replace(season, display_name=display_name)
        )
        await _check_unclaimed(conn, before)
        await _check_end(conn, season)
        after = await read_season(conn, season_id=season.season_id)
        details = {"before": before, "season": after}
        await _audit(conn, after, "edited", details, actor=actor, reason=reason, now=now)
        return after

    return await write_atomically(conn, write)


async def delete_season(
    conn: Connection,
    *,
    season_id: SeasonId,
    expected_tag: int | None,
    actor: str,
    reason: str,
    now: datetime.datetime,
) -> None:
    """Take a season that has not begun out of the calendar.

    :raises SeasonInvalid: when the reason cannot be kept
    :raises SeasonUnknown: when there is none of this name
    :raises Stale: when it was changed since it was seen
    :raises SeasonBegun: when it has begun somewhere, or players have claimed days of it or later
    :raises SeasonInUse: when players were granted XP of it already
    """
    rules.check_reason(reason)

    async def write() -> None:
        before = await _lock(conn, season_id, expected_tag, now=now)
        await store.delete_season(conn, season_id=season_id)
        await _check_unclaimed(conn, before)
        if await store.has_balances_of_season(conn, season_id=season_id):
            raise SeasonInUse("players hold XP of this season")
        details = {"season": before}
        await _audit(conn, before, "deleted", details, actor=actor, reason=reason, now=now)

    await write_atomically(conn, write)


async def list_seasons(
    conn: Connection, *, span: SeasonSpan | None = None, day: datetime.date
) -> list[Season]:
    """Return the calendar, in order; or what of it lies so, seen from the reward day `day`."""
    return [
        season
        for season in await store.list_seasons(conn)
        if span is None or rules.find_span(season, day=day) is span
    ]


async def read_outlook(conn: Connection, *, day: datetime.date) -> SeasonOutlook:
    """Return the season of the reward day `day`, and the one that begins next."""
    return rules.find_outlook(await store.list_seasons(conn), day=day)


def find_day(
    *, at: datetime.datetime, time_zone: str, version: PolicyVersion | None, server_zone: str
) -> datetime.date:
    """Return the reward day that it is at `at` for a player whose zone is `time_zone`.

    :param version: whose claim window says when a day begins; None: at midnight
    :raises TimeZoneUnknown: when no player can have this zone
    :raises InstantOutOfRange: within days of the first or the last year there is
    """
    window = _MIDNIGHTS if version is None else version.policy.claim_window
    zone = reward_day.resolve_anchor(
        window.anchor_strategy,
        player_zone=reward_day.check_time_zone(time_zone),
        server_zone=server_zone,
    )
    return reward_day.find_reward_day(at=at, time_zone=zone, window=window).day


async def read_season(conn: Connection, *, season_id: SeasonId) -> Season:
    """Return the season of this name.

    :raises SeasonUnknown: when there is none
    """
    season = await store.read_season(conn, season_id=season_id)
    if season is None:
        raise SeasonUnknown("no season has this name")
    return season


def find_tag(season: Season) -> int:
    """Return what the season's entity tag is made of: it changes with whatever the season says."""
    return rules.make_tag(season)


async def _lock(
    conn: Connection, season_id: SeasonId, expected_tag: int | None, *, now: datetime.datetime
) -> Season:
    """Return the season there is, which has not begun; nobody else changes it meanwhile."""
    season = await store.lock_season(conn, season_id=season_id)
    if season is None:
        raise SeasonUnknown("no season has this name")
    tag = rules.make_tag(season)
    if expected_tag not in (None, tag):
        raise Stale("the season was changed since it was read", etag=format_etag(tag))
    if rules.has_begun(season, now=now):
        raise SeasonBegun("the season has begun", start_date=season.start_date.isoformat())
    return season


async def _check_unclaimed(conn: Connection, before: Season) -> None:
    """Let a change pass to a season whose days nobody has claimed, by whatever clock.

    A history that is replayed may run ahead of every clock on earth. Asked after the change was
    written: by then it waits for the claims under way, and those behind it wait for the change.
    """
    if await store.has_claims_after(conn, day=before.start_date - _ONE_DAY):
        raise SeasonBegun("players have claimed days of this season, or later ones")


async def _check_end(conn: Connection, season: Season) -> None:
    # A season's end restarts streaks. Put between claims that were made already, it would say that
    # they should have been decided otherwise, and no rebuild would ever agree with them.
    if await store.has_claims_after(conn, day=season.end_date):
        raise SeasonOver("players have claimed since this season would have ended")


async def _audit(
    conn: Connection,
    season: Season,
    step: str,
    details: dict[str, Season],
    *,
    actor: str,
    reason: str,
    now: datetime.datetime,
) -> None:
    await store.insert_catalogue_audit(
        conn,
        subject=CatalogueSubject.SEASON,
        subject_key=season.season_id,
        step=step,
        actor=actor,
        reason=reason,
        details=details,
        now=now,
    )
