"""How far a partition is: what was handed out, acknowledged, and written down. Pure bookkeeping.

    written ──── acknowledged ──── handed out ──── read
       │              │                │             │
   checkpoint   may be written    the consumer    where the
   in the store    at any time     works on it    next page begins

A checkpoint never passes an event that was handed out and not acknowledged.
"""

from __future__ import annotations

import collections
from typing import NamedTuple

from emberkeep.events.model import RecordedEvent


class Position(NamedTuple):
    """A place in `$all` and, for a subscription to one stream, in that stream."""

    event_id: int
    stream_version: int


class Progress:
    """The positions of one partition, for as long as one lease of it holds."""

    def __init__(self, written: Position, *, is_stream: bool) -> None:
        self._is_stream = is_stream
        self._written = written
        self._acknowledged = written
        self._read = written
        self._handed_out: collections.deque[tuple[int, Position]] = collections.deque()
        self._events_unwritten = 0

    @property
    def read_after(self) -> int:
        """The number after which the next page begins."""
        return self._number_of(self._read)

    @property
    def outstanding(self) -> int:
        """How many events were handed out and not acknowledged."""
        return len(self._handed_out)

    @property
    def events_unwritten(self) -> int:
        """How many events were acknowledged since the last checkpoint."""
        return self._events_unwritten

    @property
    def checkpoint(self) -> Position | None:
        """What is to be written; None where that stands already."""
        return None if self._acknowledged == self._written else self._acknowledged

    def hand_out(self, event: RecordedEvent) -> None:
        """Note that the consumer has this event, which comes after all before it."""
        self._read = self.position_of(event)
        self._handed_out.append((event.number, self._read))

    def pass_by(self, number: int) -> None:
        """Note that up to this number there is nothing to hand out."""
        if self._is_stream:
            self._read = Position(self._read.event_id, max(number, self._read.stream_version))
        else:
            self._read = Position(max(number, self._read.event_id), 0)
        if not self._handed_out:
            self._acknowledged = self._read

    def acknowledge(self, number: int) -> None:
        """Note that every event up to this number is dealt with."""
        while self._handed_out and self._handed_out[0][0] <= number:
            _, self._acknowledged = self._handed_out.popleft()
            self._events_unwritten += 1
        if not self._handed_out:
            self._acknowledged = self._read

    def note_written(self, position: Position, events: int) -> None:
        """Note that this checkpoint stands in the store, and how many events it covers."""
        self._written = position
        self._events_unwritten -= events

    def position_of(self, event: RecordedEvent) -> Position:
        """Return where the event stands, as a checkpoint says it."""
        return Position(event.event_id, event.number if self._is_stream else 0)

    def _number_of(self, position: Position) -> int:
        return position.stream_version if self._is_stream else position.event_id
