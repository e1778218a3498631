"""Rebuilds of balances and streaks over HTTP."""

from __future__ import annotations

import datetime
from typing import Final

import structlog
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from emberkeep.base import clock
from emberkeep.base.identity import Permission, Principal
from emberkeep.xp.model import PlayerId, RebuildReport, RebuildTarget
from emberkeep.xp.routes.shapes import Body
from emberkeep.xp.service import rebuild
from emberkeep.xp.service.services import XpServices
from emberkeep.xp.service.streak_deeds import Cause

_TAGS: Final = ["ledger"]
_log = structlog.get_logger(__name__)


class RebuildBody(Body, frozen=True):
    """What is to be folded again: of one player, or of all."""

    what: RebuildTarget
    dry_run: bool = False
    player_id: str | None = None


@post(
    "/v1/xp/rebuilds",
    opt={"permission": Permission.REBUILD_XP},
    status_code=200,
    tags=_TAGS,
    summary="Fold balances or streaks from their history again",
)
async def rebuild_xp(
    data: JSONBody[RebuildBody],
    principal: NamedDependency[Principal],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> RebuildReport:
    """Balances from the ledger, streaks from awards and actions, in chunks of players, each a
    transaction: claims wait for their chunk only. What was right already is left alone, so that it
    can be asked for again at any time. A dry run only says what it would change. For millions of
    players use `emberkeep xp rebuild`, which shows how far it is.

    Refusals: `xp.player_unknown` (404).
    """
    # Not the request's transaction: each chunk is one of its own.
    async with xp.database.connection() as conn:
        report = await rebuild.rebuild(
            conn,
            what=data.what,
            is_dry_run=data.dry_run,
            player_id=None if data.player_id is None else PlayerId(data.player_id),
            cause=Cause(correlation_id=clock.new_id(), actor=principal.subject, now=now),
        )
    _log.info(
        "rebuilt",
        what=report.what.value,
        dry_run=report.is_dry_run,
        players=report.players,
        changed=report.changed,
        unreadable=report.unreadable_players,
        actor=principal.subject,
    )
    return report
