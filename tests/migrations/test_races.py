"""Several migrators at once, killed migrators, and tables that are in use meanwhile."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.migrate import service
from emberkeep.migrate.model import HistoryRefused, IndexInvalid, MigratorBusy, StatementBlocked
from emberkeep.migrate.rules import plan

if TYPE_CHECKING:
    import datetime

    from conftest import StartMigrators, WriteSet

    from emberkeep.migrate.model import Patience

TABLE = {"V001__table.sql": "create table ${schema}.item (id int primary key, price int);"}
# Every run leaves a mark, so that one that ran twice shows.
MARKS = {
    "V001__marks.sql": "create table ${schema}.mark (version int);",
    "V002__two.sql": "insert into ${schema}.mark values (2); select pg_sleep(0.1);",
    "V003__three.sql": "insert into ${schema}.mark values (3);",
}
OUTSIDE = {
    "V004__outside.sql": "-- transactional: false\n"
    "insert into ${schema}.mark values (4);\nselect pg_sleep(0.3);\n"
    "create index concurrently mark_version_idx on ${schema}.mark (version);\n"
}
INDEX = {
    "V002__index.sql": "-- transactional: false\n"
    "create index concurrently if not exists item_price_idx on ${schema}.item (price);\n"
}


def read_column(conn: psycopg.Connection, query: str) -> list[object]:
    return [row[0] for row in conn.execute(query.encode())]


async def test_of_four_that_start_at_once_on_an_empty_database_one_applies(
    conn: psycopg.Connection, write_set: WriteSet, start_migrators: StartMigrators
):
    migrators = start_migrators(write_set(MARKS), 4)
    for migrator in migrators:
        migrator.start()
    assert sorted(m.finish() for m in migrators) == [0, 0, 0, 3]
    assert read_column(conn, "select version from shop.mark order by 1") == [2, 3]


async def test_of_four_that_start_at_once_on_a_pending_database_one_applies(
    empty_database: str,
    conn: psycopg.Connection,
    now: datetime.datetime,
    write_set: WriteSet,
    start_migrators: StartMigrators,
):
    shop = write_set({"V001__marks.sql": MARKS["V001__marks.sql"]})
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    migrators = start_migrators(write_set(MARKS | OUTSIDE), 4)
    for migrator in migrators:
        migrator.start()
    assert sorted(m.finish() for m in migrators) == [0, 0, 0, 3]
    assert read_column(conn, "select version from shop.mark order by 1") == [2, 3, 4]


async def test_a_migrator_that_waits_too_long_says_for_what(
    empty_database: str,
    conn: psycopg.Connection,
    now: datetime.datetime,
    hasty: Patience,
    write_set: WriteSet,
):
    conn.execute("select pg_advisory_lock(%s)", (plan.compute_lock_key("shop"),))
    with pytest.raises(MigratorBusy, match="shop"):
        await service.apply_migrations(
            empty_database, sets=(write_set(TABLE),), now=now, patience=hasty
        )


async def test_a_concurrent_index_and_a_migrator_that_waits_do_not_deadlock(
    empty_database: str,
    conn: psycopg.Connection,
    now: datetime.datetime,
    write_set: WriteSet,
    start_migrators: StartMigrators,
):
    shop = write_set(TABLE)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    write_set(INDEX)
    builder, waiter = start_migrators(shop, 2)
    with psycopg.connect(empty_database) as writer:
        writer.execute("insert into shop.item values (1, 1)")
        builder.start()
        _await_build(conn)
        waiter.start()
        await asyncio.sleep(0.5)
    # Now the build goes on to where it waits for every snapshot that is older than it is. A
    # migrator that blocked on the lock would hold one, and wait for the builder in its turn.
    assert (builder.finish(), waiter.finish()) == (1, 0)


async def test_a_concurrent_index_that_is_raced_and_killed_is_told_and_repaired(
    empty_database: str,
    conn: psycopg.Connection,
    now: datetime.datetime,
    write_set: WriteSet,
    start_migrators: StartMigrators,
):
    shop = write_set(TABLE)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    write_set(INDEX)
    # A transaction that has written keeps the index from being finished.
    with psycopg.connect(empty_database) as writer:
        writer.execute("insert into shop.item values (1, 1)")
        builder, waiter = start_migrators(shop, 2)
        builder.start()
        _await_build(conn)
        waiter.start()
        builder.kill()
        assert "migrate.history_refused shop V002__index is dirty" in waiter.fail()
    assert read_column(conn, "select state from shop.schema_migrations order by version") == [
        "clean",
        "dirty",
    ]
    with pytest.raises(HistoryRefused, match=r"cut off half-way.*emberkeep migrate repair shop"):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)
    (repair,) = await service.repair_schemas(empty_database, sets=(shop,))
    assert (repair.dropped_indexes, repair.cleared_versions) == (("item_price_idx",), (2,))
    assert len(await service.apply_migrations(empty_database, sets=(shop,), now=now)) == 1
    (verified,) = await service.verify_schemas(empty_database, sets=(shop,))
    assert verified.findings == ()


def _await_build(conn: psycopg.Connection) -> None:
    deadline = time.monotonic() + 20
    while not read_column(conn, "select pid from pg_stat_progress_create_index"):
        assert time.monotonic() < deadline, "nobody builds the index"
        time.sleep(0.02)


async def test_an_invalid_index_that_if_not_exists_skips_is_noticed(
    empty_database: str,
    conn: psycopg.Connection,
    now: datetime.datetime,
    write_set: WriteSet,
):
    shop = write_set(TABLE)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    conn.execute("insert into shop.item values (1, 1), (2, 1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute("create unique index concurrently item_price_idx on shop.item (price)")
    write_set(INDEX)
    with pytest.raises(IndexInvalid, match="item_price_idx in shop is invalid"):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)
    await service.repair_schemas(empty_database, sets=(shop,))
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    assert read_column(conn, "select indisunique from pg_index where indexrelid"
                       " = 'shop.item_price_idx'::regclass") == [False]  # fmt: skip


async def test_a_start_after_kill_9_at_any_instant_is_clean(
    empty_database: str,
    conn: psycopg.Connection,
    now: datetime.datetime,
    write_set: WriteSet,
    start_migrators: StartMigrators,
):
    step = (
        "insert into ${schema}.mark values (VERSION); select pg_sleep(0.03);"
        " create table ${schema}.t_VERSION ();"
    )
    files = {"V001__marks.sql": MARKS["V001__marks.sql"]} | {
        f"V{v:03d}__mark.sql": step.replace("VERSION", str(v)) for v in range(2, 8)
    }
    chance = random.Random(7)  # noqa: S311  # Any instants will do, the same in every run.
    for trial in range(6):
        shop = write_set(files, schema=f"shop_{trial}")
        (migrator,) = start_migrators(shop, 1)
        migrator.start()
        await asyncio.sleep(chance.uniform(0.0, 0.35))
        migrator.kill()
        await service.apply_migrations(empty_database, sets=(shop,), now=now)
        conn.execute("select set_config('search_path', %s, false)", (shop.schema,))
        assert read_column(conn, "select version from mark order by 1") == [*range(2, 8)]
        (verified,) = await service.verify_schemas(empty_database, sets=(shop,))
        assert verified.findings == ()


async def test_a_long_reader_makes_the_migration_wait_and_not_the_other_readers(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLE)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    write_set({"V002__column.sql": "alter table ${schema}.item add column name text;"})
    told: list[str] = []
    stalls: list[float] = []
    is_over = threading.Event()
    readers = [
        threading.Thread(target=_read_until, args=(empty_database, is_over, stalls))
        for _ in range(3)
    ]
    with psycopg.connect(empty_database) as long_reader:
        long_reader.execute("select id, price from shop.item")
        for reader in readers:
            reader.start()
        pending = asyncio.create_task(
            service.apply_migrations(empty_database, sets=(shop,), now=now, report=told.append)
        )
        await asyncio.sleep(1.5)
        assert not pending.done()
        long_reader.rollback()
        assert len(await pending) == 1
    is_over.set()
    for reader in readers:
        reader.join()
    assert any("gave way" in line for line in told)
    # 100 ms of lock_timeout, and as much again for a busy machine.
    assert 0.05 < max(stalls) < 0.3


def _read_until(dsn: str, is_over: threading.Event, stalls: list[float]) -> None:
    with psycopg.connect(dsn, autocommit=True) as reader:
        while not is_over.is_set():
            started = time.monotonic()
            reader.execute("select id, price from shop.item")
            stalls.append(time.monotonic() - started)
            time.sleep(0.005)


async def test_a_table_that_stays_in_use_ends_the_patience_and_leaves_nothing(
    empty_database: str,
    conn: psycopg.Connection,
    now: datetime.datetime,
    hasty: Patience,
    write_set: WriteSet,
):
    shop = write_set(TABLE)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    write_set({"V002__a.sql": "create table ${schema}.b ();\ndrop table ${schema}.item;"})
    with psycopg.connect(empty_database) as long_reader:
        long_reader.execute("select id, price from shop.item")
        with pytest.raises(StatementBlocked, match=r"V002__a\.sql:2:1: .*lock timeout"):
            await service.apply_migrations(empty_database, sets=(shop,), now=now, patience=hasty)
    assert read_column(conn, "select to_regclass('shop.b')") == [None]
