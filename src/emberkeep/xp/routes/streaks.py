"""Streaks over HTTP: how they stand, and what is done to them beside claims."""

from __future__ import annotations

import datetime
from typing import Final

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from emberkeep.base import clock, page
from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.xp.model import PauseWish, PlayerId, RepairWish, StreakAction, StreakStanding
from emberkeep.xp.routes.shapes import After, Body, Limit, PlayerPath, find_player
from emberkeep.xp.service import streaks
from emberkeep.xp.service.services import XpServices
from emberkeep.xp.service.streak_deeds import Cause

_TAGS: Final = ["streaks"]


class FreezesBody(Body, frozen=True):
    """Freezes to give, or to take where `amount` is negative."""

    amount: int
    reason: str


class PauseBody(Body, frozen=True):
    """A pause up to `last_day`; without a first day it begins with the next day to claim."""

    last_day: datetime.date
    first_day: datetime.date | None = None
    reason: str = ""


class ResumeBody(Body, frozen=True):
    """The end of a pause."""

    reason: str = ""


class RepairBody(Body, frozen=True):
    """What the streak is to be, and the missed days that are not to count, either or both."""

    reason: str
    streak_day: int | None = None
    excuse_from: datetime.date | None = None
    excuse_to: datetime.date | None = None


def _make_cause(principal: Principal, reason: str, now: datetime.datetime) -> Cause:
    return Cause(correlation_id=clock.new_id(), actor=principal.subject, reason=reason, now=now)


@get(
    "/v1/players/{player_id:str}/streak",
    opt={"permission": Permission.READ_PLAYER},
    tags=_TAGS,
    summary="How a streak stands, and what keeps it",
)
async def read_streak(
    player_id: PlayerPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> StreakStanding:
    """Figures as the last claim and the actions since left them; whether the streak still goes on is
    what `/v1/daily-login/eligibility` says. `today` is the player's present reward day.

    Refusals: `xp.player_unknown` (404).
    """
    return await streaks.read_streak(
        conn,
        player_id=find_player(principal, player_id),
        ground=await xp.find_ground(conn),
        now=now,
    )


@get(
    "/v1/players/{player_id:str}/streak/actions",
    opt={"permission": Permission.READ_PLAYER},
    tags=_TAGS,
    summary="What was done to a streak beside claims, newest first",
)
async def list_streak_actions(
    player_id: PlayerPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[StreakAction]:
    """Append-only: what was wrong is put right by another action.

    Refusals: `xp.player_unknown` (404), `request.cursor_invalid` (422).
    """
    return await streaks.list_actions(
        conn, player_id=find_player(principal, player_id), limit=limit, after=after
    )


@post(
    "/v1/players/{player_id:str}/streak/freezes",
    opt={"permission": Permission.GRANT_FREEZES, "idempotent": True},
    tags=_TAGS,
    summary="Give freezes, or take them",
)
async def grant_freezes(
    player_id: PlayerPath,
    data: JSONBody[FreezesBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> StreakAction:
    """Never more than the policy lets a player hold, and never less than none: `freezes` in the
    answer is what it came to.

    Refusals: `xp.freezes_full` (409, with `held` and `max_held`), `xp.no_freezes_held`,
    `xp.freezes_off` and `xp.no_policy_in_force` (409), `xp.player_unknown` and `xp.policy_unknown`
    (404), `xp.streak_action_invalid` (422).
    """
    return await streaks.grant_freezes(
        conn,
        player_id=PlayerId(player_id),
        amount=data.amount,
        ground=await xp.find_ground(conn),
        cause=_make_cause(principal, data.reason, now),
    )


@post(
    "/v1/players/{player_id:str}/streak/pause",
    opt={"permission": Permission.PAUSE_STREAK, "idempotent": True},
    tags=_TAGS,
    summary="Pause a streak",
)
async def pause_streak(
    player_id: PlayerPath,
    data: JSONBody[PauseBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> StreakAction:
    """The days of a pause do not count as missed. Whoever claims on one is paid as ever.

    Refusals: `xp.pause_cooldown` (409, with `earliest_day`), `xp.pause_refused` (409, with
    `earliest_day`, or `max_days` and `latest_day`), `xp.pause_running` (409, with its days),
    `xp.pause_off` and `xp.no_policy_in_force` (409), `xp.player_unknown` and `xp.policy_unknown`
    (404), `xp.streak_action_invalid` (422).
    """
    return await streaks.pause_streak(
        conn,
        player_id=find_player(principal, player_id),
        wish=PauseWish(first_day=data.first_day, last_day=data.last_day),
        ground=await xp.find_ground(conn),
        cause=_make_cause(principal, data.reason, now),
    )


@post(
    "/v1/players/{player_id:str}/streak/resume",
    opt={"permission": Permission.PAUSE_STREAK, "idempotent": True},
    tags=_TAGS,
    summary="End a pause",
)
async def resume_streak(
    player_id: PlayerPath,
    data: JSONBody[ResumeBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> StreakAction:
    """From today on the days of the pause count as missed again; one that is to come never was.

    Refusals: `xp.not_paused` (409), `xp.player_unknown` (404), `xp.streak_action_invalid` (422).
    """
    return await streaks.resume_streak(
        conn,
        player_id=find_player(principal, player_id),
        ground=await xp.find_ground(conn),
        cause=_make_cause(principal, data.reason, now),
    )


@post(
    "/v1/players/{player_id:str}/streak/repair",
    opt={"permission": Permission.REPAIR_STREAK, "idempotent": True},
    tags=_TAGS,
    summary="Repair a streak",
)
async def repair_streak(
    player_id: PlayerPath,
    data: JSONBody[RepairBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> StreakAction:
    """`streak_day` is what the streak was to be at the last claim: the next one makes it one more.
    The days from `excuse_from` to `excuse_to`, between the last claim and today, do not count as
    missed. Who did it, and why, stays in the player's history.

    Refusals: `xp.repair_refused` (409, with `last_reward_day_id` and `today`, or with
    `max_streak_day` where the policy counts no further), `xp.player_unknown` (404), `xp.streak_action_invalid` (422).
    """
    return await streaks.repair_streak(
        conn,
        player_id=PlayerId(player_id),
        wish=RepairWish(
            streak_day=data.streak_day, excuse_from=data.excuse_from, excuse_to=data.excuse_to
        ),
        ground=await xp.find_ground(conn),
        cause=_make_cause(principal, data.reason, now),
    )
