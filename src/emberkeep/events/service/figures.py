"""How the store is doing, for a monitor: what holds up its readers, and who lies behind."""

from __future__ import annotations

import datetime

from emberkeep.base.db import Connection
from emberkeep.base.figures import Figure
from emberkeep.events import store
from emberkeep.events.model import DEFAULT_SCHEMA, SubscriptionState


async def measure_events(
    conn: Connection, *, now: datetime.datetime, schema: str = DEFAULT_SCHEMA
) -> list[Figure]:
    """Return the figures of a store, as they are now.

    How long the oldest append has been open is NaN while another role's append is open, unless the
    role may read all statistics (`grant pg_read_all_stats to emberkeep_service`).
    """
    edge = await store.read_horizon(conn, schema=schema)
    open_appends, oldest_s = await store.measure_appends(conn, now=now, schema=schema)
    states = await store.list_subscriptions(conn, subscription_id=None, schema=schema)
    return [
        Figure(
            name="emberkeep_events_last_position",
            explains="The last position that was handed out to an append.",
            value=edge.last_event_id,
        ),
        Figure(
            name="emberkeep_events_horizon_position",
            explains="Up to which position the order of all streams is final.",
            value=edge.event_id,
        ),
        Figure(
            name="emberkeep_events_open_appends",
            explains="Transactions that have appended and not ended.",
            value=open_appends,
        ),
        Figure(
            name="emberkeep_events_oldest_open_append_seconds",
            explains="How long the oldest of them has been open: so far behind are all readers.",
            value=oldest_s,
        ),
        *(figure for state in states for figure in _describe(state)),
    ]


def _describe(state: SubscriptionState) -> list[Figure]:
    labels = (("subscription", state.subscription_id), ("follows", state.stream_id))
    return [
        Figure(
            name="emberkeep_subscription_lag_events",
            explains="Positions, or versions of one stream, that a subscription has before it.",
            value=state.lag,
            labels=labels,
        ),
        Figure(
            name="emberkeep_subscription_consumers",
            explains="Who is there to work on a subscription, at work or waiting.",
            value=state.consumers,
            labels=labels,
        ),
        Figure(
            name="emberkeep_subscription_parked_events",
            explains="Events that a subscription could not handle, and nobody has settled.",
            value=state.parked,
            labels=labels,
        ),
        Figure(
            name="emberkeep_subscription_stopped_partitions",
            explains="Partitions that stopped at an event and wait for an operator.",
            value=state.stopped,
            labels=labels,
        ),
    ]
