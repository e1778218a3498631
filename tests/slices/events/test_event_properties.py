"""Whatever is done to a store, and in whatever order: it does what a few lists in memory would do."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from emberkeep.base.db import Connection, connect
from emberkeep.base.errors import EmberkeepError
from emberkeep.events.model import (
    LAST_VERSION,
    Append,
    Appended,
    Direction,
    DuplicateEventUuid,
    DuplicateLink,
    Expected,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    Snapshot,
    SnapshotUnknown,
    StreamDeleted,
    StreamId,
    StreamUnknown,
    WrongExpectedVersion,
)
from emberkeep.events.service import (
    append_batch,
    delete_snapshot,
    delete_stream,
    erase_stream,
    link_to_stream,
    make_event,
    paginate_streams,
    read_page,
    read_snapshot,
    read_stream_info,
    record_snapshot,
)
from tests.eventing import NOW, list_violations, make_uuid

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

Answer = TypeVar("Answer")

NAMES = ("a", "b", "c", "d")
_SETTINGS = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
_examples = itertools.count(1)
_numbers = itertools.count(1)

# The store, in memory


@dataclasses.dataclass
class Event:
    """An event as it was written."""

    stream: str
    version: int
    number: int
    uuid: int | None
    event_id: int = 0


@dataclasses.dataclass
class Stream:
    """What stands at each version, beginning with 1: an event, or nothing any more."""

    places: list[Event | None] = dataclasses.field(default_factory=list)
    is_deleted: bool = False

    @property
    def version(self) -> int:
        """The version of the last event."""
        return len(self.places)


class Place(NamedTuple):
    """Where an append stands, or what it was refused with."""

    first: int
    last: int
    is_retry: bool


class Model:
    """What a store promises, said as simply as possible."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {name: Stream() for name in NAMES}
        self.log: list[Event] = []
        self.snapshots: dict[str, tuple[int, int]] = {}

    def check(self, name: str, expected: ExpectedVersion) -> None:
        """Refuse what a stream is not ready for."""
        stream = self.streams[name]
        if stream.is_deleted:
            raise StreamDeleted("")
        is_met = {
            Expected.ANY: True,
            Expected.NO_STREAM: stream.version == 0,
            Expected.STREAM_EXISTS: stream.version > 0,
        }.get(expected, expected == stream.version)
        if not is_met:
            raise WrongExpectedVersion("", actual=stream.version)

    def append(self, append: Append, name: str) -> Place:
        """Append, or find the append where it stands."""
        uuids = [event.event_uuid.int if event.event_uuid else None for event in append.events]
        known = {event.uuid: event for event in self.log if event.uuid is not None}
        found = [known.get(uuid) for uuid in uuids if uuid is not None]
        if any(found):
            return self._find_retry(found, name)
        self.check(name, append.expected_version)
        stream = self.streams[name]
        first = stream.version + 1
        for event, uuid in zip(append.events, uuids, strict=True):
            number = msgspec.json.decode(event.data)
            written = Event(name, stream.version + 1, number, uuid)
            stream.places.append(written)
            self.log.append(written)
        return Place(first, stream.version, is_retry=False)

    def _find_retry(self, found: Sequence[Event | None], name: str) -> Place:
        places = [(event.stream, event.version) for event in found if event is not None]
        first = places[0][1]
        if places != [(name, first + step) for step in range(len(found))]:
            raise DuplicateEventUuid("")
        return Place(first, first + len(found) - 1, is_retry=True)

    def link(self, name: str, events: Sequence[Event], expected: ExpectedVersion) -> int:
        """Put events into a further stream."""
        self.check(name, expected)
        stream = self.streams[name]
        if any(event in stream.places for event in events):
            raise DuplicateLink("")
        stream.places += events
        return stream.version

    def delete(self, name: str, expected: ExpectedVersion) -> int:
        """Close a stream."""
        if not self.streams[name].version:
            raise StreamUnknown("")
        self.check(name, expected)
        self.streams[name].is_deleted = True
        return self.streams[name].version

    def erase(self, name: str) -> int:
        """Take the events of a stream out of everything."""
        stream = self.streams[name]
        if not stream.version:
            raise StreamUnknown("")
        erased = [event for event in self.log if event.stream == name]
        self.log = [event for event in self.log if event.stream != name]
        for other in self.streams.values():
            other.places = [None if place in erased else place for place in other.places]
        stream.places = [None] * stream.version
        stream.is_deleted = True
        self.snapshots.pop(name, None)
        return len(erased)

    def read(self, name: str) -> list[tuple[int, Event]]:
        """Return what stands in a stream, with the number it has there."""
        stream = self.streams[name]
        if not stream.version:
            raise StreamUnknown("")
        if stream.is_deleted:
            raise StreamDeleted("")
        return [(n, event) for n, event in enumerate(stream.places, 1) if event is not None]

    def read_all(self) -> list[tuple[int, Event]]:
        """Return every event, with its position."""
        return [(event.event_id, event) for event in self.log]


def cut(
    places: Sequence[tuple[int, Event]], start: int, count: int, direction: Direction
) -> list[tuple[int, Event]]:
    """Return the part of what was read that a page from `start` holds."""
    if direction is Direction.FORWARD:
        return [place for place in places if place[0] >= start][:count]
    return [place for place in reversed(places) if place[0] <= start][:count]


# What is done to it

names = st.sampled_from(NAMES)
counts = st.integers(1, 4)
# How far from the truth an expectation is; or what it is, whatever the truth.
expectations = st.one_of(
    st.sampled_from(tuple(Expected)), st.sampled_from([0, 0, 0, 0, 1, -1, 2, -9])
)
ids = st.one_of(
    st.none(),
    st.none(),
    st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True),
)
intents = st.tuples(names, counts, expectations, ids)
directions = st.sampled_from(tuple(Direction))


class StoreMachine(RuleBasedStateMachine):
    """Does the same to a store and to the model, and compares."""

    def __init__(self, runner: asyncio.Runner, conn: Connection) -> None:
        super().__init__()
        self.runner = runner
        self.conn = conn
        self.model = Model()
        # Many examples share a store: each has names and ids of its own.
        self.example = next(_examples)
        row = self.run(self.query("select last_event_id from event_store.read_horizon()"))
        self.start = int(row[0])

    def teardown(self) -> None:
        """Compare everything once more."""
        for name in NAMES:
            self.read(name, 0, 100, Direction.FORWARD)
        self.read_all(0, 100, Direction.FORWARD)
        self.list_streams(is_descending=False)

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for the store."""
        return self.runner.run(work)

    async def query(self, statement: str) -> tuple[Any, ...]:
        """Return the one row of a statement."""
        row = await (await self.conn.execute(statement.encode())).fetchone()
        assert row is not None
        return row

    def name(self, name: str) -> StreamId:
        """Return the name that a stream of the model has in the store."""
        return StreamId(f"{self.example}-{name}")

    def expect(self, name: str, expectation: Expected | int) -> ExpectedVersion:
        """Return an expectation that is met, or almost."""
        if isinstance(expectation, Expected):
            return expectation
        return max(0, self.model.streams[name].version + expectation)

    def compare(self, attempt: Any, work: Coroutine[Any, Any, Any]) -> Any:
        """Return the store's answer, if the model's is the same or the same refusal."""
        try:
            wanted = attempt()
        except EmberkeepError as e:
            wanted = e
        try:
            answer = self.run(work)
        except EmberkeepError as e:
            answer = e
        if isinstance(wanted, EmberkeepError):
            assert_same_refusal(answer, wanted)
        else:
            assert answer == wanted
        return answer

    # Append

    @rule(appends=st.lists(intents, min_size=1, max_size=5))
    def append(self, appends: list[tuple[str, int, Expected | int, list[int] | None]]) -> None:
        """Give a batch; each append of it is decided after the one before it."""
        used: set[int] = set()
        given: list[tuple[str, Append]] = []
        for name, count, expectation, wished in appends:
            uuids = [n for n in wished or [] if n not in used]
            used.update(uuids)
            given.append((name, self.make_append(name, count, expectation, uuids)))
        self.give(given)

    def make_append(
        self, name: str, count: int, expectation: Expected | int, uuids: list[int]
    ) -> Append:
        """Return an append to a stream of this example; all of its events have ids, or none."""
        events = tuple(self.make_event(n) for n in uuids) or tuple(
            self.make_event(None) for _ in range(count)
        )
        return Append(
            stream_id=self.name(name),
            events=events,
            expected_version=self.expect(name, expectation),
        )

    def make_event(self, uuid: int | None) -> NewEvent:
        """Return an event that can be told from all others."""
        return make_event(
            "Happened",
            next(_numbers),
            event_uuid=None if uuid is None else make_uuid(self.example << 32 | uuid),
        )

    def give(self, given: list[tuple[str, Append]]) -> None:
        """Append to store and model."""
        appends = [append for _, append in given]
        answers = self.run(append_batch(self.conn, appends=appends, now=NOW))
        for (name, append), answer in zip(given, answers, strict=True):
            try:
                wanted = self.model.append(append, name)
            except EmberkeepError as e:
                assert_same_refusal(answer, e)
            else:
                assert isinstance(answer, Appended), answer
                assert (answer.first_version, answer.last_version, answer.is_retry) == wanted
                self.learn_positions(name, answer)

    def learn_positions(self, name: str, answer: Appended) -> None:
        """Take over the positions that the store gave, or hold a retry's against them."""
        places = self.model.streams[name].places[answer.first_version - 1 : answer.last_version]
        events = [event for event in places if event is not None]
        if not answer.is_retry:
            for event_id, event in enumerate(events, answer.first_event_id):
                event.event_id = event_id
        assert events[0].event_id == answer.first_event_id
        assert events[-1].event_id == answer.last_event_id

    @precondition(lambda self: any(event.uuid for event in self.model.log))
    @rule(choice=st.integers(0), expectation=expectations, count=counts)
    def retry(self, choice: int, expectation: Expected | int, count: int) -> None:
        """Give events again that stand one after the other, whatever is expected."""
        known = [event for event in self.model.log if event.uuid is not None]
        first = known[choice % len(known)]
        events = [event for event in known if event.stream == first.stream]
        begin = events.index(first)
        again = events[begin : begin + count]
        name = first.stream
        append = Append(
            stream_id=self.name(name),
            events=tuple(
                make_event("Happened", e.number, event_uuid=make_uuid(e.uuid or 0)) for e in again
            ),
            expected_version=self.expect(name, expectation),
        )
        self.give([(name, append)])

    # Links, and the end of streams

    @precondition(lambda self: self.model.log)
    @rule(
        name=names,
        choices=st.lists(st.integers(0), min_size=1, max_size=3),
        expectation=expectations,
    )
    def link(self, name: str, choices: list[int], expectation: Expected | int) -> None:
        """Link events of other streams."""
        foreign = [event for event in self.model.log if event.stream != name]
        if not foreign:
            return
        events = list({n: foreign[n] for n in (c % len(foreign) for c in choices)}.values())
        expected = self.expect(name, expectation)
        self.compare(
            lambda: self.model.link(name, events, expected),
            link_to_stream(
                self.conn,
                stream_id=self.name(name),
                event_ids=[event.event_id for event in events],
                expected_version=expected,
                now=NOW,
            ),
        )

    @rule(name=names, expectation=expectations, is_wanted=st.integers(0, 3))
    def delete(self, name: str, expectation: Expected | int, is_wanted: int) -> None:
        """Close a stream; seldom, or none would stay open."""
        if is_wanted:
            return
        expected = self.expect(name, expectation)
        self.compare(
            lambda: self.model.delete(name, expected),
            delete_stream(
                self.conn,
                stream_id=self.name(name),
                expected_version=expected,
                actor="test",
                now=NOW,
            ),
        )

    @rule(name=names, is_wanted=st.integers(0, 5))
    def erase(self, name: str, is_wanted: int) -> None:
        """Erase a stream; more seldom still."""
        if is_wanted:
            return
        self.compare(
            lambda: self.model.erase(name),
            erase_stream(
                self.conn, stream_id=self.name(name), is_allowed=True, actor="test", now=NOW
            ),
        )

    # Snapshots

    @rule(name=names, version=st.integers(1, 5))
    def snapshot(self, name: str, version: int) -> None:
        """Keep a state, unless a newer one is kept."""
        number = next(_numbers)
        kept = self.model.snapshots.get(name, (0, 0))
        if version >= kept[0]:
            self.model.snapshots[name] = (version, number)
        state = Snapshot(
            source_id=self.name(name),
            source_version=version,
            source_type="State",
            data=number,
            created_at=NOW,
        )
        answer = self.run(record_snapshot(self.conn, snapshot=state))
        assert answer == self.model.snapshots[name][0]

    @rule(name=names, is_forgotten=st.booleans())
    def read_snapshot(self, name: str, is_forgotten: bool) -> None:
        """Read the state that is kept, and perhaps forget it."""
        try:
            state = self.run(read_snapshot(self.conn, source_id=self.name(name)))
        except SnapshotUnknown:
            assert name not in self.model.snapshots
        else:
            assert (state.source_version, state.data) == self.model.snapshots[name]
            if is_forgotten:
                self.run(delete_snapshot(self.conn, source_id=self.name(name)))
                del self.model.snapshots[name]

    # Reads

    @rule(name=names, start=st.integers(0, 12), count=st.integers(1, 12), direction=directions)
    def read(self, name: str, start: int, count: int, direction: Direction) -> None:
        """Read a page of a stream."""
        page = read_page(
            self.conn,
            stream_id=self.name(name),
            start=start,
            direction=direction,
            max_count=count,
        )
        self.compare(
            lambda: self.show(cut(self.model.read(name), start, count, direction)),
            show_page(page),
        )

    @rule(skip=st.integers(0, 12), count=st.integers(1, 12), direction=directions)
    def read_all(self, skip: int, count: int, direction: Direction) -> None:
        """Read a page of all streams, as far as they are of this example."""
        places = self.model.read_all()
        if direction is Direction.FORWARD:
            after = places[skip - 1][0] if 0 < skip <= len(places) else self.start
            start, wanted = after, cut(places, after + 1, count, direction)
        else:
            before = places[-skip][0] if 0 < skip <= len(places) else LAST_VERSION
            start, wanted = before, cut(places, before - 1, count, direction)
        page = read_page(
            self.conn,
            stream_id=StreamId("$all"),
            start=start,
            direction=direction,
            max_count=max(1, len(wanted)) if direction is Direction.BACKWARD else count,
        )
        if wanted or direction is Direction.FORWARD:
            self.compare(lambda: self.show(wanted), show_page(page))
        else:
            page.close()

    def show(self, places: Sequence[tuple[int, Event]]) -> list[tuple[Any, ...]]:
        """Return what the store should show of these."""
        return [
            (
                number,
                event.event_id,
                self.name(event.stream),
                event.version,
                event.number,
                event.uuid,
            )
            for number, event in places
        ]

    @rule(name=names)
    def ask(self, name: str) -> None:
        """Ask how far a stream has come."""
        stream = self.model.streams[name]
        try:
            info = self.run(read_stream_info(self.conn, stream_id=self.name(name)))
        except StreamUnknown:
            assert stream.version == 0
        else:
            assert info.stream_version == stream.version > 0
            assert (info.deleted_at is not None) is stream.is_deleted

    @rule(is_descending=st.booleans())
    def list_streams(self, is_descending: bool) -> None:
        """List the streams of this example, two at a time."""
        found: list[tuple[str, int]] = []
        after = None
        while not found or after is not None:
            page = self.run(
                paginate_streams(
                    self.conn,
                    search=f"{self.example}-",
                    is_descending=is_descending,
                    after=after,
                    limit=2,
                )
            )
            found += [(info.stream_id, info.stream_version) for info in page.items]
            after = page.next
            if not page.items:
                break
        own = [place for place in found if place[0].startswith(f"{self.example}-")]
        known = [
            (self.name(name), stream.version)
            for name, stream in sorted(self.model.streams.items(), reverse=is_descending)
            if stream.version
        ]
        assert own == known


async def show_page(page: Coroutine[Any, Any, list[RecordedEvent]]) -> list[tuple[Any, ...]]:
    """Return what can be compared of the events of a page."""
    return [
        (
            event.number,
            event.event_id,
            event.stream_id,
            event.stream_version,
            event.data,
            None if event.event_uuid is None else event.event_uuid.int,
        )
        for event in await page
    ]


def assert_same_refusal(answer: object, wanted: EmberkeepError) -> None:
    """Hold a refusal against the one that the model came to."""
    assert isinstance(answer, EmberkeepError), (answer, wanted)
    assert answer.code == wanted.code
    assert answer.facts.get("actual") == wanted.facts.get("actual")


def test_a_store_does_what_lists_in_memory_would_do(dsn: str) -> None:
    # A loop of its own, because the steps of a machine are no coroutines.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        conn = runner.run(connect(dsn))
        try:
            run_state_machine_as_test(lambda: StoreMachine(runner, conn), settings=_SETTINGS)
        finally:
            runner.run(conn.close())
        assert runner.run(list_violations(dsn)) == {}
