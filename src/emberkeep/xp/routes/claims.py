"""The daily login over HTTP: claim it."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import msgspec

from emberkeep.base.db import Connection
from emberkeep.base.errors import EmberkeepError
from emberkeep.base.hot import Answer, HotRoute
from emberkeep.base.identity import Permission, Principal
from emberkeep.xp.model import (
    ClaimRequest,
    ClaimStatus,
    PolicyKey,
    Receipt,
)
from emberkeep.xp.routes.shapes import Body, find_player
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.claims import claim_batch
from emberkeep.xp.service.services import XpServices

_TAGS: Final = ["daily login"]
_encode = msgspec.json.Encoder().encode

# NUL and the like are refused with every body; what is too long to be an id is no player's.
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class ClaimBody(Body, frozen=True):
    """Whose daily login, and under which policy."""

    player_id: _Id | None = None
    policy_key: _Id | None = None


def make_hot_routes(xp: XpServices) -> list[HotRoute]:
    """Return the route that every player calls every day."""

    async def claim(principal: Principal, data: ClaimBody, now: datetime.datetime) -> Answer:
        receipt = await xp.desk.claim(
            player_id=find_player(principal, data.player_id),
            policy_key=_find_policy(xp, data.policy_key),
            now=now,
        )
        return _answer(receipt)

    async def claim_keyed(
        conn: Connection, principal: Principal, data: ClaimBody, now: datetime.datetime
    ) -> Answer:
        request = ClaimRequest(
            player_id=find_player(principal, data.player_id),
            policy_key=_find_policy(xp, data.policy_key),
            at=now,
            now=now,
        )
        return _answer(await _claim_alone(conn, xp, request))

    return [
        HotRoute(
            method="POST",
            path="/v1/daily-login/claim",
            permission=Permission.CLAIM,
            handler=claim,
            keyed_handler=claim_keyed,
            request=ClaimBody,
            answers={200: Receipt, 201: Receipt},
            summary="Claim the daily login",
            description=(
                "Pays the reward day that it is now in the player's time zone: 201 with the status"
                " `NEW`. A repeat on the same day is answered 200 with `ALREADY_CLAIMED`, the same"
                " receipt and the same figures. A player's token claims for that player; others"
                " name one.\n\nRefusals: `xp.window_closed` and `xp.cooldown` (409, with"
                " `opens_at`; the latter with the last `receipt`), `xp.no_policy_in_force` and"
                " `xp.balance_limit` (409),"
                " `xp.player_unknown` and `xp.policy_unknown` (404)."
            ),
            tags=tuple(_TAGS),
        )
    ]


async def _claim_alone(conn: Connection, xp: XpServices, request: ClaimRequest) -> Receipt:
    """Return the receipt of a claim that is a batch of its own, inside the transaction of `conn`."""

    async def write() -> Receipt | EmberkeepError:
        answers, _ = await claim_batch(
            conn,
            requests=[request],
            catalogue=xp.desk.catalogue,
            server_zone=xp.server_zone,
            now=request.now,
        )
        return answers[0]

    answer = await write_atomically(conn, write)
    if not isinstance(answer, Receipt):
        raise answer
    return answer


def _answer(receipt: Receipt) -> Answer:
    return Answer(201 if receipt.status is ClaimStatus.NEW else 200, _encode(receipt))


def _find_policy(xp: XpServices, policy_key: str | None) -> PolicyKey:
    return xp.default_policy_key if policy_key is None else PolicyKey(policy_key)
