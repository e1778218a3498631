"""Events of an old form, as the newest form says them. Pure: the store keeps what was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from emberkeep.events.model import RecordedEvent

Upcast = Callable[[Any], Any]
"""Takes the data of one version of an event type and returns them as the next version has them."""

_encode = msgspec.json.Encoder().encode


class Upcasters:
    """The steps from each old form of an event type to the next.

    `steps` are keyed by the type and the version that a step begins at. An event takes as many
    steps as there are, each to the version after its own. Events without a step cost one look-up.
    """

    def __init__(self, steps: Mapping[tuple[str, int], Upcast] | None = None) -> None:
        self._steps = dict(steps or {})

    def apply(self, event: RecordedEvent) -> RecordedEvent:
        """Return the event in its newest form, with that form's `event_version`."""
        version = event.event_version
        step = self._steps.get((event.event_type, version))
        if step is None:
            return event
        data = event.data
        while step is not None:
            data = step(data)
            version += 1
            step = self._steps.get((event.event_type, version))
        return msgspec.structs.replace(
            event, event_version=version, data_json=_encode(data).decode()
        )

    def apply_all(self, events: list[RecordedEvent]) -> list[RecordedEvent]:
        """Return all of them in their newest form."""
        return [self.apply(event) for event in events] if self._steps else events


NO_UPCASTERS: Final = Upcasters()
