"""Subscriptions over HTTP, for operators: listed, looked at, resumed, reset, deleted."""

from __future__ import annotations

import datetime
from typing import Annotated, Final, Literal

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission
from emberkeep.base.page import Page
from emberkeep.events import service
from emberkeep.events.model import (
    Start,
    StartFrom,
    StreamId,
    SubscriptionId,
    SubscriptionState,
)
from emberkeep.events.routes.shapes import (
    After,
    Body,
    Limit,
    Number,
    SubscriptionPath,
    SubscriptionSource,
    parse_source,
)
from emberkeep.events.service import operators
from emberkeep.events.service.operators import SubscriptionReport, TypeCounts

_READ: Final = {"permission": Permission.READ_EVENTS}
_MANAGE: Final = {"permission": Permission.MANAGE_SUBSCRIPTIONS}
_TAGS: Final = ["subscriptions"]


class ResetBody(Body, frozen=True):
    """Where a subscription is to go on, and in how many partitions; null: as it is."""

    after: Literal["origin", "current"] | Number | None = None
    partitions: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """How many partitions had stopped, and go on."""

    subscription_id: SubscriptionId
    stream_id: StreamId
    partitions: int


@get("/v1/subscriptions", opt=_READ, tags=_TAGS, summary="List persistent subscriptions")
async def list_subscriptions(
    conn: NamedDependency[Connection], limit: Limit = page.DEFAULT_ITEMS, after: After = None
) -> Page[SubscriptionState]:
    """By name. `stream_id` is what one follows: a stream, `$all`, or `$category-` and a category.

    `lag` counts the versions or positions that are still before it; of `concurrency_limit`
    partitions so many are `leased` by `consumers`, and so many have `stopped` at an event that
    could not be handled; `parked` events were put aside.

    Refusals: `request.cursor_invalid` (422).
    """
    return await operators.paginate_subscriptions(conn, after=after, limit=limit)


@get(
    "/v1/subscriptions/{subscription_id:str}",
    opt=_READ,
    tags=_TAGS,
    summary="Where a subscription stands, and who works on it",
)
async def read_subscription(
    subscription_id: SubscriptionPath,
    conn: NamedDependency[Connection],
    source: SubscriptionSource = None,
) -> SubscriptionReport:
    """A consumer without `partitions` waits to take over. One that was killed stays listed, at an
    old `seen_at`, until another takes its place.

    Refusals: `events.subscription_unknown` (404), `events.subscription_invalid` (422).
    """
    return await operators.read_report(
        conn, subscription_id=SubscriptionId(subscription_id), source=parse_source(source)
    )


@post(
    "/v1/subscriptions/{subscription_id:str}/resume",
    opt=_MANAGE,
    status_code=200,
    tags=_TAGS,
    summary="Let a subscription go on that has stopped",
)
async def resume_subscription(
    subscription_id: SubscriptionPath,
    conn: NamedDependency[Connection],
    source: SubscriptionSource = None,
) -> Resumed:
    """Each partition goes on with the event that it stopped at.

    Refusals: `events.subscription_unknown` (404), `events.subscription_invalid` (422).
    """
    state = await operators.choose_subscription(
        conn, subscription_id=SubscriptionId(subscription_id), source=parse_source(source)
    )
    resumed = await service.resume_subscription(
        conn,
        subscription_id=state.subscription_id,
        source=service.parse_source(state.stream_id),
    )
    return Resumed(
        subscription_id=state.subscription_id, stream_id=state.stream_id, partitions=resumed
    )


@post(
    "/v1/subscriptions/{subscription_id:str}/reset",
    opt=_MANAGE,
    status_code=200,
    tags=_TAGS,
    summary="Have a subscription go on elsewhere",
)
async def reset_subscription(
    subscription_id: SubscriptionPath,
    data: JSONBody[ResetBody],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
    source: SubscriptionSource = None,
) -> SubscriptionState:
    """`after` is `origin`, `current`, or a number: a version of its stream, or a position. What lies
    between is handled once more, or never. Without it the subscription goes on where its slowest
    partition is, so that nothing is skipped.

    `partitions` is into how many it falls from now on. Its consumers have to expect that number:
    others end with `events.subscription_changed`.

    Refusals: `events.subscription_unknown` (404), `events.subscription_invalid` (422).
    """
    return await operators.reset_to(
        conn,
        subscription_id=SubscriptionId(subscription_id),
        source=parse_source(source),
        after=_to_start(data.after),
        concurrency_limit=data.partitions,
        now=now,
    )


def _to_start(value: str | int | None) -> Start | None:
    return StartFrom(value) if isinstance(value, str) else value


@delete(
    "/v1/subscriptions/{subscription_id:str}",
    opt=_MANAGE,
    tags=_TAGS,
    summary="Forget a subscription",
)
async def delete_subscription(
    subscription_id: SubscriptionPath,
    conn: NamedDependency[Connection],
    source: SubscriptionSource = None,
) -> None:
    """Its checkpoints and what it parked are gone, and whoever works on it ends.

    Refusals: `events.subscription_unknown` (404), `events.subscription_invalid` (422).
    """
    state = await operators.choose_subscription(
        conn, subscription_id=SubscriptionId(subscription_id), source=parse_source(source)
    )
    await service.delete_subscription(
        conn,
        subscription_id=state.subscription_id,
        source=service.parse_source(state.stream_id),
    )


@get("/v1/event-types", opt=_READ, tags=["events"], summary="How many events of each type")
async def list_event_types(conn: NamedDependency[Connection]) -> TypeCounts:
    """Of each type and form (`event_version`), and the last of them. The worker counts: `lag` is how
    many positions it has still before it, null where it has not begun.
    """
    return await operators.read_type_counts(conn)
