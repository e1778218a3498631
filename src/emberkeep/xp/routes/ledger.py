"""Balance, ledger, awards and grants over HTTP."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from emberkeep.base import clock, page
from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.xp.model import (
    Award,
    BalanceFigures,
    Explanation,
    Grant,
    GrantWish,
    LedgerEntry,
    LevelFigures,
    Milestone,
    PlayerId,
    PolicyKey,
    SeasonId,
    SegmentKey,
    Standing,
    StreakFigures,
    TimelineItem,
)
from emberkeep.xp.routes.shapes import After, Body, Limit, PlayerPath, find_player
from emberkeep.xp.service import ledger
from emberkeep.xp.service.services import XpServices

_TAGS: Final = ["ledger"]


class GrantBody(Body, frozen=True):
    """XP to give, or to take where `amount` is negative."""

    amount: int
    reason: str
    metadata: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    season_id: str | None = None


class AwardShape(msgspec.Struct, frozen=True, kw_only=True):
    """One daily login that was paid, with the figures of its receipt."""

    receipt_id: str
    reward_day_id: datetime.date
    claimed_at: datetime.datetime
    xp_awarded: int
    streak: StreakFigures
    policy_key: PolicyKey
    policy_version: int
    segment: SegmentKey | None
    milestones: tuple[Milestone, ...]
    balance: BalanceFigures
    level: LevelFigures | None
    explain: Explanation


@get(
    "/v1/players/{player_id:str}/xp",
    opt={"permission": Permission.READ_PLAYER},
    tags=_TAGS,
    summary="Balance, level and streak",
)
async def read_xp(
    player_id: PlayerPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    xp: NamedDependency[XpServices],
    policy_key: Annotated[
        str | None,
        QueryParameter(description="By which policy's levels; none: the default one's."),
    ] = None,
) -> Standing:
    """`current` can be spent, `lifetime` only grows, `seasonal` counts for `season_id`. `level` is
    null where the policy has no level curve.

    Refusals: `xp.player_unknown` and `xp.policy_unknown` (404).
    """
    key = None if policy_key is None else PolicyKey(policy_key)
    return await ledger.read_xp(
        conn,
        player_id=find_player(principal, player_id),
        level_curve=await xp.find_level_curve(conn, policy_key=key),
    )


@get(
    "/v1/players/{player_id:str}/ledger",
    opt={"permission": Permission.READ_PLAYER},
    tags=_TAGS,
    summary="Every XP given or taken, newest first",
)
async def list_entries(
    player_id: PlayerPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[LedgerEntry]:
    """Append-only: a correction is a row of its own.

    Refusals: `xp.player_unknown` (404), `request.cursor_invalid` (422).
    """
    return await ledger.list_entries(
        conn, player_id=find_player(principal, player_id), limit=limit, after=after
    )


@get(
    "/v1/players/{player_id:str}/awards",
    opt={"permission": Permission.READ_PLAYER},
    tags=_TAGS,
    summary="The daily logins that were paid, latest day first",
)
async def list_awards(
    player_id: PlayerPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[AwardShape]:
    """At most one a reward day.

    Refusals: `xp.player_unknown` (404), `request.cursor_invalid` (422).
    """
    awards = await ledger.list_awards(
        conn, player_id=find_player(principal, player_id), limit=limit, after=after
    )
    return Page(tuple(_to_shape(award) for award in awards.items), awards.next)


def _to_shape(award: Award) -> AwardShape:
    return AwardShape(
        receipt_id=award.receipt_id,
        reward_day_id=award.reward_day,
        claimed_at=award.claimed_at,
        xp_awarded=award.xp_awarded,
        streak=award.streak,
        policy_key=award.policy_key,
        policy_version=award.policy_version,
        segment=award.segment,
        milestones=award.milestones,
        balance=award.balance,
        level=award.level,
        explain=award.explain,
    )


@get(
    "/v1/players/{player_id:str}/timeline",
    opt={"permission": Permission.READ_PLAYER},
    tags=_TAGS,
    summary="What happened to a player, newest first",
)
async def list_timeline(
    player_id: PlayerPath,
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
) -> Page[TimelineItem]:
    """Awards, ledger rows, streak actions, and requests for another time zone, refused ones too.

    Refusals: `xp.player_unknown` (404), `request.cursor_invalid` (422).
    """
    return await ledger.list_timeline(
        conn, player_id=find_player(principal, player_id), limit=limit, after=after
    )


@post(
    "/v1/players/{player_id:str}/grants",
    opt={"permission": Permission.GRANT_XP, "idempotent": True},
    tags=_TAGS,
    summary="Give XP, or take it",
)
async def grant_xp(
    player_id: PlayerPath,
    data: JSONBody[GrantBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> Grant:
    """Writes one row of the ledger. A debit lowers `lifetime` only with the metadata
    `{"affectsLifetime": true}`. `level` is the one after it, by the default policy's levels; each
    level is announced once, with a `LevelReached` event.

    Refusals: `xp.insufficient_balance` and `xp.balance_limit` (409, with `balance`),
    `xp.player_unknown` (404), `xp.grant_invalid` (422).
    """
    wish = GrantWish(
        player_id=PlayerId(player_id),
        amount=data.amount,
        reason=data.reason,
        metadata=data.metadata,
        season_id=None if data.season_id is None else SeasonId(data.season_id),
    )
    return await ledger.grant(
        conn,
        wish=wish,
        correlation_id=clock.new_id(),
        version=await xp.find_default_version(conn, now=now),
        actor=principal.subject,
        now=now,
        level_curve=await xp.find_level_curve(conn),
    )
