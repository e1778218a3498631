"""The event store's versions on a store that is full and in use: up, down and up again.

On every PostgreSQL that this machine has. Version 1 is what the oldest stores were written by: a
service that appends with one function, by the rights that it had then.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from emberkeep.base.db import connect
from emberkeep.base.postgres import ensure_database, run_embedded
from emberkeep.events.model import (
    EVERYTHING,
    Expected,
    OneStream,
    StreamDeleted,
    StreamId,
    WrongExpectedVersion,
)
from emberkeep.events.service import (
    append_to_stream,
    find_subscription,
    link_to_stream,
    make_event,
    read_all_forward,
    read_horizon,
    read_stream_backward,
    read_stream_forward,
)
from emberkeep.migrate import service
from emberkeep.migrate.model import DEFAULT_SETS, HistoryRefused, StatementFailed
from emberkeep.xp.model import ClaimStatus
from tests.claiming import World, at, claim, make_policy
from tests.eventing import NOW, list_violations
from tests.following import Consumer, make_plan, open_hub, running, until
from tests.migrations.test_shipped_sets import BIN_DIRS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from emberkeep.events.model import NewEvent

STORE = DEFAULT_SETS[0]
VERSIONS = range(1, 7)
ORDER = StreamId("order-1")
INDEX = "uq_events_event_uuid"

_APPEND = (
    "select event_store.append_to_streams(%s::text[], %s::text[], %s::int[], %s::text[],"
    " %s::text[], %s)"
)


@pytest.fixture(params=BIN_DIRS, ids=str)
def dsn(request: pytest.FixtureRequest, server_dir: Path) -> Iterator[str]:
    """The connection string of an empty database, on one PostgreSQL after the other."""
    with run_embedded(data_dir=server_dir / "data", bin_dir=request.param) as server:
        ensure_database(server.dsn, "emberkeep")
        yield server.dsn_for("emberkeep")


@dataclasses.dataclass
class OldService:
    """Appends as version 1 does, and remembers (stream, version, data) in order of position."""

    dsn: str
    written: list[tuple[str, int, object]] = dataclasses.field(default_factory=list)

    def append(self, *streams: str) -> None:
        """Append an event to each of the streams, in one call."""
        numbers = range(len(self.written), len(self.written) + len(streams))
        with self.connect() as conn:
            append_old(conn, streams, numbers)
        for stream, number in zip(streams, numbers, strict=True):
            self.note(stream, {"n": number})

    def note(self, stream: str, data: object) -> int:
        """Remember an event of anybody's; return its version."""
        version = 1 + max((v for known, v, _ in self.written if known == stream), default=0)
        self.written.append((stream, version, data))
        return version

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement with the rights of the service."""
        with self.connect() as conn:
            cursor = conn.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def connect(self) -> Generator[psycopg.Connection]:
        """Lend a connection of the service."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute("set role emberkeep_service")
            yield conn


def append_old(conn: psycopg.Connection, streams: Sequence[str], numbers: Sequence[int]) -> None:
    """Append an event to each of the streams, in one call of version 1."""
    count = len(streams)
    data = [f'{{"n": {number}}}' for number in numbers]
    # As the claim path wrote them; others left the metadata out.
    metadata = ['{"correlation_id": "c", "actor": "xp"}', *[None] * (count - 1)]
    conn.execute(_APPEND, (list(streams), ["Happened"] * count, [1] * count, data, metadata, NOW))


async def migrate(dsn: str, to: int) -> None:
    await service.apply_migrations(dsn, now=NOW, sets=(STORE,), module=STORE.name, to=to)


async def take_back(dsn: str, to: int) -> None:
    await service.roll_back(dsn, now=NOW, sets=(STORE,), module=STORE.name, to=to)


async def fill(dsn: str) -> OldService:
    """Make a store of version 1 with streams, events and subscriptions in it."""
    await migrate(dsn, 1)
    old = OldService(dsn)
    for n in range(50):
        old.append(f"player-{n % 7}", ORDER, f"player-{n % 7}")
    old.append("gone-1")
    old.execute(
        "update event_store.event_streams set deleted_at = %s where stream_id = 'gone-1'", NOW
    )
    for name, event_id, version in (("shipping", 145, 48), ("waiting", None, None)):
        old.execute(
            "insert into event_store.subscriptions (subscription_id, stream_id,"
            " last_seen_event_id, last_seen_stream_version) values (%s, %s, %s, %s)",
            *(name, ORDER, event_id, version),
        )
    return old


async def check_store(old: OldService, version: int) -> str:
    """Check what a store of this version promises; return the print of its schema."""
    old.append(ORDER, "player-3", f"new-{len(old.written)}")
    with pytest.raises(psycopg.errors.RestrictViolation, match="deleted stream"):
        old.append(ORDER, "gone-1")
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        _execute(old.dsn, "delete from event_store.events")
    if version >= 4:
        await _append_by_name(old)
    stored = old.execute(
        "select stream_id, stream_version, data from event_store.events order by event_id"
    )
    assert stored == old.written
    assert dict(old.execute("select stream_id, stream_version from event_store.event_streams")) == {
        stream: version for stream, version, _ in old.written
    }
    if version >= 5:
        await _read(old)
    (verification,) = await service.verify_schemas(old.dsn, sets=(STORE,))
    assert verification.findings == ()
    return await service.read_fingerprint(old.dsn, STORE)


async def _append_by_name(old: OldService) -> None:
    """Append as version 4 does, which knows what it expects and knows its events again."""
    present = 1 + max((n for _, n, _ in old.written), default=0)
    events: list[NewEvent] = [make_event("Happened", {"n": present})]
    async with await connect(old.dsn) as conn:
        await conn.execute("set role emberkeep_service")
        expected = max(v for stream, v, _ in old.written if stream == ORDER)
        with pytest.raises(WrongExpectedVersion):
            await append_to_stream(
                conn, stream_id=ORDER, events=events, expected_version=Expected.NO_STREAM, now=NOW
            )
        appended = await append_to_stream(
            conn, stream_id=ORDER, events=events, expected_version=expected, now=NOW
        )
        assert appended.first_version == old.note(ORDER, {"n": present})
        horizon = await read_horizon(conn)
        assert horizon.event_id == horizon.last_event_id >= appended.last_event_id


async def _read(old: OldService) -> None:
    async with await connect(old.dsn) as conn:
        await conn.execute("set role emberkeep_service")
        everything = await read_all_forward(conn, max_count=10_000)
        assert [(e.stream_id, e.stream_version, e.data) for e in everything] == old.written
        of_order = [(v, data) for stream, v, data in old.written if stream == ORDER]
        forward = await read_stream_forward(conn, stream_id=ORDER, max_count=10_000)
        backward = await read_stream_backward(conn, stream_id=ORDER, max_count=10_000)
        assert [(e.number, e.data) for e in forward] == of_order
        assert [(e.number, e.data) for e in backward] == of_order[::-1]
        assert everything[0].metadata == {"correlation_id": "c", "actor": "xp"}
        assert everything[1].metadata == {}
        with pytest.raises(StreamDeleted):
            await read_stream_forward(conn, stream_id=StreamId("gone-1"), max_count=1)


def _execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(statement.encode())


async def test_a_filled_store_keeps_its_promises_at_every_version_up_down_and_up_again(dsn: str):
    old = await fill(dsn)
    way_up = {1: await check_store(old, 1)}
    for version in VERSIONS[1:]:
        await migrate(dsn, version)
        way_up[version] = await check_store(old, version)
    assert await list_violations(dsn) == {}
    for version in VERSIONS[-2::-1]:
        await take_back(dsn, version)
        assert await check_store(old, version) == way_up[version]
    await migrate(dsn, VERSIONS[-1])
    assert await check_store(old, VERSIONS[-1]) == way_up[VERSIONS[-1]]
    assert await list_violations(dsn) == {}


async def test_a_filled_store_can_be_taken_back_whole_and_made_anew(dsn: str):
    await fill(dsn)
    await migrate(dsn, VERSIONS[-1])
    await take_back(dsn, 0)
    with psycopg.connect(dsn) as conn:
        left = conn.execute("select tablename from pg_tables where schemaname = 'event_store'")
        assert left.fetchall() == [("schema_migrations",)]
    again = await fill(dsn)
    await migrate(dsn, VERSIONS[-1])
    await check_store(again, VERSIONS[-1])


async def test_what_was_archived_goes_back_and_what_was_linked_is_missed_by_name(dsn: str):
    old = await fill(dsn)
    await migrate(dsn, VERSIONS[-1])
    async with await connect(dsn) as conn:
        await link_to_stream(conn, stream_id=StreamId("best-1"), event_ids=[1, 2], now=NOW)
        await conn.execute("select event_store.archive_events('infinity', 20)")
    await take_back(dsn, 1)
    old.append("best-1")
    stored = old.execute("select stream_id, data from event_store.events order by event_id")
    assert stored == [(stream, data) for stream, _, data in old.written]
    # The links are gone, but nobody who has seen their versions is given others under these.
    assert old.execute(
        "select stream_version from event_store.events where stream_id = 'best-1'"
    ) == [(3,)]
    await migrate(dsn, VERSIONS[-1])
    assert await list_violations(dsn) == {"events: streams have no gaps": ("best-1",)}


async def test_claims_are_paid_on_a_store_that_was_filled_long_before(dsn: str):
    old = await fill(dsn)
    await service.apply_migrations(dsn, now=NOW)
    world = World(dsn)
    world.publish(make_policy())
    world.add_players("3")
    async with await connect(dsn) as conn:
        receipt = await claim(conn, "3", at(0))
    assert receipt.status is ClaimStatus.NEW
    events = old.execute(
        "select stream_version, event_type from event_store.events where stream_id = 'player-3'"
        " order by stream_version desc limit 2"
    )
    count = sum(stream == "player-3" for stream, _, _ in old.written)
    assert events == [(count + 1, "DailyLoginClaimed"), (count, "Happened")]
    assert [found.findings for found in await service.verify_schemas(dsn)] == [()] * 3
    assert await list_violations(dsn) == {}


async def test_a_subscription_of_version_1_goes_on_where_it_was(dsn: str):
    await fill(dsn)
    await migrate(dsn, VERSIONS[-1])
    shipping, waiting = Consumer(), Consumer()
    async with (
        open_hub(dsn) as hub,
        running(hub.run(make_plan("shipping", OneStream(ORDER)), shipping.handle)),
        running(hub.run(make_plan("waiting", OneStream(ORDER)), waiting.handle)),
    ):
        await shipping.await_events(2)
        await waiting.await_events(50)
    assert [event.number for event in shipping.events] == [49, 50]
    assert [event.number for event in waiting.events] == list(range(1, 51))


async def test_a_subscription_goes_on_where_it_was_after_down_and_up(dsn: str):
    old = await fill(dsn)
    await migrate(dsn, VERSIONS[-1])
    plan = make_plan("ledger", EVERYTHING)
    before, after = Consumer(), Consumer()

    async def is_caught_up() -> bool:
        async with await connect(dsn) as conn:
            state = await find_subscription(conn, subscription_id=plan.subscription_id)
        return state.last_seen_event_id == len(old.written)

    async with open_hub(dsn) as hub, running(hub.run(plan, before.handle)):
        await before.await_events(len(old.written))
        await until(is_caught_up)
    await take_back(dsn, 5)
    await migrate(dsn, VERSIONS[-1])
    old.append(ORDER)
    async with open_hub(dsn) as hub, running(hub.run(plan, after.handle)):
        await after.await_events(1)
    assert after.numbers == [len(old.written) - 1]
    assert await list_violations(dsn) == {}


async def test_who_appends_while_the_store_is_migrated_is_refused_nothing(dsn: str):
    """Four services of version 1, one of them in long transactions, from version 1 to the last."""
    await fill(dsn)
    has_ended = threading.Event()
    done = [0] * 4
    errors: list[psycopg.Error] = []

    def write(writer: int) -> None:
        with OldService(dsn).connect() as conn:
            while not has_ended.is_set():
                try:
                    with conn.transaction():
                        append_old(conn, [f"w-{writer}", "shared-1"], [done[writer]] * 2)
                        time.sleep(0.05 if writer == 0 else 0)
                except psycopg.Error as e:
                    errors.append(e)
                done[writer] += 1

    writers = [threading.Thread(target=write, args=[n]) for n in range(4)]
    for thread in writers:
        thread.start()
    try:
        for version in VERSIONS[1:]:
            before = list(done)
            await migrate(dsn, version)
            async with asyncio.timeout(20):
                while any(now <= then for now, then in zip(done, before, strict=True)):
                    await asyncio.sleep(0.01)
    finally:
        has_ended.set()
        for thread in writers:
            thread.join()
    assert errors == []
    counts = OldService(dsn).execute(
        "select stream_id, stream_version from event_store.event_streams"
        " where stream_id like 'w-%%' or stream_id = 'shared-1' order by stream_id"
    )
    assert counts == [("shared-1", sum(done)), *((f"w-{n}", done[n]) for n in range(4))]
    (verification,) = await service.verify_schemas(dsn, sets=(STORE,))
    assert verification.findings == ()
    assert await list_violations(dsn) == {}


async def test_an_index_that_was_cut_off_is_repaired_while_the_store_is_in_use(dsn: str):
    old = await fill(dsn)
    await migrate(dsn, 2)
    # Whoever builds an index beside others waits for those who have written to the table.
    with psycopg.connect(dsn) as blocker:
        append_old(blocker, ["held-1"], [0])
        migrating = asyncio.create_task(migrate(dsn, 3))
        await until(lambda: _end_build(dsn))
        with pytest.raises(StatementFailed):
            await migrating
        blocker.rollback()
    old.append(ORDER)
    with pytest.raises(HistoryRefused, match="dirty"):
        await migrate(dsn, 6)
    (repair,) = await service.repair_schemas(dsn, sets=(STORE,))
    assert (repair.dropped_indexes, repair.cleared_versions) == ((INDEX,), (3,))
    await migrate(dsn, VERSIONS[-1])
    await check_store(old, VERSIONS[-1])


async def _end_build(dsn: str) -> bool:
    """Cancel the build of an index that waits for others; say whether there was one."""
    async with await connect(dsn) as conn:
        cursor = await conn.execute(
            "select pg_cancel_backend(pid) from pg_stat_activity"
            " where query like '%create unique index concurrently%' and wait_event_type = 'Lock'"
            " and pid <> pg_backend_pid()"
        )
        return bool(await cursor.fetchall())
