"""The daily login over HTTP: claim it, ask whether it can be claimed, look ahead."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from emberkeep.base import identity
from emberkeep.base.db import Connection
from emberkeep.base.errors import EmberkeepError
from emberkeep.base.hot import Answer, HotRoute
from emberkeep.base.identity import Permission, Principal
from emberkeep.xp.model import (
    ClaimRequest,
    ClaimStatus,
    Eligibility,
    PolicyKey,
    Projection,
    Receipt,
)
from emberkeep.xp.routes.shapes import Body, find_player
from emberkeep.xp.service import eligibility
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


class PreviewBody(Body, frozen=True):
    """Whose days to come, how many, and under which policy or version of it."""

    player_id: _Id | None = None
    policy_key: _Id | None = None
    policy_version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=eligibility.MAX_DAYS)] | None = None


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


@get(
    "/v1/daily-login/eligibility",
    opt={"permission": Permission.READ_PLAYER},
    tags=_TAGS,
    summary="Can the daily login be claimed now?",
)
async def check_eligibility(
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
    player_id: Annotated[
        str | None, QueryParameter(description="Which player; a player's token need not say.")
    ] = None,
    policy_key: Annotated[
        str | None, QueryParameter(description="Which policy; none: the default one.")
    ] = None,
) -> Eligibility:
    """Runs the rules of the claim without writing anything.

    `reason` is `already_claimed`, `window_closed` or `cooldown` where nothing would be paid.

    Refusals: `xp.no_policy_in_force` (409), `xp.player_unknown` and `xp.policy_unknown` (404).
    """
    return await eligibility.check_eligibility(
        conn,
        player_id=find_player(principal, player_id),
        policy_key=_find_policy(xp, policy_key),
        catalogue=await xp.read_catalogue(conn),
        server_zone=xp.server_zone,
        now=now,
    )


@post(
    "/v1/daily-login/preview",
    opt={"permission": Permission.READ_PLAYER},
    status_code=200,
    tags=_TAGS,
    summary="What would the next days pay?",
)
async def preview_days(
    data: JSONBody[PreviewBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> Projection:
    """Claims each day to come as early as it can be, in memory only, and says why it pays that.

    A named `policy_version` may be a draft, so only those who read policies may name one.

    Refusals: `xp.no_policy_in_force` (409), `xp.player_unknown` and `xp.policy_unknown` (404),
    `request.role_refused` (403).
    """
    if data.policy_version is not None:
        identity.require(principal, Permission.READ_POLICIES)
    return await eligibility.project_days(
        conn,
        player_id=find_player(principal, data.player_id),
        policy_key=_find_policy(xp, data.policy_key),
        policy_version=data.policy_version,
        days=data.days,
        catalogue=await xp.read_catalogue(conn),
        server_zone=xp.server_zone,
        now=now,
    )
