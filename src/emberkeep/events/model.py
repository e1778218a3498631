"""The nouns of the event store, and its errors."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Callable
from typing import Any, Final, NewType, TypeAlias

import msgspec

from emberkeep.base.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable

StreamId = NewType("StreamId", str)
SubscriptionId = NewType("SubscriptionId", str)

DEFAULT_SCHEMA: Final = "event_store"
"""The schema of the house's own store; others may stand beside it."""
ALL_STREAMS: Final = StreamId("$all")
"""Stands for the events of every stream, in their common order."""
LAST_VERSION: Final = 2**63 - 1
"""The highest version and position that a store can hold."""


class Expected(enum.Enum):
    """What an append may expect of its stream, beside the version of the last event."""

    ANY = "any"
    NO_STREAM = "no_stream"
    STREAM_EXISTS = "stream_exists"


ExpectedVersion: TypeAlias = Expected | int
"""0 is the version of a stream without events."""


class Direction(enum.StrEnum):
    """From the oldest event to the newest, or back."""

    FORWARD = "forward"
    BACKWARD = "backward"


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact that is to be appended. `data` and `metadata` are JSON texts.

    With an `event_uuid` the append it is part of can be repeated without effect.
    """

    event_type: str
    data: str
    metadata: str | None = None
    event_version: int = 1
    event_uuid: uuid.UUID | None = None


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """What is appended together, whole or not at all, if the stream is where it is expected."""

    stream_id: StreamId
    events: tuple[NewEvent, ...]
    expected_version: ExpectedVersion = Expected.ANY


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """Where the events of an append stand. `is_retry`: they had been there before.

    Versions follow each other; positions rise, but those of others may lie between them.
    """

    stream_id: StreamId
    first_version: int
    last_version: int
    first_event_id: int
    last_event_id: int
    is_retry: bool = False


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """A fact as it stands in the store. Data and metadata are decoded when they are asked for.

    `number` is where it stands in what was read: its version in that stream, which for a link is
    not the version it was written with; or its `event_id`, in `$all`.
    """

    number: int
    event_id: int
    event_uuid: uuid.UUID | None
    stream_id: StreamId
    stream_version: int
    event_type: str
    event_version: int
    data_json: str
    metadata_json: str | None
    created_at: datetime.datetime

    @property
    def data(self) -> object:
        """What the event says."""
        return msgspec.json.decode(self.data_json)

    @property
    def metadata(self) -> dict[str, object]:
        """Where it came from: `correlation_id`, `causation_id`, `actor`, `traceparent`."""
        if self.metadata_json is None:
            return {}
        return msgspec.json.decode(self.metadata_json, type=dict[str, object])


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stream has come. A deleted one has `deleted_at`, and an erased one both."""

    stream_id: StreamId
    stream_version: int
    created_at: datetime.datetime
    updated_at: datetime.datetime
    deleted_at: datetime.datetime | None
    erased_at: datetime.datetime | None
    metadata: object = None


class StreamSort(enum.StrEnum):
    """What a list of streams is in the order of."""

    STREAM_ID = "stream_id"
    STREAM_VERSION = "stream_version"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A state that somebody folded from the events of a source, up to `source_version`."""

    source_id: str
    source_version: int
    source_type: str
    data: object
    metadata: object = None
    created_at: datetime.datetime


class Horizon(msgspec.Struct, frozen=True):
    """Up to which position `$all` is final, and the last position that was handed out.

    Between the two are appends that have not ended, or were rolled back.
    """

    event_id: int
    last_event_id: int

    @property
    def is_waiting(self) -> bool:
        """Whether an append is under way."""
        return self.event_id < self.last_event_id


class AllStreams(msgspec.Struct, frozen=True):
    """Follow every stream, in their common order."""


class Category(msgspec.Struct, frozen=True):
    """Follow the streams of a category: what stands before the first hyphen of their names."""

    name: str


class OneStream(msgspec.Struct, frozen=True):
    """Follow one stream, with what is linked into it. It need not be there yet."""

    stream_id: StreamId


Source: TypeAlias = AllStreams | Category | OneStream
"""What can be followed. Positions are versions in one stream, and event ids everywhere else."""


EVERYTHING: Final = AllStreams()


class StartFrom(enum.Enum):
    """Where a new subscription begins, beside the number that it begins after."""

    ORIGIN = "origin"
    CURRENT = "current"


Start: TypeAlias = StartFrom | int


class OnFailure(enum.StrEnum):
    """What becomes of an event that cannot be handled, after the last attempt."""

    PARK = "park"
    STOP = "stop"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionPlan:
    """What a persistent subscription follows, and how. Its name and source say which one it is.

    Only events of `event_types`, if given, that `selector` lets pass are delivered, as `mapper`
    returns them. Events with one `partition_by` are handled one after the other; with a
    `concurrency_limit` others may be handled meanwhile. `start_from` counts the first time only.

    `selector`, `mapper` and `partition_by` must not raise: which event they would park is not known.

    Up to `buffer_size` events of a partition are read and not acknowledged. A checkpoint is written
    after `checkpoint_every` of them or `checkpoint_after_s`. An event that fails is tried again
    after each of `retry_pauses_s`, and then `on_failure`.
    """

    subscription_id: SubscriptionId
    source: Source = EVERYTHING
    start_from: Start = StartFrom.ORIGIN
    event_types: tuple[str, ...] | None = None
    selector: Callable[[RecordedEvent], bool] | None = None
    mapper: Callable[[RecordedEvent], Any] | None = None
    concurrency_limit: int = 1
    partition_by: Callable[[RecordedEvent], str] | None = None
    buffer_size: int = 1_000
    checkpoint_every: int = 1_000
    checkpoint_after_s: float = 1.0
    retry_pauses_s: tuple[float, ...] = (0.1, 0.5, 2.0)
    on_failure: OnFailure = OnFailure.PARK


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer's right to one partition, and where the partition stands.

    `share` is how many partitions the consumer should have, of `concurrency_limit`.
    """

    subscription_id: SubscriptionId
    stream_id: StreamId
    partition: int
    token: int
    event_id: int
    stream_version: int
    share: int
    concurrency_limit: int


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """An event as a subscription hands it out; `value` is what the mapper made of it.

    `is_replay`: it was parked, and an operator wants it handled once more.
    """

    event: RecordedEvent
    value: Any
    partition: int
    lease_token: int
    is_replay: bool


class SubscriptionState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a subscription stands: `lag` counts the versions or positions still before it."""

    subscription_id: SubscriptionId
    stream_id: StreamId
    concurrency_limit: int
    last_seen_event_id: int
    last_seen_stream_version: int
    lag: int
    consumers: int
    leased: int
    stopped: int
    stop_error: str | None
    parked: int
    created_at: datetime.datetime
    updated_at: datetime.datetime


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """Who works on a subscription, or waits to; `partitions` are those it leases."""

    consumer_id: uuid.UUID
    consumer_name: str
    joined_at: datetime.datetime
    seen_at: datetime.datetime
    partitions: tuple[int, ...]


class ParkedState(enum.StrEnum):
    """What became of an event that could not be handled."""

    PARKED = "parked"
    REPLAYING = "replaying"
    REPLAYED = "replayed"
    SKIPPED = "skipped"


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a subscription put aside, with the error of the last attempt."""

    event_id: int
    number: int
    partition: int
    state: ParkedState
    attempts: int
    error: str
    parked_at: datetime.datetime
    settled_at: datetime.datetime | None
    settled_by: str | None


class TypeCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many events of one type and form there are, and the last of them."""

    event_type: str
    event_version: int
    events: int
    last_event_id: int
    last_created_at: datetime.datetime


class ExpiredMonth(msgspec.Struct, frozen=True, kw_only=True):
    """A month of the archive that is gone, `YYYY-MM` in UTC, and how many events it held."""

    month: str
    events: int


class AppendInvalid(Invalid):
    """An append cannot be written, whatever the store holds: a name, an id, a version or a value."""

    code = "events.append_invalid"


class ReadInvalid(Invalid):
    """A read asks for a stream, a version or a count that there cannot be."""

    code = "events.read_invalid"


class WrongExpectedVersion(Conflict):
    """The stream is not where the append expected it; facts: `expected` and `actual`."""

    code = "events.wrong_expected_version"


class DuplicateEventUuid(Conflict):
    """An id of the append belongs to another event: in another stream, or of another append."""

    code = "events.duplicate_event_uuid"


class DuplicateLink(Conflict):
    """The event stands in that stream already."""

    code = "events.duplicate_link"


class SubscriptionInvalid(Invalid):
    """A subscription cannot be as it is asked for: its name, its source or its numbers."""

    code = "events.subscription_invalid"


class SubscriptionUnknown(NotFound):
    """There is no subscription of this name."""

    code = "events.subscription_unknown"


class SubscriptionChanged(Conflict):
    """The subscription falls into another number of partitions than its consumer expects."""

    code = "events.subscription_changed"


class SubscriptionStopped(Conflict):
    """An event could not be handled, and the subscription stops at such; an operator resumes it."""

    code = "events.subscription_stopped"


class LeaseLost(Conflict):
    """Another consumer works on the partition now; what was acknowledged here was not kept."""

    code = "events.lease_lost"


class ArchiveNeeded(Conflict):
    """A subscription has yet to see events that were to expire; facts say which, and of what month."""

    code = "events.archive_needed"


class ProjectionUnknown(NotFound):
    """There is no projection of this name."""

    code = "events.projection_unknown"


class StreamDeleted(Conflict):
    """The stream was deleted: it takes no more events, and shows none."""

    code = "events.stream_deleted"


class StreamUnknown(NotFound):
    """No event was ever appended to this stream."""

    code = "events.stream_unknown"


class EventUnknown(NotFound):
    """The store holds no such event."""

    code = "events.event_unknown"


class SnapshotUnknown(NotFound):
    """No state of this source is kept."""

    code = "events.snapshot_unknown"


class ErasureForbidden(Forbidden):
    """Erasing events is for good; `EMBERKEEP_ALLOW_ERASURE` does not allow it."""

    code = "events.erasure_forbidden"


class OrderUnknown(Unavailable):
    """A standby, or a transaction with one snapshot, cannot say how far `$all` is final."""

    code = "events.order_unknown"
