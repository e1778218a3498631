"""Players: create them, describe them, and move them to another time zone under its rules."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Annotated

import msgspec

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.page import Page
from emberkeep.xp import store
from emberkeep.xp.model import (
    ClaimWindow,
    Player,
    PlayerId,
    PlayerUnknown,
    PlayerWish,
    Season,
    TimeZoneCooldown,
    TimeZoneLimit,
    ZoneChange,
    ZoneRequest,
)
from emberkeep.xp.rules import player as player_rules
from emberkeep.xp.rules import reward_day, time_zone
from emberkeep.xp.rules.time_zone import Granted, Refused, SeasonCap, Unchanged, Zones
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.journeys import excuse_journey
from emberkeep.xp.service.streak_deeds import Cause
from emberkeep.xp.store import PlayerRow


class ZoneRule(msgspec.Struct, frozen=True, kw_only=True):
    """How changes of zone are governed: how often, and where a day of the old zone ends."""

    cooldown_days: int
    changes_per_season: int | None = None
    seasons: Sequence[Season] = ()
    window: ClaimWindow | None


class _ZoneCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    requested_at: Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    change_id: Annotated[int, msgspec.Meta(ge=0, le=store.LAST_ID)]


async def put_player(
    conn: Connection, *, wish: PlayerWish, rule: ZoneRule, cause: Cause
) -> tuple[Player, bool]:
    """Create the player, or change what is said of them; return it, and whether it is new.

    The zone of a present player is changed as `change_time_zone` would, with its refusal; a
    refusal changes nothing else either, and is kept.

    :param conn: in autocommit mode, because what is kept of a refusal must outlive it
    :raises PlayerInvalid: when the id, the segment or the attributes cannot be kept
    :raises TimeZoneUnknown: when the zone cannot be had
    :raises TimeZoneCooldown, TimeZoneLimit: when the zone was changed too recently, or too often
    """
    now = cause.now
    player_rules.check_wish(wish)
    reward_day.check_time_zone(wish.time_zone)

    async def write() -> tuple[PlayerRow, bool] | Refused:
        is_new = await store.insert_player(conn, wish=wish, now=now) is not None
        player = await _lock(conn, wish.player_id)
        if is_new:
            return player, True
        moved = await _move(conn, player, wish.time_zone, rule=rule, cause=cause)
        if isinstance(moved, Refused):
            return moved
        described = _describe(moved[0], wish)
        if described != player:
            described = msgspec.structs.replace(described, updated_at=now)
            await store.update_player(conn, player=described)
        return described, False

    written = await write_atomically(conn, write)
    if isinstance(written, Refused):
        raise _refusal(written)
    player, is_new = written
    return _to_player(player, now), is_new


async def read_player(conn: Connection, *, player_id: PlayerId, now: datetime.datetime) -> Player:
    """Return the player.

    :raises PlayerUnknown: when there is none of this id
    """
    player = await store.read_player(conn, player_id=player_id)
    if player is None:
        raise PlayerUnknown("no player has this id")
    return _to_player(player, now)


async def change_time_zone(
    conn: Connection,
    *,
    player_id: PlayerId,
    wanted: str,
    rule: ZoneRule,
    cause: Cause,
) -> ZoneChange:
    """Grant the player another reward time zone from the old zone's next boundary on.

    Asking for the zone that holds, or was granted already, changes nothing and costs nothing.
    Every other request is kept, refused ones too.

    :param conn: in autocommit mode, because what is kept of a refusal must outlive it
    :raises PlayerUnknown: when there is none of this id
    :raises TimeZoneUnknown: when the zone cannot be had
    :raises TimeZoneCooldown, TimeZoneLimit: when the zone was changed too recently, or too often
    """
    now = cause.now
    reward_day.check_time_zone(wanted)

    async def write() -> datetime.datetime | Refused:
        player = await _lock(conn, player_id)
        moved = await _move(conn, player, wanted, rule=rule, cause=cause)
        if isinstance(moved, Refused):
            return moved
        after, effective_at = moved
        if after != player:
            await store.update_player(conn, player=msgspec.structs.replace(after, updated_at=now))
        return effective_at

    effective_at = await write_atomically(conn, write)
    if isinstance(effective_at, Refused):
        raise _refusal(effective_at)
    return ZoneChange(time_zone=wanted, effective_at=effective_at)


async def _lock(conn: Connection, player_id: PlayerId) -> PlayerRow:
    player = await store.lock_player(conn, player_id=player_id)
    if player is None:
        raise PlayerUnknown("no player has this id")
    return player


async def _move(
    conn: Connection, player: PlayerRow, wanted: str, *, rule: ZoneRule, cause: Cause
) -> tuple[PlayerRow, datetime.datetime] | Refused:
    """Decide on the zone `wanted`, keep the request; return the player after it, and from when on."""
    now = cause.now
    zones = _fold(player, now)
    last_granted_at = await store.read_last_zone_change(conn, user_id=player.user_id)
    decision = time_zone.decide_change(
        zones,
        wanted=wanted,
        last_granted_at=last_granted_at,
        cooldown_days=rule.cooldown_days,
        cap=await _find_cap(conn, player, zones, rule, now),
        window=rule.window,
        now=now,
    )
    if not isinstance(decision, Unchanged):
        await store.insert_zone_change(
            conn,
            user_id=player.user_id,
            old_time_zone=zones.zone,
            new_time_zone=wanted,
            effective_at=decision.effective_at if isinstance(decision, Granted) else None,
            actor=cause.actor,
            now=now,
        )
    match decision:
        case Refused():
            return decision
        case Granted():
            is_replaced = zones.next_zone is not None
            await excuse_journey(
                conn,
                player.player_id,
                skipped=time_zone.find_skipped_days(decision.zones, window=rule.window, now=now),
                replaced_at=last_granted_at if is_replaced else None,
                cause=cause,
            )
            return _with_zones(player, decision.zones), decision.effective_at
        case Unchanged():
            return _with_zones(player, zones), decision.effective_at


async def _find_cap(
    conn: Connection, player: PlayerRow, zones: Zones, rule: ZoneRule, now: datetime.datetime
) -> SeasonCap | None:
    limit = rule.changes_per_season
    if limit is None:
        return None
    span = time_zone.find_season_span(
        rule.seasons, zone=zones.zone, window=rule.window, is_closed=limit == 0, now=now
    )
    if span is None:
        return None
    used = await store.count_zone_changes(conn, user_id=player.user_id, since=span.begins_at)
    return SeasonCap(limit=limit, used=used, opens_at=span.opens_at)


async def list_zone_changes(
    conn: Connection, *, player_id: PlayerId, limit: int, after: str | None
) -> Page[ZoneRequest]:
    """Return a page of a player's requests for another time zone, newest first; refused ones too.

    :raises PlayerUnknown: when there is no such player
    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    start = page.decode_cursor(after, _ZoneCursor) or _ZoneCursor(store.END_OF_TIME, store.LAST_ID)
    player = await store.read_player(conn, player_id=player_id)
    if player is None:
        raise PlayerUnknown("no player has this id")
    changes = await store.list_zone_changes(
        conn,
        user_id=player.user_id,
        before_at=start.requested_at,
        before_id=start.change_id,
        max_rows=limit + 1,
    )
    return page.make_page(
        changes,
        limit=limit,
        find_cursor=lambda c: page.encode_cursor(_ZoneCursor(c.requested_at, c.change_id)),
    )


def _fold(player: PlayerRow, now: datetime.datetime) -> Zones:
    zones = Zones(
        zone=player.reward_tz, next_zone=player.next_reward_tz, next_at=player.next_reward_tz_at
    )
    return time_zone.fold_zones(zones, now=now)


def _with_zones(player: PlayerRow, zones: Zones) -> PlayerRow:
    return msgspec.structs.replace(
        player,
        reward_tz=zones.zone,
        next_reward_tz=zones.next_zone,
        next_reward_tz_at=zones.next_at,
    )


def _describe(player: PlayerRow, wish: PlayerWish) -> PlayerRow:
    if not isinstance(wish.segment_key, msgspec.UnsetType):
        player = msgspec.structs.replace(player, segment_key=wish.segment_key)
    if not isinstance(wish.attributes, msgspec.UnsetType):
        player = msgspec.structs.replace(player, attributes=wish.attributes)
    return player


def _refusal(refused: Refused) -> TimeZoneCooldown | TimeZoneLimit:
    if refused.limit is None:
        return TimeZoneCooldown(
            "the reward time zone was changed too recently", opens_at=refused.opens_at
        )
    return TimeZoneLimit(
        "this season allows no further change of the reward time zone",
        opens_at=refused.opens_at,
        limit=refused.limit,
    )


def _to_player(player: PlayerRow, now: datetime.datetime) -> Player:
    zones = _fold(player, now)
    return Player(
        player_id=player.player_id,
        external_user_id=player.player_id,
        time_zone=zones.zone,
        next_time_zone=zones.next_zone,
        next_time_zone_at=zones.next_at,
        segment_key=player.segment_key,
        attributes=player.attributes,
        created_at=player.created_at,
        updated_at=player.updated_at,
    )
