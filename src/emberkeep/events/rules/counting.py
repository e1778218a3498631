"""How many events of each type and form a batch holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from emberkeep.events.model import RecordedEvent, TypeCount


def count_types(events: Iterable[RecordedEvent]) -> list[TypeCount]:
    """Return one count for each type and form, in order of both; `events` are in order."""
    counts: dict[tuple[str, int], tuple[int, RecordedEvent]] = {}
    for event in events:
        key = (event.event_type, event.event_version)
        counted, _ = counts.get(key, (0, event))
        counts[key] = (counted + 1, event)
    return [
        TypeCount(
            event_type=event_type,
            event_version=event_version,
            events=counted,
            last_event_id=last.event_id,
            last_created_at=last.created_at,
        )
        for (event_type, event_version), (counted, last) in sorted(
            counts.items(), key=lambda item: item[0]
        )
    ]
