"""The daily login over HTTP, before it is claimed: may it be, what will it pay, and why."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from emberkeep.base import identity
from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal
from emberkeep.xp.model import Eligibility, PolicyKey, Projection, Question, Verdict
from emberkeep.xp.routes.shapes import Body, find_player
from emberkeep.xp.service import eligibility, explanation, trial
from emberkeep.xp.service.services import XpServices

_TAGS: Final = ["daily login"]
_READ: Final = {"permission": Permission.READ_PLAYER}

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Moment = Annotated[
    str,
    msgspec.Meta(description="`tomorrow`, when the next reward day begins; or an instant to come."),
]


class QuestionBody(Body, frozen=True):
    """About whom, and by which policy, version of it, or document that was never saved.

    `player` is a made-up one, in place of a `player_id`: `time_zone`, and as far as it is not new
    `current_streak`, `longest_streak`, `grace_used`, `last_reward_day_id`, `segment_key`,
    `attributes`, `freezes_held` and `lifetime_xp`.
    """

    player_id: _Id | None = None
    player: dict[str, Any] | None = None
    policy_key: _Id | None = None
    policy_version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    document: dict[str, Any] | None = None


class PreviewBody(QuestionBody, frozen=True):
    """Whose days to come, how many, and by which policy."""

    days: Annotated[int, msgspec.Meta(ge=1, le=eligibility.MAX_DAYS)] | None = None


class ExplainBody(QuestionBody, frozen=True):
    """Whose claim, by which policy, and when; now, if it is not said."""

    at: _Moment | None = None


@get(
    "/v1/daily-login/eligibility",
    opt=_READ,
    tags=_TAGS,
    summary="Can the daily login be claimed?",
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
    at: Annotated[
        str | None,
        QueryParameter(
            description="When: `tomorrow`, or an instant to come; none: now. Nothing is claimed"
            " until then."
        ),
    ] = None,
) -> Eligibility:
    """Runs the rules of the claim without writing anything.

    `reason` is `already_claimed`, `window_closed` or `cooldown` where nothing would be paid.

    Refusals: `xp.no_policy_in_force` (409), `xp.player_unknown` and `xp.policy_unknown` (404),
    `xp.question_invalid` (422).
    """
    question = trial.read_question(
        player_id=find_player(principal, player_id),
        at=at,
        max_award_xp=xp.max_award_xp,
        now=now,
    )
    return await eligibility.check_eligibility(
        conn,
        question=question,
        policy_key=xp.default_policy_key if policy_key is None else PolicyKey(policy_key),
        catalogue=await xp.read_catalogue(conn),
        server_zone=xp.server_zone,
        now=now,
    )


@post(
    "/v1/daily-login/preview",
    opt=_READ,
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

    A named `policy_version` may be a draft, a `document` was never saved, and a `player` is made
    up: only those who read policies may say one of them.

    Refusals: `xp.no_policy_in_force` (409), `xp.player_unknown` and `xp.policy_unknown` (404),
    `request.role_refused` (403), `xp.question_invalid` (422, every error with its path),
    `xp.policy_key_mismatch` (422).
    """
    question = _read(data, principal, xp, now)
    policy_key, catalogue = await trial.choose_policy(
        conn,
        question=question,
        policy_key=_to_key(data.policy_key),
        default_policy_key=xp.default_policy_key,
        catalogue=await xp.read_catalogue(conn),
        now=now,
    )
    return await eligibility.project_days(
        conn,
        question=question,
        policy_key=policy_key,
        days=data.days,
        catalogue=catalogue,
        server_zone=xp.server_zone,
        now=now,
    )


@post(
    "/v1/daily-login/explain",
    opt=_READ,
    status_code=200,
    tags=_TAGS,
    summary="Why would the daily login pay what it would?",
)
async def explain_claim(
    data: JSONBody[ExplainBody],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> Verdict:
    """Claims in memory only, and says step by step which version, segment, curve row and boost
    decided, what became of the streak, and how it was rounded: `says` in plain words, `facts` in
    figures.

    That nothing would be paid is an answer, too: `reason` is `player_unknown`, `policy_unknown`,
    `no_policy_in_force`, `window_closed`, `cooldown`, `already_claimed` or `balance_limit`, and
    `come_back_at` the instant from which on it would be, where that is known. A `policy_version`, a
    `document` and a `player` are for those who read policies, as with the preview.

    Refusals: `request.role_refused` (403), `xp.question_invalid` (422, every error with its path),
    `xp.policy_key_mismatch` (422).
    """
    return await explanation.explain_claim(
        conn,
        question=_read(data, principal, xp, now, at=data.at),
        policy_key=_to_key(data.policy_key),
        default_policy_key=xp.default_policy_key,
        catalogue=await xp.read_catalogue(conn),
        server_zone=xp.server_zone,
        now=now,
    )


def _read(
    data: QuestionBody,
    principal: Principal,
    xp: XpServices,
    now: datetime.datetime,
    *,
    at: str | None = None,
) -> Question:
    """Return what is asked, if the caller may ask it."""
    if any(said is not None for said in (data.policy_version, data.document, data.player)):
        identity.require(principal, Permission.READ_POLICIES)
    is_made_up = data.player is not None and data.player_id is None
    # Written again, because a document is read as text: so its decimals stay as they are.
    document = None if data.document is None else msgspec.json.encode(data.document)
    return trial.read_question(
        player_id=None if is_made_up else find_player(principal, data.player_id),
        made_up=data.player,
        policy_version=data.policy_version,
        policy_document=document,
        at=at,
        max_award_xp=xp.max_award_xp,
        now=now,
    )


def _to_key(policy_key: str | None) -> PolicyKey | None:
    return None if policy_key is None else PolicyKey(policy_key)
