"""Ledger rows taken back over HTTP."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter

from emberkeep.base import clock
from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal
from emberkeep.xp.model import PlayerId, Reversal, ReversalWish
from emberkeep.xp.routes.shapes import Body, PlayerPath
from emberkeep.xp.service.reversal import reverse_entry as reverse
from emberkeep.xp.service.services import XpServices

_LAST_ID = 2**63 - 1


class ReversalBody(Body, frozen=True):
    """Why a row is taken back; both may be left out."""

    reason: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


@post(
    "/v1/players/{player_id:str}/ledger/{ledger_id:int}/reverse",
    opt={"permission": Permission.GRANT_XP, "idempotent": True},
    tags=["ledger"],
    summary="Take a ledger row back",
)
async def reverse_entry(
    player_id: PlayerPath,
    ledger_id: Annotated[int, PathParameter(ge=1, le=_LAST_ID, description="The row's id.")],
    data: JSONBody[ReversalBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> Reversal:
    """Writes a row of the opposite amount, for the same season; lifetime XP stands as before, too. A
    row is taken back once, and a row that takes another back never. A claim that is taken back
    stays claimed: its award and streak stand.

    Refusals: `xp.already_reversed` (409, with `reversed_by`), `xp.reversal_of_reversal` (409),
    `xp.insufficient_balance` and `xp.balance_limit` (409, with `balance`), `xp.player_unknown` and
    `xp.entry_unknown` (404), `xp.reversal_invalid` (422).
    """
    wish = ReversalWish(
        player_id=PlayerId(player_id),
        ledger_id=ledger_id,
        reason=data.reason,
        metadata=data.metadata,
    )
    return await reverse(
        conn,
        wish=wish,
        correlation_id=clock.new_id(),
        level_curve=await xp.find_level_curve(conn),
        actor=principal.subject,
        now=now,
    )
