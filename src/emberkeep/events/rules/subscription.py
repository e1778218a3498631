"""Who gets which event, and what is a subscription at all. Pure."""

from __future__ import annotations

import zlib
from typing import Final, assert_never

from emberkeep.base.errors import FieldError
from emberkeep.events.model import (
    ALL_STREAMS,
    EVERYTHING,
    LAST_VERSION,
    AllStreams,
    Category,
    OneStream,
    RecordedEvent,
    Source,
    Start,
    StartFrom,
    StreamId,
    SubscriptionInvalid,
    SubscriptionPlan,
)
from emberkeep.events.rules.append import MAX_STREAM_ID, list_name_faults

MAX_SUBSCRIPTION_ID: Final = 255
MAX_PARTITIONS: Final = 256
MAX_BUFFER: Final = 10_000
_CATEGORY: Final = "$category-"


def name_source(source: Source) -> StreamId:
    """Return the name under which a subscription keeps what it follows."""
    match source:
        case AllStreams():
            return ALL_STREAMS
        case Category(name):
            return StreamId(f"{_CATEGORY}{name}")
        case OneStream(stream_id):
            return stream_id
        case _:
            assert_never(source)


def parse_source(name: str) -> Source:
    """Return what `name_source` named so.

    :raises SubscriptionInvalid: if nothing has this name
    """
    if name == ALL_STREAMS:
        source: Source = EVERYTHING
    elif name.startswith(_CATEGORY):
        source = Category(name.removeprefix(_CATEGORY))
    else:
        source = OneStream(StreamId(name))
    errors = _list_source_faults(source)
    if errors:
        raise SubscriptionInvalid("nothing of this name can be followed", errors)
    return source


def check_source(source: Source) -> None:
    """Let pass what can be followed.

    :raises SubscriptionInvalid: if it cannot be
    """
    errors = _list_source_faults(source)
    if errors:
        raise SubscriptionInvalid("nothing of this name can be followed", errors)


def _list_source_faults(source: Source) -> list[FieldError]:
    match source:
        case AllStreams():
            return []
        case Category(name):
            errors = list(list_name_faults("category", name, MAX_STREAM_ID - len(_CATEGORY)))
            if "-" in name:
                errors.append(FieldError("category", "holds a hyphen, which ends a category"))
            return errors
        case OneStream(stream_id):
            errors = list(list_name_faults("stream_id", stream_id, MAX_STREAM_ID))
            if stream_id.startswith("$"):
                errors.append(FieldError("stream_id", "begins with $, as only $all does"))
            return errors
        case _:
            assert_never(source)


def check_plan(plan: SubscriptionPlan) -> None:
    """Let a plan pass that can be carried out.

    :raises SubscriptionInvalid: with everything that is wrong
    """
    errors = [
        *list_name_faults("subscription_id", plan.subscription_id, MAX_SUBSCRIPTION_ID),
        *_list_source_faults(plan.source),
    ]
    errors += _list_range_faults("concurrency_limit", plan.concurrency_limit, 1, MAX_PARTITIONS)
    errors += _list_range_faults("buffer_size", plan.buffer_size, 1, MAX_BUFFER)
    errors += _list_range_faults("checkpoint_every", plan.checkpoint_every, 1, LAST_VERSION)
    if not isinstance(plan.start_from, StartFrom):
        errors += _list_range_faults("start_from", plan.start_from, 0, LAST_VERSION)
    if not plan.checkpoint_after_s > 0:
        errors.append(FieldError("checkpoint_after_s", "is not above 0"))
    if errors:
        raise SubscriptionInvalid("the subscription cannot be as it is asked for", errors)


def check_reset(*, after: Start | None, concurrency_limit: int) -> None:
    """Let pass where a subscription can go on, and in how many partitions.

    :raises SubscriptionInvalid: with everything that is wrong
    """
    errors = _list_range_faults("concurrency_limit", concurrency_limit, 1, MAX_PARTITIONS)
    if isinstance(after, int):
        errors += _list_range_faults("after", after, 0, LAST_VERSION)
    if errors:
        raise SubscriptionInvalid("the subscription cannot be reset so", errors)


def _list_range_faults(path: str, number: int, least: int, most: int) -> list[FieldError]:
    if least <= number <= most:
        return []
    return [FieldError(path, f"is not from {least} to {most:,}")]


def is_of_source(source: Source, stream_id: StreamId) -> bool:
    """Say whether events of this stream belong to what is followed."""
    match source:
        case AllStreams():
            return True
        case Category(name):
            return stream_id.split("-", 1)[0] == name
        case OneStream(wanted):
            return stream_id == wanted
        case _:
            assert_never(source)


def is_wanted(plan: SubscriptionPlan, event: RecordedEvent, partition: int) -> bool:
    """Say whether the partition of the subscription delivers this event."""
    if plan.concurrency_limit > 1 and find_partition(plan, event) != partition:
        return False
    return plan.selector is None or plan.selector(event)


def find_partition(plan: SubscriptionPlan, event: RecordedEvent) -> int:
    """Return the partition that an event falls into: by its stream, unless the plan says how.

    The same in every process and language: CRC-32 of the key's UTF-8, modulo the partitions.
    """
    key = event.stream_id if plan.partition_by is None else plan.partition_by(event)
    return zlib.crc32(key.encode()) % plan.concurrency_limit
