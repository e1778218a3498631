"""Events as callers write them: read as JSON, and stamped with where they come from."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from emberkeep.base.errors import FieldError
from emberkeep.events.model import (
    LAST_VERSION,
    AppendInvalid,
    Expected,
    ExpectedVersion,
    NewEvent,
)

_NAMED: Final = {expected.value: expected for expected in Expected}
_VERSION: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)

_encode = msgspec.json.Encoder().encode


class EventDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event that is to be appended. With an `event_uuid` the append can be repeated."""

    event_type: str
    data: msgspec.Raw
    metadata: dict[str, msgspec.Raw] | None = None
    event_version: int = 1
    event_uuid: uuid.UUID | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who appends, in which call, and as a part of which trace."""

    actor: str
    correlation_id: str | None = None
    traceparent: str | None = None


def make_events(drafts: Sequence[EventDraft], origin: Origin) -> list[NewEvent]:
    """Return the events as they are to be kept.

    What a caller says of an event's origin stands, but for the actor: that is whoever calls.

    :raises AppendInvalid: with every value that is not text
    """
    broken: list[FieldError] = []
    events = [
        NewEvent(
            event_type=draft.event_type,
            data=_read_text(bytes(draft.data), f"events[{n}].data", broken),
            metadata=_read_text(_stamp(draft.metadata, origin), f"events[{n}].metadata", broken),
            event_version=draft.event_version,
            event_uuid=draft.event_uuid,
        )
        for n, draft in enumerate(drafts)
    ]
    if broken:
        raise AppendInvalid("the append cannot be written", broken)
    return events


def _stamp(metadata: dict[str, msgspec.Raw] | None, origin: Origin) -> bytes:
    known: dict[str, object] = {"actor": origin.actor}
    if origin.correlation_id is not None:
        known["correlation_id"] = origin.correlation_id
    if origin.traceparent is not None:
        known["traceparent"] = origin.traceparent
    return _encode({**known, **(metadata or {}), "actor": origin.actor})


def _read_text(json: bytes, path: str, broken: list[FieldError]) -> str:
    """Return the JSON as text; the decoder has passed over these bytes without reading them."""
    try:
        return json.decode()
    except UnicodeDecodeError:
        broken.append(FieldError(path, "is not UTF-8"))
        return ""


def parse_expected_version(text: str) -> ExpectedVersion:
    """Return what `text` says a stream should be at: any, no_stream, stream_exists or a version.

    :raises AppendInvalid: if it says none of these
    """
    if text in _NAMED:
        return _NAMED[text]
    if _VERSION.fullmatch(text) is None or int(text) > LAST_VERSION:
        message = "is not any, no_stream, stream_exists or a version from 0 on"
        raise AppendInvalid(
            "nothing can be expected of the stream", (FieldError("expected_version", message),)
        )
    return int(text)
