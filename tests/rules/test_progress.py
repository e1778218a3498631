"""A checkpoint never passes an event that was handed out and not acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from emberkeep.events.model import RecordedEvent, StreamId
from emberkeep.events.rules.progress import Position, Progress
from tests.eventing import NOW

if TYPE_CHECKING:
    from collections.abc import Sequence

START = Position(10, 0)


def make_event(number: int, *, version: int = 1) -> RecordedEvent:
    """Return an event at a place."""
    return RecordedEvent(number, number, None, StreamId("s"), version, "T", 1, "{}", None, NOW)


def make_progress() -> Progress:
    """Return the progress of a subscription to all streams that stands at 10."""
    return Progress(START, is_stream=False)


def test_nothing_new_needs_no_checkpoint() -> None:
    progress = make_progress()
    assert progress.checkpoint is None
    assert progress.read_after == 10


def test_what_is_handed_out_is_not_yet_a_checkpoint() -> None:
    progress = make_progress()
    progress.hand_out(make_event(12))
    progress.pass_by(15)
    assert (progress.read_after, progress.outstanding, progress.checkpoint) == (15, 1, None)


def test_an_acknowledgement_counts_for_all_before_it() -> None:
    progress = make_progress()
    for number in (12, 13, 17):
        progress.hand_out(make_event(number))
    progress.acknowledge(13)
    assert (progress.checkpoint, progress.outstanding) == (Position(13, 0), 1)
    assert progress.events_unwritten == 2


def test_the_last_acknowledgement_also_covers_what_was_passed_by() -> None:
    progress = make_progress()
    progress.hand_out(make_event(12))
    progress.pass_by(20)
    progress.acknowledge(12)
    assert progress.checkpoint == Position(20, 0)


def test_where_nothing_is_wanted_the_checkpoint_moves_by_itself() -> None:
    progress = make_progress()
    progress.pass_by(500)
    assert progress.checkpoint == Position(500, 0)
    assert progress.events_unwritten == 0


def test_what_is_written_is_not_written_again() -> None:
    progress = make_progress()
    progress.hand_out(make_event(12))
    progress.acknowledge(12)
    progress.note_written(Position(12, 0), 1)
    assert (progress.checkpoint, progress.events_unwritten) == (None, 0)


def test_an_acknowledgement_during_the_writing_is_kept_for_the_next() -> None:
    progress = make_progress()
    progress.hand_out(make_event(12))
    progress.hand_out(make_event(13))
    progress.acknowledge(12)
    position, events = progress.checkpoint, progress.events_unwritten
    progress.acknowledge(13)
    assert position is not None
    progress.note_written(position, events)
    assert (progress.checkpoint, progress.events_unwritten) == (Position(13, 0), 1)


def test_one_stream_counts_its_own_versions_and_keeps_the_events_id_beside() -> None:
    progress = Progress(Position(0, 0), is_stream=True)
    linked = RecordedEvent(1, 99, None, StreamId("other"), 7, "T", 1, "{}", None, NOW)
    progress.hand_out(linked)
    progress.acknowledge(1)
    assert progress.checkpoint == Position(99, 1)
    assert progress.read_after == 1


@given(st.lists(st.sampled_from(["hand_out", "acknowledge", "pass_by", "write"]), max_size=60))
def test_a_checkpoint_never_passes_what_is_outstanding(steps: Sequence[str]) -> None:
    progress = make_progress()
    outstanding: list[int] = []
    number = START.event_id
    written = START
    for step in steps:
        match step:
            case "hand_out":
                number += 2
                progress.hand_out(make_event(number))
                outstanding.append(number)
            case "acknowledge" if outstanding:
                progress.acknowledge(outstanding.pop(0))
            case "pass_by":
                number += 1
                progress.pass_by(number)
            case "write" if progress.checkpoint is not None:
                assert progress.checkpoint > written
                written = progress.checkpoint
                progress.note_written(written, progress.events_unwritten)
            case _:
                continue
        reached = progress.checkpoint or written
        assert all(reached.event_id < waiting for waiting in outstanding)
        assert progress.outstanding == len(outstanding)
        assert progress.read_after == number
