"""`plan` says what would run and what it would lock, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.migrate import service
from emberkeep.migrate.model import StatementBlocked, StatementFailed, TableLock

if TYPE_CHECKING:
    import datetime

    from conftest import WriteSet

TABLES = {
    "V001__tables.sql": "create table ${schema}.item (id int primary key);\n"
    "create table ${schema}.sale (item_id int);"
}
PENDING = {
    "V002__key.sql": "alter table ${schema}.sale add foreign key (item_id)"
    " references ${schema}.item;",
    "V003__new.sql": "create table ${schema}.fresh (id int);\n"
    "alter table ${schema}.sale add column at timestamptz;",
    "V004__index.sql": "-- transactional: false\n"
    "create index concurrently fresh_idx on ${schema}.fresh (id);",
    "V005__after.sql": "drop index ${schema}.fresh_idx;",
}


async def test_a_plan_names_sql_and_locks_on_what_is_there_already(
    empty_database: str, conn: psycopg.Connection, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLES)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    write_set(PENDING)
    two, three, four, five = await service.plan_migrations(empty_database, sets=(shop,))
    assert two.sql == PENDING["V002__key.sql"].replace("${schema}", "shop")
    assert two.locks is not None
    assert TableLock("shop.item", "ShareRowExclusiveLock") in two.locks
    assert TableLock("shop.sale", "ShareRowExclusiveLock") in two.locks
    assert three.locks == (TableLock("shop.sale", "AccessExclusiveLock"),)
    assert (four.locks, five.locks) == (None, None)
    assert "outside a transaction" in four.note
    (only,) = await service.plan_migrations(empty_database, sets=(shop,), module="shop", to=2)
    assert only.version == 2
    assert conn.execute("select to_regclass('shop.fresh')").fetchone() == (None,)
    assert conn.execute("select count(*) from shop.schema_migrations").fetchone() == (1,)


async def test_a_plan_for_an_empty_database_makes_nothing(
    empty_database: str, conn: psycopg.Connection, write_set: WriteSet
):
    (planned,) = await service.plan_migrations(empty_database, sets=(write_set(TABLES),))
    assert planned.locks == ()
    assert conn.execute("select to_regnamespace('shop')").fetchone() == (None,)


async def test_a_plan_fails_where_up_would(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLES)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    write_set({"V002__key.sql": "drop table ${schema}.item, ${schema}.nothing;"})
    with pytest.raises(StatementFailed, match=r"V002__key\.sql:1:1"):
        await service.plan_migrations(empty_database, sets=(shop,))


async def test_a_plan_gives_way_to_whoever_uses_the_table(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLES)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    write_set({"V002__drop.sql": "drop table ${schema}.sale;"})
    with psycopg.connect(empty_database) as reader:
        reader.execute("select item_id from shop.sale")
        with pytest.raises(StatementBlocked):
            await service.plan_migrations(empty_database, sets=(shop,))
