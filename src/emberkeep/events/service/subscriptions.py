"""What operators do with subscriptions: look, resume, reset, and settle what was parked."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Annotated

import msgspec

from emberkeep.base import page
from emberkeep.base.db import Connection
from emberkeep.base.page import Page
from emberkeep.events import store
from emberkeep.events.model import (
    DEFAULT_SCHEMA,
    LAST_VERSION,
    Consumer,
    ParkedEvent,
    Source,
    Start,
    SubscriptionId,
    SubscriptionState,
    SubscriptionUnknown,
)
from emberkeep.events.rules import subscription as rules
from emberkeep.events.service.scan import find_start


class _ParkedCursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    number: Annotated[int, msgspec.Meta(ge=0, le=LAST_VERSION)]


async def list_subscriptions(
    conn: Connection,
    *,
    subscription_id: SubscriptionId | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> list[SubscriptionState]:
    """Return where every subscription stands, or those of one name."""
    return await store.list_subscriptions(conn, subscription_id=subscription_id, schema=schema)


async def find_subscription(
    conn: Connection, *, subscription_id: SubscriptionId, schema: str = DEFAULT_SCHEMA
) -> SubscriptionState:
    """Return where the one subscription of this name stands.

    :raises SubscriptionUnknown: when there is none, or several, which follow different things
    """
    states = await list_subscriptions(conn, subscription_id=subscription_id, schema=schema)
    if len(states) == 1:
        return states[0]
    sources = ", ".join(state.stream_id for state in states)
    raise SubscriptionUnknown(
        f"several subscriptions have this name; they follow {sources}"
        if states
        else "there is no subscription of this name"
    )


async def list_consumers(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    source: Source,
    schema: str = DEFAULT_SCHEMA,
) -> list[Consumer]:
    """Return who is there to work on a subscription, in the order they came."""
    return await store.list_consumers(
        conn,
        subscription_id=subscription_id,
        stream_id=rules.name_source(source),
        schema=schema,
    )


async def list_parked(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    source: Source,
    with_settled: bool = False,
    after: str | None = None,
    limit: int = page.DEFAULT_ITEMS,
    schema: str = DEFAULT_SCHEMA,
) -> Page[ParkedEvent]:
    """Return a page of what a subscription could not handle, in order.

    :param with_settled: also what was replayed or skipped since
    :raises CursorInvalid: when `after` is not a cursor of this list
    """
    cursor = page.decode_cursor(after, _ParkedCursor)
    rows = await store.list_parked(
        conn,
        subscription_id=subscription_id,
        stream_id=rules.name_source(source),
        with_settled=with_settled,
        after_number=0 if cursor is None else cursor.number,
        max_rows=limit + 1,
        schema=schema,
    )
    return page.make_page(
        rows,
        limit=limit,
        find_cursor=lambda parked: page.encode_cursor(_ParkedCursor(parked.number)),
    )


async def replay_parked(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    source: Source,
    event_ids: Sequence[int] | None = None,
    actor: str,
    schema: str = DEFAULT_SCHEMA,
) -> int:
    """Have parked events, or all of them, handled once more by whoever works on the subscription.

    Returns how many. One that fails again is parked again.
    """
    return await store.replay_parked(
        conn,
        subscription_id=subscription_id,
        stream_id=rules.name_source(source),
        event_ids=event_ids,
        actor=actor,
        schema=schema,
    )


async def skip_parked(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    source: Source,
    event_ids: Sequence[int] | None = None,
    actor: str,
    now: datetime.datetime,
    schema: str = DEFAULT_SCHEMA,
) -> int:
    """Give parked events up, or all of them; return how many."""
    return await store.skip_parked(
        conn,
        subscription_id=subscription_id,
        stream_id=rules.name_source(source),
        event_ids=event_ids,
        actor=actor,
        now=now,
        schema=schema,
    )


async def resume_subscription(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    source: Source,
    schema: str = DEFAULT_SCHEMA,
) -> int:
    """Let partitions that stopped at an event go on with it; return how many."""
    return await store.resume_subscription(
        conn,
        subscription_id=subscription_id,
        stream_id=rules.name_source(source),
        schema=schema,
    )


async def reset_subscription(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    source: Source,
    after: Start | None,
    concurrency_limit: int,
    now: datetime.datetime,
    schema: str = DEFAULT_SCHEMA,
) -> None:
    """Have a subscription go on after another number, or in another number of partitions.

    With `after=None` it goes on where its slowest partition is, so that nothing is skipped. Who
    works on it loses the partitions, and what is not acknowledged is delivered again.

    :raises SubscriptionUnknown: when there is none
    :raises SubscriptionInvalid: when there can be no such number, or nothing stands there yet
    """
    rules.check_reset(after=after, concurrency_limit=concurrency_limit)
    start = (
        None if after is None else await find_start(conn, source=source, start=after, schema=schema)
    )
    is_known = await store.reset_subscription(
        conn,
        subscription_id=subscription_id,
        stream_id=rules.name_source(source),
        start_event_id=None if start is None else start.event_id,
        start_stream_version=None if start is None else start.stream_version,
        concurrency_limit=concurrency_limit,
        now=now,
        schema=schema,
    )
    if not is_known:
        raise SubscriptionUnknown("there is no subscription of this name")


async def delete_subscription(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    source: Source,
    schema: str = DEFAULT_SCHEMA,
) -> None:
    """Forget a subscription, its checkpoints and what it parked. Who works on it ends.

    :raises SubscriptionUnknown: when there is none
    """
    is_known = await store.delete_subscription(
        conn,
        subscription_id=subscription_id,
        stream_id=rules.name_source(source),
        schema=schema,
    )
    if not is_known:
        raise SubscriptionUnknown("there is no subscription of this name")
