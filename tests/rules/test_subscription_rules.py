"""Who gets which event, and what is a subscription at all."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from emberkeep.events.model import (
    EVERYTHING,
    Category,
    OneStream,
    RecordedEvent,
    Source,
    StreamId,
    SubscriptionId,
    SubscriptionInvalid,
    SubscriptionPlan,
)
from emberkeep.events.rules import subscription as rules
from emberkeep.events.rules.counting import count_types
from tests.eventing import NOW


def make_event(stream: str = "player-1", *, number: int = 1, kind: str = "T") -> RecordedEvent:
    """Return an event as if it had been read."""
    return RecordedEvent(number, number, None, StreamId(stream), 1, kind, 1, "{}", None, NOW)


SOURCES = [
    (EVERYTHING, "$all"),
    (Category("player"), "$category-player"),
    (OneStream(StreamId("player-1")), "player-1"),
]


@pytest.mark.parametrize(("source", "name"), SOURCES)
def test_a_source_has_one_name_and_a_name_one_source(source: Source, name: str) -> None:
    assert rules.name_source(source) == name
    assert rules.parse_source(name) == source


@pytest.mark.parametrize("name", ["", "$other", "$category-", "$category-a-b", "x" * 513, "a\0b"])
def test_what_cannot_be_followed_is_refused(name: str) -> None:
    with pytest.raises(SubscriptionInvalid):
        rules.parse_source(name)


BELONGS = [
    (EVERYTHING, "player-1", True),
    (Category("player"), "player-1", True),
    (Category("player"), "player", True),
    (Category("player"), "player-1-2", True),
    (Category("player"), "players-1", False),
    (Category("player"), "play", False),
    (OneStream(StreamId("player-1")), "player-1", True),
    (OneStream(StreamId("player-1")), "player-11", False),
]


@pytest.mark.parametrize(("source", "stream", "belongs"), BELONGS)
def test_a_category_is_what_stands_before_the_first_hyphen(
    source: Source, stream: str, belongs: bool
) -> None:
    assert rules.is_of_source(source, StreamId(stream)) is belongs


def make_plan(**settings: Any) -> SubscriptionPlan:
    """Return a plan."""
    return SubscriptionPlan(subscription_id=SubscriptionId("s"), **settings)


def test_every_event_falls_into_exactly_one_partition_by_its_stream() -> None:
    plan = make_plan(concurrency_limit=4)
    for n in range(100):
        event = make_event(f"player-{n}")
        taken = [p for p in range(4) if rules.is_wanted(plan, event, p)]
        assert taken == [zlib.crc32(f"player-{n}".encode()) % 4]


def test_a_plan_may_say_what_belongs_together() -> None:
    plan = make_plan(concurrency_limit=8, partition_by=lambda event: event.event_type)
    partitions = {rules.find_partition(plan, make_event(f"player-{n}")) for n in range(50)}
    assert len(partitions) == 1


def test_a_selector_lets_pass_what_it_says() -> None:
    plan = make_plan(selector=lambda event: event.number % 2 == 0)
    assert [n for n in range(6) if rules.is_wanted(plan, make_event(number=n), 0)] == [0, 2, 4]


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"concurrency_limit": 0}, "concurrency_limit"),
    ({"concurrency_limit": 257}, "concurrency_limit"),
    ({"buffer_size": 0}, "buffer_size"),
    ({"checkpoint_every": 0}, "checkpoint_every"),
    ({"checkpoint_after_s": 0}, "checkpoint_after_s"),
    ({"start_from": -1}, "start_from"),
    ({"start_from": 2**63}, "start_from"),
    ({"source": Category("a-b")}, "category"),
    ({"source": OneStream(StreamId("$all"))}, "stream_id"),
]


@pytest.mark.parametrize(("settings", "path"), INVALID)
def test_a_plan_that_cannot_be_carried_out_names_its_fault(
    settings: dict[str, Any], path: str
) -> None:
    with pytest.raises(SubscriptionInvalid) as caught:
        rules.check_plan(make_plan(**settings))
    assert [error.path for error in caught.value.errors] == [path]


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(SubscriptionInvalid) as caught:
        rules.check_plan(make_plan(concurrency_limit=0, buffer_size=0))
    assert [error.path for error in caught.value.errors] == ["concurrency_limit", "buffer_size"]


def test_types_are_counted_with_the_last_event_of_each() -> None:
    events = [make_event(number=n, kind=kind) for n, kind in enumerate("BABA", start=1)]
    counts = [(c.event_type, c.events, c.last_event_id) for c in count_types(events)]
    assert counts == [("A", 2, 4), ("B", 2, 3)]
    assert count_types([]) == []
