"""Events of an old form are shown in the newest; what was written stays."""

from __future__ import annotations

from typing import Any

import pytest

from emberkeep.events.model import RecordedEvent, StreamId
from emberkeep.events.rules.upcast import NO_UPCASTERS, Upcasters
from tests.eventing import NOW

MOVED = "Moved"


def make_recorded(event_version: int, data: str, event_type: str = MOVED) -> RecordedEvent:
    return RecordedEvent(
        number=7,
        event_id=9,
        event_uuid=None,
        stream_id=StreamId("s"),
        stream_version=7,
        event_type=event_type,
        event_version=event_version,
        data_json=data,
        metadata_json='{"actor":"x"}',
        created_at=NOW,
    )


def split_name(data: dict[str, Any]) -> dict[str, Any]:
    first, last = data["name"].split(" ")
    return {"first": first, "last": last}


def add_title(data: dict[str, Any]) -> dict[str, Any]:
    return {"title": None, **data}


UPCASTERS = Upcasters({(MOVED, 1): split_name, (MOVED, 2): add_title})


@pytest.mark.parametrize(
    ("event_version", "data"),
    [
        (1, '{"name":"Ada Lovelace"}'),
        (2, '{"first":"Ada","last":"Lovelace"}'),
        (3, '{"title":null,"first":"Ada","last":"Lovelace"}'),
    ],
)
def test_steps_chain_from_whatever_form_was_written_to_the_newest(
    event_version: int, data: str
) -> None:
    shown = UPCASTERS.apply(make_recorded(event_version, data))
    assert shown.event_version == 3
    assert shown.data == {"title": None, "first": "Ada", "last": "Lovelace"}


def test_only_the_form_of_an_event_changes() -> None:
    written = make_recorded(1, '{"name":"Ada Lovelace"}')
    shown = UPCASTERS.apply(written)
    assert (written.event_version, written.data) == (1, {"name": "Ada Lovelace"})
    assert (shown.number, shown.event_id, shown.stream_id, shown.metadata, shown.created_at) == (
        written.number,
        written.event_id,
        written.stream_id,
        written.metadata,
        written.created_at,
    )


@pytest.mark.parametrize(
    "event",
    [
        make_recorded(3, "1"),
        make_recorded(4, "1"),
        make_recorded(1, "1", event_type="Named"),
        make_recorded(2, "1", event_type="Named"),
    ],
)
def test_an_event_without_a_step_is_shown_as_it_is(event: RecordedEvent) -> None:
    assert UPCASTERS.apply(event) is event


def test_a_gap_between_two_steps_is_not_jumped() -> None:
    upcasters = Upcasters({(MOVED, 1): lambda data: data + 1, (MOVED, 3): lambda data: data + 100})
    shown = upcasters.apply(make_recorded(1, "1"))
    assert (shown.event_version, shown.data) == (2, 2)


def test_a_page_is_shown_in_its_order_each_event_by_itself() -> None:
    page = [make_recorded(1, '{"name":"Ada Lovelace"}'), make_recorded(3, "1")]
    assert [event.event_version for event in UPCASTERS.apply_all(page)] == [3, 3]
    assert NO_UPCASTERS.apply_all(page) is page


def test_steps_that_are_added_to_the_table_later_do_not_count() -> None:
    steps: dict[Any, Any] = {}
    upcasters = Upcasters(steps)
    steps[MOVED, 1] = split_name
    event = make_recorded(1, "1")
    assert upcasters.apply(event) is event
