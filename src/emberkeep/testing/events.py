"""Events as tests write them and expect them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from emberkeep.events.model import NewEvent, RecordedEvent
from emberkeep.events.service import make_event

Fact = tuple[str, Any]
"""What an event says: its type and its data."""


def create_test_event(
    event_type: str,
    data: object,
    *,
    metadata: Mapping[str, object] | None = None,
    event_version: int = 1,
    event_uuid: UUID | None = None,
) -> NewEvent:
    """Return an event whose metadata say that a test made it: `{"test": true}`.

    :raises AppendInvalid: if a value is nothing that JSON can say
    """
    return make_event(
        event_type,
        data,
        metadata={"test": True, **(metadata or {})},
        event_version=event_version,
        event_uuid=event_uuid,
    )


def list_facts(events: Sequence[RecordedEvent]) -> list[Fact]:
    """Return what the events say, without where and when."""
    return [(event.event_type, event.data) for event in events]


def check_facts(
    what: str, events: Sequence[RecordedEvent], expected: Sequence[tuple[str, object]]
) -> None:
    """Let events pass that say exactly what is expected, in this order.

    :raises AssertionError: with both, where they differ
    """
    # A tuple or an instant is read back as what JSON makes of it.
    wanted = [(event_type, _pass_through_json(data)) for event_type, data in expected]
    if list_facts(events) == wanted:
        return
    raise AssertionError(
        f"{what} does not hold what is expected\n"
        f"  expected: {_show(wanted)}\n"
        f"  found:    {_show(list_facts(events))}"
    )


def show_events(events: Sequence[RecordedEvent]) -> str:
    """Return one line for each event, for whoever looks for one that is not there."""
    if not events:
        return " nothing"
    return "".join(
        f"\n  {event.stream_id} {event.stream_version}: {_show([(event.event_type, event.data)])}"
        for event in events
    )


def _pass_through_json(data: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(data))


def _show(facts: Sequence[Fact]) -> str:
    if not facts:
        return "nothing"
    return ", ".join(f"{name} {msgspec.json.encode(data).decode()}" for name, data in facts)
