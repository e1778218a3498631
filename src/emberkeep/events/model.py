"""The nouns of the event store, and its errors."""

from __future__ import annotations

import datetime
from typing import NewType

import msgspec

from emberkeep.base.errors import Conflict, NotFound

StreamId = NewType("StreamId", str)


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact that is to be appended to `stream_id`. `data` and `metadata` are JSON texts."""

    stream_id: StreamId
    event_type: str
    data: str
    metadata: str | None = None
    event_version: int = 1


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as it stands in the store."""

    event_id: int
    stream_id: StreamId
    stream_version: int
    event_type: str
    event_version: int
    data: object
    metadata: object
    created_at: datetime.datetime


class StreamDeleted(Conflict):
    """The stream was deleted: it takes no more events."""

    code = "events.stream_deleted"


class StreamUnknown(NotFound):
    """No event was ever appended to this stream."""

    code = "events.stream_unknown"
