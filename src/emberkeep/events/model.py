"""The nouns of the event store, and its errors."""

from __future__ import annotations

import datetime
import enum
import uuid
from typing import Final, NewType, TypeAlias

import msgspec

from emberkeep.base.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable

StreamId = NewType("StreamId", str)

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
    """Where the events of an append stand. `is_retry`: they had been there before."""

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
