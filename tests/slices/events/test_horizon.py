"""The common order of all streams: whoever has read up to a position will find nothing before it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
import pytest

from emberkeep.base.db import connect
from emberkeep.base.postgres import run_embedded
from emberkeep.events.service import read_all_backward, read_all_forward, read_horizon
from emberkeep.migrate.service import apply_migrations
from tests.eventing import NOW, SHOP, add_store, append, list_violations, read_places

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from emberkeep.base.db import Connection

Client = psycopg.Connection[tuple[Any, ...]]

NO_FENCE: LiteralString = """
    create or replace function event_store.hold_fence() returns void
    language plpgsql as $$ begin end $$
"""


class Clients:
    """Two writers who begin and end their transactions themselves, and a reader."""

    def __init__(self, dsn: str) -> None:
        self.a: Client = psycopg.connect(dsn)
        self.b: Client = psycopg.connect(dsn)
        self.reader: Client = psycopg.connect(dsn, autocommit=True)

    def close(self) -> None:
        """Leave; what was not committed is rolled back."""
        for client in (self.a, self.b, self.reader):
            client.close()

    def read(self, after: int = 0) -> list[int]:
        """Return the positions that a reader finds after the last one he knows."""
        return read_after(self.reader, after)


def write(client: Client, stream: str, count: int = 1) -> list[int]:
    """Append so many events; return their positions."""
    row = client.execute(
        "select first_version from event_store.append_to_stream("
        " %s, null, array_fill('E'::text, array[%s]), array_fill('1'::jsonb, array[%s]), %s)",
        (stream, count, count, NOW),
    ).fetchone()
    assert row is not None
    # Others may draw positions between those of one append.
    rows = client.execute(
        "select event_id from event_store.read_stream_forward(%s, %s, %s)", (stream, *row, count)
    )
    return [event_id for (event_id,) in rows]


def read_after(client: Client, after: int, most: int = 10_000) -> list[int]:
    rows = client.execute(
        "select event_id from event_store.read_all_forward(%s, %s)", (after, most)
    )
    return [event_id for (event_id,) in rows]


def read_edge(client: Client) -> tuple[int, int]:
    """Return the horizon, and the last position that was handed out."""
    row = client.execute("select * from event_store.read_horizon()").fetchone()
    assert row is not None
    return row


def count_locks(client: Client) -> int:
    """Return how many advisory locks the client's transaction holds."""
    row = client.execute(
        "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def clients(dsn: str) -> Iterator[Clients]:
    """Writers and a reader of a store without an event."""
    with contextlib.closing(Clients(dsn)) as clients:
        yield clients


# Commits in another order than positions were drawn


def test_what_was_drawn_first_and_committed_last_is_not_skipped(clients: Clients) -> None:
    first = write(clients.a, "a", 2)
    second = write(clients.b, "b", 2)
    clients.b.commit()
    assert first < second
    assert clients.read() == []
    assert read_edge(clients.reader) == (0, 4)
    clients.a.commit()
    assert clients.read() == first + second
    assert read_edge(clients.reader) == (4, 4)


def test_without_the_fence_a_reader_would_skip(database: str) -> None:
    # The same scenario must fail without the mechanism, or it would prove nothing.
    with contextlib.closing(Clients(database)) as clients:
        clients.reader.execute(NO_FENCE)
        first = write(clients.a, "a")
        second = write(clients.b, "b")
        clients.b.commit()
        assert clients.read() == second
        clients.a.commit()
        assert clients.read(after=second[-1]) == []
        assert clients.read() == first + second


def test_what_was_final_before_stays_readable_while_an_append_is_open(clients: Clients) -> None:
    done = write(clients.b, "b", 2)
    clients.b.commit()
    write(clients.a, "a")
    assert clients.read() == done
    clients.a.rollback()


def test_a_reader_goes_on_from_where_he_was_when_the_appends_end(clients: Clients) -> None:
    seen = write(clients.b, "b")
    clients.b.commit()
    assert clients.read() == seen
    late = write(clients.a, "a")
    early = write(clients.b, "b")
    clients.b.commit()
    assert clients.read(after=seen[-1]) == []
    clients.a.commit()
    assert clients.read(after=seen[-1]) == late + early


def test_the_order_holds_backward_and_for_each_way_to_append(clients: Clients) -> None:
    clients.a.execute(
        "select event_store.append_to_streams('{a}', '{E}', '{1}', '{1}', array[null], now())"
    )
    write(clients.b, "b")
    clients.b.commit()
    backward = "select event_id from event_store.read_all_backward(99, 9)"
    assert clients.reader.execute(backward).fetchall() == []
    clients.a.commit()
    assert clients.reader.execute(backward).fetchall() == [(2,), (1,)]


def test_a_stream_is_read_as_it_is_committed_whatever_all_streams_wait_for(
    clients: Clients,
) -> None:
    write(clients.a, "a")
    write(clients.b, "b", 3)
    clients.b.commit()
    rows = clients.reader.execute("select number from event_store.read_stream_forward('b', 1, 9)")
    assert rows.fetchall() == [(1,), (2,), (3,)]
    clients.a.rollback()


def test_the_oldest_of_several_open_appends_is_the_one_that_counts(clients: Clients) -> None:
    first = write(clients.a, "a")
    with psycopg.connect(clients.reader.info.dsn, password=None) as third:
        second = write(third, "c")
        write(clients.b, "b")
        clients.b.commit()
        clients.a.commit()
        assert clients.read() == first
        assert clients.read(after=first[-1]) == []
        assert second == [2]
    assert clients.read() == [1, 2, 3]


def test_an_append_does_not_show_itself_in_all_streams_before_it_is_committed(
    clients: Clients,
) -> None:
    write(clients.a, "a")
    assert read_after(clients.a, 0) == []
    clients.a.commit()
    assert read_after(clients.a, 0) == [1]
    clients.a.rollback()


def test_a_reader_in_a_transaction_sees_what_was_committed_since_it_began(
    clients: Clients,
) -> None:
    with clients.reader.transaction():
        assert clients.read() == []
        write(clients.a, "a")
        assert clients.read() == []
        clients.a.commit()
        assert clients.read() == [1]


# Appends that come to nothing


def test_an_append_that_is_rolled_back_holds_nobody_up(clients: Clients) -> None:
    write(clients.a, "a", 3)
    later = write(clients.b, "b")
    clients.b.commit()
    clients.a.rollback()
    assert clients.read() == later == [4]
    assert read_edge(clients.reader) == (4, 4)


def test_the_last_append_of_all_that_is_rolled_back_leaves_nothing_to_wait_for(
    clients: Clients,
) -> None:
    write(clients.a, "a", 3)
    assert read_edge(clients.reader) == (0, 3)
    clients.a.rollback()
    assert read_edge(clients.reader) == (3, 3)
    assert clients.read() == []


def test_a_writer_who_is_killed_holds_nobody_up(clients: Clients) -> None:
    write(clients.a, "a")
    later = write(clients.b, "b")
    clients.b.commit()
    clients.reader.execute("select pg_terminate_backend(%s, 5000)", (clients.a.info.backend_pid,))
    assert clients.read() == later


def test_an_append_that_is_refused_holds_nobody_up(clients: Clients) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation):
        clients.a.execute("select event_store.append_to_stream('a', 7, '{E}', '{1}', now())")
    later = write(clients.b, "b")
    clients.b.commit()
    assert clients.read() == later
    clients.a.rollback()


def test_what_is_rolled_back_to_a_savepoint_is_forgotten_and_what_follows_is_not(
    clients: Clients,
) -> None:
    clients.a.execute("savepoint before")
    write(clients.a, "a")
    clients.a.execute("rollback to savepoint before")
    assert count_locks(clients.a) == 0
    between = write(clients.b, "b")
    clients.b.commit()
    assert clients.read() == between
    again = write(clients.a, "a")
    after = write(clients.b, "b")
    clients.b.commit()
    assert clients.read() == between
    clients.a.commit()
    assert clients.read() == between + again + after


def test_what_was_appended_before_a_savepoint_is_waited_for_when_it_is_rolled_back(
    clients: Clients,
) -> None:
    first = write(clients.a, "a")
    clients.a.execute("savepoint before")
    write(clients.a, "a")
    clients.a.execute("rollback to savepoint before")
    other = write(clients.b, "b")
    clients.b.commit()
    assert clients.read() == []
    last = write(clients.a, "a")
    clients.a.commit()
    assert clients.read() == first + other + last


def test_what_is_appended_inside_a_released_savepoint_is_waited_for(clients: Clients) -> None:
    clients.a.execute("savepoint before")
    first = write(clients.a, "a")
    clients.a.execute("release savepoint before")
    other = write(clients.b, "b")
    clients.b.commit()
    assert clients.read() == []
    clients.a.commit()
    assert clients.read() == first + other


# Long transactions


def test_each_transaction_of_a_connection_holds_a_fence_of_its_own(clients: Clients) -> None:
    for position in (1, 3, 5):
        write(clients.a, "a")
        write(clients.b, "b")
        clients.b.commit()
        assert read_edge(clients.reader) == (position - 1, position + 1)
        clients.a.commit()
        assert clients.read(after=position - 1) == [position, position + 1]


def test_a_transaction_of_thousands_of_appends_does_not_fill_the_table_of_locks(
    clients: Clients,
) -> None:
    for _ in range(3_000):
        write(clients.a, "a")
    assert count_locks(clients.a) == 2  # The fence, and whose turn it is to notify.
    write(clients.b, "b")
    clients.b.commit()
    assert clients.read() == []
    clients.a.commit()
    assert clients.read() == list(range(1, 3_002))


def test_savepoint_after_savepoint_does_not_fill_the_table_of_locks(clients: Clients) -> None:
    for n in range(300):
        clients.a.execute("savepoint step")
        write(clients.a, "a")
        clients.a.execute("rollback to savepoint step" if n % 3 else "release savepoint step")
    assert count_locks(clients.a) == 2
    clients.a.commit()
    assert len(clients.read()) == 100


def test_a_transaction_of_an_hour_delays_its_readers_and_skips_nothing(clients: Clients) -> None:
    first = write(clients.a, "slow")
    written: list[int] = []
    for n in range(50):
        written += write(clients.b, f"b{n % 7}", 3)
        clients.b.commit()
        if n % 10 == 0:
            write(clients.b, "none")
            clients.b.rollback()
        assert clients.read() == []
        horizon, last = read_edge(clients.reader)
        assert (horizon, last >= written[-1]) == (0, True)
    last = write(clients.a, "slow")
    clients.a.commit()
    assert clients.read() == first + written + last


async def test_how_far_all_streams_are_final_can_be_asked(conn: Connection, dsn: str) -> None:
    await append(conn, "s", 2)
    with psycopg.connect(dsn) as writer:
        write(writer, "a", 3)
        horizon = await read_horizon(conn)
        assert (horizon.event_id, horizon.last_event_id, horizon.is_waiting) == (2, 5, True)
        assert len(await read_all_forward(conn)) == len(await read_all_backward(conn)) == 2
    horizon = await read_horizon(conn)
    assert (horizon.event_id, horizon.last_event_id, horizon.is_waiting) == (5, 5, False)


def test_somebody_elses_locks_do_not_count(clients: Clients) -> None:
    clients.a.execute("select pg_advisory_xact_lock_shared(1), pg_advisory_xact_lock(2, 3)")
    clients.a.execute("select pg_advisory_xact_lock_shared(4, 5)")
    written = write(clients.b, "b")
    clients.b.commit()
    assert clients.read() == written
    clients.a.rollback()


# Snapshots that are older than the horizon


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize(
    "read", ["read_all_forward(0, 9)", "read_all_backward(99, 9)", "read_horizon()"]
)
def test_one_snapshot_for_the_whole_transaction_is_refused(
    clients: Clients, level: str, read: str
) -> None:
    clients.reader.execute(f"begin isolation level {level}".encode())
    with pytest.raises(psycopg.errors.FeatureNotSupported) as refusal:
        clients.reader.execute(f"select * from event_store.{read}".encode())  # noqa: S608
    assert refusal.value.diag.constraint_name == "events_order_isolation"
    clients.reader.rollback()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_an_append_in_any_transaction_is_waited_for(clients: Clients, level: str) -> None:
    clients.a.execute(f"set transaction isolation level {level}".encode())
    first = write(clients.a, "a")
    second = write(clients.b, "b")
    clients.b.commit()
    assert clients.read() == []
    clients.a.commit()
    assert clients.read() == first + second


# Several stores


async def test_stores_of_one_database_have_positions_of_their_own(conn: Connection) -> None:
    await append(conn, "s", 3)
    shop = await append(conn, "s", 2, expected=0, schema=SHOP)
    assert (shop.first_event_id, shop.last_event_id) == (1, 2)
    assert await read_places(conn) == [("s", 1), ("s", 2), ("s", 3)]
    assert await read_places(conn, schema=SHOP) == [("s", 1), ("s", 2)]


async def test_an_open_append_does_not_hold_back_another_store_of_the_database(
    conn: Connection, clients: Clients, dsn: str
) -> None:
    write(clients.a, "a")
    await append(conn, "s", schema=SHOP)
    await append(conn, "s")
    assert await read_places(conn, schema=SHOP) == [("s", 1)]
    assert await read_places(conn) == []
    assert not (await read_horizon(conn, schema=SHOP)).is_waiting
    clients.a.commit()
    assert await read_places(conn) == [("a", 1), ("s", 1)]
    assert await list_violations(dsn, schema=SHOP) == {}


async def test_an_open_append_does_not_hold_back_another_database_of_the_server(
    conn: Connection, database: str
) -> None:
    with psycopg.connect(database) as elsewhere:
        write(elsewhere, "a")
        await append(conn, "s")
        assert await read_places(conn) == [("s", 1)]
        assert read_edge(elsewhere) == (0, 1)
        elsewhere.rollback()


async def test_a_store_of_another_name_is_a_whole_store(empty_database: str) -> None:
    await add_store(empty_database)
    async with await connect(empty_database) as conn:
        await append(conn, "s", 2, schema=SHOP)
        assert await read_places(conn, schema=SHOP) == [("s", 1), ("s", 2)]
        rows = await conn.execute("select to_regnamespace('event_store')")
        assert await rows.fetchone() == (None,)
    assert await list_violations(empty_database, schema=SHOP) == {}


async def test_a_store_can_have_a_name_that_is_a_word_of_sql(empty_database: str) -> None:
    await add_store(empty_database, "order")
    async with await connect(empty_database) as conn:
        await append(conn, "s", 2, schema="order")
        assert await read_places(conn, schema="order") == [("s", 1), ("s", 2)]


# Transactions in two phases


@pytest.fixture
async def two_phases(server_dir: Path) -> AsyncIterator[str]:
    """The connection string of a server that can prepare transactions."""
    with run_embedded(
        data_dir=server_dir / "data", options={"max_prepared_transactions": "4", "fsync": "off"}
    ) as server:
        await apply_migrations(server.dsn, now=NOW)
        yield server.dsn


def test_an_append_that_is_prepared_is_waited_for_until_it_is_decided(two_phases: str) -> None:
    with contextlib.closing(Clients(two_phases)) as clients:
        # Who notifies cannot be prepared, so somebody else has to.
        write(clients.b, "notifier")
        prepared = write(clients.a, "a")
        clients.a.execute("prepare transaction 'both'")
        clients.a.commit()
        clients.b.commit()
        assert clients.read() == [1]
        later = write(clients.b, "b")
        clients.b.commit()
        assert clients.read(after=1) == []
        clients.reader.execute("commit prepared 'both'")
        assert clients.read(after=1) == prepared + later


def test_an_append_that_notifies_is_refused_by_postgresql_and_comes_to_nothing(
    two_phases: str,
) -> None:
    with contextlib.closing(Clients(two_phases)) as clients:
        write(clients.a, "a")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            clients.a.execute("prepare transaction 'both'")
        clients.a.rollback()
        later = write(clients.b, "b")
        clients.b.commit()
        assert clients.read() == later


# A race

WRITERS = 8
TRANSACTIONS = 120


def write_at_random(dsn: str, seed: int) -> int:
    """Run transactions that think a while and are rolled back now and then; count what stays."""
    rng = random.Random(seed)  # noqa: S311
    written = 0
    with psycopg.connect(dsn) as client:
        for _ in range(TRANSACTIONS):
            events = 0
            # In one order, so that no two writers wait for each other.
            for stream in sorted(rng.sample(range(30), rng.randint(1, 2))):
                events += len(write(client, f"s{stream}", rng.randint(1, 3)))
                time.sleep(rng.random() * 0.004)
            if rng.random() < 0.1:
                client.rollback()
            else:
                client.commit()
                written += events
    return written


def follow(dsn: str, has_ended: threading.Event) -> list[int]:
    """Read whatever comes after the last event that was read, until all is written."""
    seen: list[int] = []
    with psycopg.connect(dsn, autocommit=True) as client:
        while True:
            is_last = has_ended.is_set()
            page = read_after(client, seen[-1] if seen else 0, most=50)
            seen += page
            if is_last and not page:
                return seen


def race(dsn: str) -> tuple[list[int], Sequence[list[int]]]:
    """Return what was written, in order, and what each of two followers saw."""
    has_ended = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(WRITERS + 2) as pool:
        followers = [pool.submit(follow, dsn, has_ended) for _ in range(2)]
        writers = [pool.submit(write_at_random, dsn, seed) for seed in range(WRITERS)]
        concurrent.futures.wait(writers)
        has_ended.set()
        written = list_positions(dsn)
        assert len(written) == sum(writer.result() for writer in writers)
        return written, [follower.result() for follower in followers]


def list_positions(dsn: str) -> list[int]:
    """Return every position that an event has, whether a reader would be shown it or not."""
    with psycopg.connect(dsn) as client:
        rows = client.execute("select event_id from event_store.events order by event_id")
        return [event_id for (event_id,) in rows]


async def test_followers_of_a_race_see_every_event_once_and_in_order(dsn: str) -> None:
    written, followers = race(dsn)
    assert followers == [written, written]
    assert await list_violations(dsn) == {}


def test_followers_of_a_race_without_the_fence_miss_events(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as client:
        client.execute(NO_FENCE)
    written, followers = race(database)
    assert all(len(seen) < len(written) for seen in followers)
