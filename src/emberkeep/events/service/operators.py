"""Subscriptions as operators name and see them, for HTTP and the command line alike."""

from __future__ import annotations

import datetime

import msgspec

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.base.page import Page
from emberkeep.events.model import (
    DEFAULT_SCHEMA,
    Consumer,
    Source,
    Start,
    SubscriptionId,
    SubscriptionInvalid,
    SubscriptionState,
    SubscriptionUnknown,
    TypeCount,
)
from emberkeep.events.rules import subscription as rules
from emberkeep.events.rules.append import list_name_faults
from emberkeep.events.service.projection import (
    PROJECTION_PREFIX,
    find_counting_subscription,
    list_type_counts,
)
from emberkeep.events.service.subscriptions import (
    list_consumers,
    list_subscriptions,
    reset_subscription,
)


class SubscriptionReport(msgspec.Struct, frozen=True, kw_only=True):
    """Where a subscription stands, and who is there to work on it."""

    subscription: SubscriptionState
    consumers: tuple[Consumer, ...]


class TypeCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The counts, and how many positions are still to be counted; None: nobody has begun to."""

    items: tuple[TypeCount, ...]
    lag: int | None


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    subscription_id: str
    stream_id: str


async def paginate_subscriptions(
    conn: Connection,
    *,
    after: str | None = None,
    limit: int = page.DEFAULT_ITEMS,
    schema: str = DEFAULT_SCHEMA,
) -> Page[SubscriptionState]:
    """Return a page of the subscriptions, by name.

    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    cursor = page.decode_cursor(after, _Cursor)
    states = await list_subscriptions(conn, schema=schema)
    # Looked for here: there are never so many that a page would cost less, and the database sorts
    # names by its own rules, which differ from one to the next.
    left = sorted(states, key=_key)
    if cursor is not None:
        left = [s for s in left if _key(s) > (cursor.subscription_id, cursor.stream_id)]
    return page.make_page(
        left, limit=limit, find_cursor=lambda state: page.encode_cursor(_Cursor(*_key(state)))
    )


def _key(state: SubscriptionState) -> tuple[str, str]:
    return state.subscription_id, state.stream_id


async def choose_subscription(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    source: Source | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> SubscriptionState:
    """Return where the subscription of this name stands.

    :param source: what it follows; needed only where several have the name
    :raises SubscriptionUnknown: when there is none, or several, which follow different things
    :raises SubscriptionInvalid: when there can be none
    """
    if faults := [*list_name_faults("subscription_id", subscription_id, rules.MAX_SUBSCRIPTION_ID)]:
        raise SubscriptionInvalid("no subscription can have this name", faults)
    states = await list_subscriptions(conn, subscription_id=subscription_id, schema=schema)
    if not states:
        raise SubscriptionUnknown("there is no subscription of this name")
    sources = [state.stream_id for state in states]
    if source is not None:
        wanted = rules.name_source(source)
        states = [state for state in states if state.stream_id == wanted]
        if not states:
            raise SubscriptionUnknown(
                f"the subscription of this name does not follow {wanted}", sources=sources
            )
    if len(states) > 1:
        raise SubscriptionUnknown(
            "several subscriptions have this name: say by its source which one", sources=sources
        )
    return states[0]


def refuse_projection(subscription_id: str) -> None:
    """Keep a projection's checkpoint from whoever would make its table a lie.

    :raises SubscriptionInvalid: when the name is a projection's
    """
    if subscription_id.startswith(PROJECTION_PREFIX):
        message = "belongs to a projection: `emberkeep events rebuild` builds that anew"
        raise SubscriptionInvalid(
            "a projection keeps its own place", (FieldError("subscription_id", message),)
        )


async def read_report(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    source: Source | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> SubscriptionReport:
    """Return where a subscription stands, and who works on it; errors as `choose_subscription`."""
    state = await choose_subscription(
        conn, subscription_id=subscription_id, source=source, schema=schema
    )
    consumers = await list_consumers(
        conn,
        subscription_id=subscription_id,
        source=rules.parse_source(state.stream_id),
        schema=schema,
    )
    return SubscriptionReport(subscription=state, consumers=tuple(consumers))


async def reset_to(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    source: Source | None = None,
    after: Start | None = None,
    concurrency_limit: int | None = None,
    now: datetime.datetime,
    schema: str = DEFAULT_SCHEMA,
) -> SubscriptionState:
    """Have a subscription go on elsewhere, or in other partitions; return where it stands then.

    :param after: None: where its slowest partition is, so that nothing is skipped
    :param concurrency_limit: None: as many partitions as it has
    :raises SubscriptionInvalid: when there can be no such number, or nothing stands there yet
    """
    refuse_projection(subscription_id)
    state = await choose_subscription(
        conn, subscription_id=subscription_id, source=source, schema=schema
    )
    followed = rules.parse_source(state.stream_id)
    await reset_subscription(
        conn,
        subscription_id=subscription_id,
        source=followed,
        after=after,
        concurrency_limit=state.concurrency_limit
        if concurrency_limit is None
        else concurrency_limit,
        now=now,
        schema=schema,
    )
    return await choose_subscription(
        conn, subscription_id=subscription_id, source=followed, schema=schema
    )


async def read_type_counts(conn: Connection, *, schema: str = DEFAULT_SCHEMA) -> TypeCounts:
    """Return how many events of each type and form there are, and what is not counted yet."""
    counting = await find_counting_subscription(conn, schema=schema)
    states = (
        []
        if counting is None
        else await list_subscriptions(conn, subscription_id=counting, schema=schema)
    )
    return TypeCounts(
        items=tuple(await list_type_counts(conn, schema=schema)),
        lag=states[0].lag if states else None,
    )
