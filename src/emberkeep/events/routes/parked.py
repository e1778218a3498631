"""Parked events over HTTP, for operators: listed, replayed, skipped."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal
from emberkeep.base.page import Page
from emberkeep.events import service
from emberkeep.events.model import ParkedEvent, StreamId, SubscriptionId
from emberkeep.events.routes.shapes import (
    MAX_NUMBER,
    After,
    Body,
    Limit,
    SubscriptionPath,
    SubscriptionSource,
    parse_source,
)
from emberkeep.events.service.operators import choose_subscription

_MANAGE: Final = {"permission": Permission.MANAGE_SUBSCRIPTIONS}
_TAGS: Final = ["subscriptions"]

EventIds = Annotated[
    tuple[Annotated[int, msgspec.Meta(ge=1, le=MAX_NUMBER)], ...],
    msgspec.Meta(min_length=1, max_length=10_000),
]


class SettleBody(Body, frozen=True):
    """Which parked events are meant; null: all of them."""

    event_ids: EventIds | None = None


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """How many parked events it concerns; those that are not parked are not counted."""

    subscription_id: SubscriptionId
    stream_id: StreamId
    events: int


@get(
    "/v1/subscriptions/{subscription_id:str}/parked",
    opt={"permission": Permission.READ_EVENTS},
    tags=_TAGS,
    summary="List what a subscription could not handle",
)
async def list_parked(
    subscription_id: SubscriptionPath,
    conn: NamedDependency[Connection],
    with_settled: Annotated[
        bool,
        QueryParameter(name="all", description="Also what was replayed or skipped since."),
    ] = False,
    limit: Limit = page.DEFAULT_ITEMS,
    after: After = None,
    source: SubscriptionSource = None,
) -> Page[ParkedEvent]:
    """In order, each with the `error` of the last attempt.

    Refusals: `events.subscription_unknown` (404), `events.subscription_invalid` and
    `request.cursor_invalid` (422).
    """
    state = await choose_subscription(
        conn, subscription_id=SubscriptionId(subscription_id), source=parse_source(source)
    )
    return await service.list_parked(
        conn,
        subscription_id=state.subscription_id,
        source=service.parse_source(state.stream_id),
        with_settled=with_settled,
        after=after,
        limit=limit,
    )


@post(
    "/v1/subscriptions/{subscription_id:str}/replay",
    opt=_MANAGE,
    status_code=200,
    tags=_TAGS,
    summary="Have parked events handled once more",
)
async def replay_parked(
    subscription_id: SubscriptionPath,
    data: JSONBody[SettleBody],
    conn: NamedDependency[Connection],
    principal: NamedDependency[Principal],
    source: SubscriptionSource = None,
) -> Settled:
    """Whoever works on the subscription handles them, out of order; one that fails again is parked
    again. `{}` means all that are parked.

    Refusals: `events.subscription_unknown` (404), `events.subscription_invalid` (422).
    """
    state = await choose_subscription(
        conn, subscription_id=SubscriptionId(subscription_id), source=parse_source(source)
    )
    count = await service.replay_parked(
        conn,
        subscription_id=state.subscription_id,
        source=service.parse_source(state.stream_id),
        event_ids=data.event_ids,
        actor=principal.subject,
    )
    return Settled(subscription_id=state.subscription_id, stream_id=state.stream_id, events=count)


@post(
    "/v1/subscriptions/{subscription_id:str}/skip",
    opt=_MANAGE,
    status_code=200,
    tags=_TAGS,
    summary="Give parked events up",
)
async def skip_parked(
    subscription_id: SubscriptionPath,
    data: JSONBody[SettleBody],
    conn: NamedDependency[Connection],
    principal: NamedDependency[Principal],
    now: NamedDependency[datetime.datetime],
    source: SubscriptionSource = None,
) -> Settled:
    """They are never handled, and stay in the list with `all=true`. `{}` means all that are parked,
    also those that wait to be handled once more.

    Refusals: `events.subscription_unknown` (404), `events.subscription_invalid` (422).
    """
    state = await choose_subscription(
        conn, subscription_id=SubscriptionId(subscription_id), source=parse_source(source)
    )
    count = await service.skip_parked(
        conn,
        subscription_id=state.subscription_id,
        source=service.parse_source(state.stream_id),
        event_ids=data.event_ids,
        actor=principal.subject,
        now=now,
    )
    return Settled(subscription_id=state.subscription_id, stream_id=state.stream_id, events=count)
