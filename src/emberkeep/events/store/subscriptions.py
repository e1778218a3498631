"""Subscriptions: leases, checkpoints, and events that could not be handled."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from typing import Any

from psycopg.rows import args_row, kwargs_row

from emberkeep.base import sql
from emberkeep.base.db import Connection
from emberkeep.events.model import (
    Consumer,
    Lease,
    ParkedEvent,
    RecordedEvent,
    StreamId,
    SubscriptionId,
    SubscriptionState,
)
from emberkeep.events.store.refusals import refusals
from emberkeep.events.store.statements import for_schema


async def create_subscription(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    stream_id: StreamId,
    start_event_id: int,
    start_stream_version: int,
    concurrency_limit: int,
    now: datetime.datetime,
    schema: str,
) -> int:
    """Begin a subscription unless it is there; return into how many partitions it falls."""
    return int(
        await _answer(
            conn,
            "create_subscription",
            schema,
            subscription_id=subscription_id,
            stream_id=stream_id,
            start_event_id=start_event_id,
            start_stream_version=start_stream_version,
            concurrency_limit=concurrency_limit,
            now=now,
        )
    )


async def reset_subscription(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    stream_id: StreamId,
    start_event_id: int | None,
    start_stream_version: int | None,
    concurrency_limit: int,
    now: datetime.datetime,
    schema: str,
) -> bool:
    """Set a subscription to a position, or with None to its slowest partition's."""
    return bool(
        await _answer(
            conn,
            "reset_subscription",
            schema,
            subscription_id=subscription_id,
            stream_id=stream_id,
            start_event_id=start_event_id,
            start_stream_version=start_stream_version,
            concurrency_limit=concurrency_limit,
            now=now,
        )
    )


async def delete_subscription(
    conn: Connection, *, subscription_id: SubscriptionId, stream_id: StreamId, schema: str
) -> bool:
    """Forget a subscription; say whether there was one."""
    return bool(
        await _answer(
            conn,
            "delete_subscription",
            schema,
            subscription_id=subscription_id,
            stream_id=stream_id,
        )
    )


async def join_subscription(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    stream_id: StreamId,
    consumer_id: uuid.UUID,
    consumer_name: str,
    now: datetime.datetime,
    schema: str,
) -> None:
    """Say that a consumer is there.

    :raises SubscriptionUnknown: when there is nothing to join
    """
    with refusals():
        await _answer(
            conn,
            "join_subscription",
            schema,
            subscription_id=subscription_id,
            stream_id=stream_id,
            consumer_id=consumer_id,
            consumer_name=consumer_name,
            now=now,
        )


async def leave_subscription(conn: Connection, *, consumer_id: uuid.UUID, schema: str) -> None:
    """Give everything that a consumer leases to those who wait."""
    await _answer(conn, "leave_subscription", schema, consumer_id=consumer_id)


async def lease_partitions(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    stream_id: StreamId,
    consumer_id: uuid.UUID,
    seen_after: datetime.datetime,
    leased_until: datetime.datetime,
    now: datetime.datetime,
    schema: str,
) -> list[Lease]:
    """Take what is free, up to an even share; return all that the consumer holds."""
    cursor = await conn.execute(
        for_schema(schema)["lease_partitions"],
        {
            "consumer_id": consumer_id,
            "seen_after": seen_after,
            "leased_until": leased_until,
            "now": now,
        },
    )
    return [
        Lease(
            subscription_id=subscription_id,
            stream_id=stream_id,
            partition=partition,
            token=token,
            event_id=event_id,
            stream_version=stream_version,
            share=share,
            concurrency_limit=limit,
        )
        for partition, token, event_id, stream_version, share, limit in await cursor.fetchall()
    ]


async def renew_leases(
    conn: Connection,
    *,
    consumer_ids: Sequence[uuid.UUID],
    leased_until: datetime.datetime,
    now: datetime.datetime,
    schema: str,
) -> set[uuid.UUID]:
    """Say that these consumers are alive; return those that are still known."""
    cursor = await conn.execute(
        for_schema(schema)["renew_leases"],
        {"consumer_ids": sql.array(consumer_ids), "leased_until": leased_until, "now": now},
    )
    return {consumer_id for (consumer_id,) in await cursor.fetchall()}


async def release_partition(
    conn: Connection,
    *,
    lease: Lease,
    schema: str,
) -> bool:
    """Give a partition to those who wait; say whether it was still held."""
    return bool(
        await _answer(
            conn,
            "release_partition",
            schema,
            **_name_lease(lease),
        )
    )


async def acknowledge_events(
    conn: Connection,
    *,
    lease: Lease,
    last_seen_event_id: int,
    last_seen_stream_version: int,
    now: datetime.datetime,
    schema: str,
) -> bool:
    """Move the checkpoint of a partition; False where the lease was lost."""
    return bool(
        await _answer(
            conn,
            "acknowledge_events",
            schema,
            **_name_lease(lease),
            last_seen_event_id=last_seen_event_id,
            last_seen_stream_version=last_seen_stream_version,
            now=now,
        )
    )


async def park_event(
    conn: Connection,
    *,
    lease: Lease,
    event_id: int,
    number: int,
    attempts: int,
    error: str,
    now: datetime.datetime,
    schema: str,
) -> bool:
    """Put an event aside with the reason; False where the lease was lost."""
    return bool(
        await _answer(
            conn,
            "park_event",
            schema,
            **_name_lease(lease),
            event_id=event_id,
            number=number,
            attempts=attempts,
            error=error,
            now=now,
        )
    )


async def stop_partition(
    conn: Connection,
    *,
    lease: Lease,
    error: str,
    now: datetime.datetime,
    schema: str,
) -> bool:
    """Let nobody go on with a partition; False where the lease was lost."""
    return bool(
        await _answer(
            conn,
            "stop_partition",
            schema,
            **_name_lease(lease),
            error=error,
            now=now,
        )
    )


async def resume_subscription(
    conn: Connection, *, subscription_id: SubscriptionId, stream_id: StreamId, schema: str
) -> int:
    """Let partitions that stopped go on; return how many."""
    return int(
        await _answer(
            conn,
            "resume_subscription",
            schema,
            subscription_id=subscription_id,
            stream_id=stream_id,
        )
    )


async def replay_parked(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    stream_id: StreamId,
    event_ids: Sequence[int] | None,
    actor: str,
    schema: str,
) -> int:
    """Have parked events, or all of them, handled once more; return how many."""
    return int(
        await _answer(
            conn,
            "replay_parked",
            schema,
            subscription_id=subscription_id,
            stream_id=stream_id,
            event_ids=None if event_ids is None else sql.array(event_ids),
            actor=actor,
        )
    )


async def skip_parked(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    stream_id: StreamId,
    event_ids: Sequence[int] | None,
    actor: str,
    now: datetime.datetime,
    schema: str,
) -> int:
    """Give parked events up, or all of them; return how many."""
    return int(
        await _answer(
            conn,
            "skip_parked",
            schema,
            subscription_id=subscription_id,
            stream_id=stream_id,
            event_ids=None if event_ids is None else sql.array(event_ids),
            actor=actor,
            now=now,
        )
    )


async def read_replays(
    conn: Connection,
    *,
    lease: Lease,
    max_count: int,
    schema: str,
) -> list[RecordedEvent]:
    """Return parked events that an operator wants handled once more, in order."""
    async with conn.cursor(binary=True, row_factory=args_row(RecordedEvent)) as cursor:
        await cursor.execute(
            for_schema(schema)["read_replays"],
            {**_name_lease(lease), "max_count": max_count},
        )
        return await cursor.fetchall()


async def settle_replay(
    conn: Connection,
    *,
    lease: Lease,
    event_id: int,
    now: datetime.datetime,
    schema: str,
) -> bool:
    """Say that a parked event was handled; False where the lease was lost, or it was skipped."""
    return bool(
        await _answer(
            conn,
            "settle_replay",
            schema,
            **_name_lease(lease),
            event_id=event_id,
            now=now,
        )
    )


async def list_subscriptions(
    conn: Connection, *, subscription_id: SubscriptionId | None, schema: str
) -> list[SubscriptionState]:
    """Return every subscription, or those of one name, by name."""
    async with conn.cursor(row_factory=kwargs_row(SubscriptionState)) as cursor:
        await cursor.execute(
            for_schema(schema)["list_subscriptions"], {"subscription_id": subscription_id}
        )
        return await cursor.fetchall()


async def list_consumers(
    conn: Connection, *, subscription_id: SubscriptionId, stream_id: StreamId, schema: str
) -> list[Consumer]:
    """Return who is there to work on a subscription, in the order they came."""
    cursor = await conn.execute(
        for_schema(schema)["list_consumers"],
        {"subscription_id": subscription_id, "stream_id": stream_id},
    )
    return [
        Consumer(
            consumer_id=consumer_id,
            consumer_name=name,
            joined_at=joined_at,
            seen_at=seen_at,
            partitions=tuple(partitions),
        )
        for consumer_id, name, joined_at, seen_at, partitions in await cursor.fetchall()
    ]


async def list_parked(
    conn: Connection,
    *,
    subscription_id: SubscriptionId,
    stream_id: StreamId,
    with_settled: bool,
    after_number: int,
    max_rows: int,
    schema: str,
) -> list[ParkedEvent]:
    """Return parked events of a subscription after a number, in order."""
    async with conn.cursor(row_factory=kwargs_row(ParkedEvent)) as cursor:
        await cursor.execute(
            for_schema(schema)["list_parked"],
            {
                "subscription_id": subscription_id,
                "stream_id": stream_id,
                "with_settled": with_settled,
                "after_number": after_number,
                "max_rows": max_rows,
            },
        )
        return await cursor.fetchall()


def _name_lease(lease: Lease) -> dict[str, object]:
    return {
        "subscription_id": lease.subscription_id,
        "stream_id": lease.stream_id,
        "partition": lease.partition,
        "lease_token": lease.token,
    }


async def _answer(conn: Connection, name: str, schema: str, **parameters: Any) -> Any:
    """Return the one value that a function of the database answers."""
    row = await (await conn.execute(for_schema(schema)[name], parameters)).fetchone()
    assert row is not None
    return row[0]
