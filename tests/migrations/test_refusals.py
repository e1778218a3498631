"""What the engine refuses, what it leaves behind, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from emberkeep.migrate import service, store
from emberkeep.migrate.model import (
    ConnectionPooled,
    DestructionForbidden,
    FileInvalid,
    HistoryRefused,
    MigrationSet,
    ModuleNeeded,
    NoWayBack,
    RequirementUnmet,
    RightsMissing,
    StatementFailed,
)

if TYPE_CHECKING:
    import datetime
    from collections.abc import AsyncIterator, Iterator

    from conftest import WriteSet

TABLE = {
    "V001__table.sql": "create table ${schema}.item (id int);",
    "V001__table.down.sql": "drop table ${schema}.item;",
}


async def test_an_edited_file_is_refused_and_named(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLE)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    write_set({"V001__table.sql": "create table ${schema}.item (id bigint);"})
    with pytest.raises(HistoryRefused, match=r"V001__table\.sql was edited after it was applied"):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)
    write_set({"V001__table.sql": TABLE["V001__table.sql"].replace("\n", "\r\n")})
    assert await service.apply_migrations(empty_database, sets=(shop,), now=now) == ()


async def test_a_deleted_file_is_refused_and_named(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLE | {"V002__more.sql": "create table ${schema}.more ();"})
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    (Path(str(shop.source)) / "V002__more.sql").unlink()
    with pytest.raises(HistoryRefused, match=r"shop V002__more is applied, but its file is gone"):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)


async def test_an_out_of_order_file_is_refused_and_named(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLE | {"V003__three.sql": "select 1;"})
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    write_set({"V002__two.sql": "select 1;"})
    with pytest.raises(HistoryRefused, match=r"V002__two\.sql is out of order: V003"):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)
    (verified,) = await service.verify_schemas(empty_database, sets=(shop,))
    assert [f.kind for f in verified.findings] == ["out_of_order"]


async def test_a_file_that_fails_leaves_nothing_and_says_where(
    empty_database: str, conn: psycopg.Connection, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(
        TABLE
        | {
            "V002__half.sql": "create table ${schema}.half (id int);\n"
            "-- Not a table that there is:\n"
            "insert into ${schema}.half\n    select id from ${schema}.nothing;\n"
        }
    )
    with pytest.raises(StatementFailed) as caught:
        await service.apply_migrations(empty_database, sets=(shop,), now=now)
    facts = caught.value.facts
    assert str(facts["file"]).endswith("V002__half.sql")
    assert (facts["line"], facts["column"], facts["sqlstate"]) == (4, 20, "42P01")
    assert facts["statement"] == "insert into shop.half\n    select id from shop.nothing"
    assert facts["cause"] == 'relation "shop.nothing" does not exist'
    # The file before it stays.
    assert conn.execute("select version from shop.schema_migrations").fetchall() == [(1,)]
    assert conn.execute("select to_regclass('shop.half')").fetchone() == (None,)


async def test_a_file_outside_a_transaction_that_fails_is_dirty_until_repaired(
    empty_database: str, conn: psycopg.Connection, now: datetime.datetime, write_set: WriteSet
):
    outside = "-- transactional: false\ncreate table if not exists ${schema}.half ();\n"
    shop = write_set(TABLE | {"V002__half.sql": outside + "select 1 / 0;\n"})
    with pytest.raises(
        StatementFailed, match=r"V002__half\.sql:3:1: division by zero.*repair shop"
    ):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)
    with pytest.raises(HistoryRefused, match="V002__half is dirty"):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)
    assert conn.execute("select to_regclass('shop.half')::text").fetchone() == ("shop.half",)
    write_set({"V002__half.sql": outside})
    await service.repair_schemas(empty_database, sets=(shop,))
    assert len(await service.apply_migrations(empty_database, sets=(shop,), now=now)) == 1


async def test_what_cannot_run_in_a_transaction_is_told_how_it_can(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(
        TABLE | {"V002__index.sql": "create index concurrently i on ${schema}.item (id);"}
    )
    with pytest.raises(StatementFailed, match="begins with `-- transactional: false`"):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)


async def test_a_name_without_its_schema_is_not_found(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set({"V001__table.sql": "create table item ();"})
    with pytest.raises(StatementFailed, match="no schema has been selected"):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)


async def test_an_error_inside_a_function_says_so(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    body = "select 1;\ndo $$ begin\n  perform 1 / 0;\nend $$;"
    shop = write_set({"V001__do.sql": body})
    with pytest.raises(
        StatementFailed, match=r"V001__do\.sql:2:1: division by zero; (?s:.*)line 2"
    ):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)


@pytest.mark.parametrize("text", ["select '${schemes}';", "select 'a", "commit;"])
async def test_a_file_that_cannot_be_is_refused_before_the_database_is_changed(
    empty_database: str,
    conn: psycopg.Connection,
    now: datetime.datetime,
    write_set: WriteSet,
    text: str,
):
    shop = write_set(TABLE | {"V002__bad.sql": text})
    with pytest.raises(FileInvalid, match=r"V002__bad\.sql"):
        await service.apply_migrations(empty_database, sets=(shop,), now=now)
    assert conn.execute("select to_regnamespace('shop')").fetchone() == (None,)


async def test_a_set_in_a_folder_or_package_that_is_not_there_is_refused(
    empty_database: str, now: datetime.datetime, tmp_path: Path
):
    for source in (tmp_path / "nowhere", "emberkeep.nowhere"):
        with pytest.raises(FileInvalid):
            await service.apply_migrations(
                empty_database, sets=(MigrationSet("shop", source, "shop"),), now=now
            )


async def test_down_takes_back_and_up_brings_again(
    empty_database: str, conn: psycopg.Connection, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(
        TABLE
        | {
            "V002__index.sql": "-- transactional: false\n"
            "create index concurrently item_idx on ${schema}.item (id);",
            "V002__index.down.sql": "-- transactional: false\n"
            "drop index concurrently ${schema}.item_idx;",
        }
    )
    for _ in range(2):
        applied = await service.apply_migrations(empty_database, sets=(shop,), now=now)
        assert [a.version for a in applied] == [1, 2]
        (verified,) = await service.verify_schemas(empty_database, sets=(shop,))
        assert (verified.findings, verified.compared_with) == ((), "files")
        (undone,) = await service.roll_back(empty_database, sets=(shop,), module="shop", now=now)
        assert undone.version == 2
        (verified,) = await service.verify_schemas(empty_database, sets=(shop,))
        assert verified.findings == ()
        undone = await service.roll_back(empty_database, sets=(shop,), to=0, now=now)
        assert [a.version for a in undone] == [1]
        assert conn.execute("select to_regclass('shop.item')").fetchone() == (None,)


async def test_down_is_refused_without_a_down_file_or_a_module(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLE | {"V002__more.sql": "create table ${schema}.more ();"})
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    with pytest.raises(NoWayBack, match="shop V002"):
        await service.roll_back(empty_database, sets=(shop,), module="shop", to=0, now=now)
    with pytest.raises(ModuleNeeded):
        await service.roll_back(empty_database, sets=(shop,), to=1, now=now)
    with pytest.raises(ModuleNeeded):
        await service.apply_migrations(empty_database, sets=(shop,), to=1, now=now)


async def test_a_set_follows_the_one_it_requires_and_holds_it_in_place(
    empty_database: str, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLE)
    till = write_set(
        {
            "V001__till.sql": "create table ${schema}.till ();",
            "V001__till.down.sql": "drop table ${schema}.till;",
        },
        name="till",
        schema="till",
    )
    needs_more = MigrationSet("till", till.source, "till", requires=(("shop", 2),))
    with pytest.raises(RequirementUnmet, match="till requires shop at V002, which is at V001"):
        await service.apply_migrations(empty_database, sets=(needs_more, shop), now=now)
    needs = MigrationSet("till", till.source, "till", requires=(("shop", 1),))
    applied = await service.apply_migrations(empty_database, sets=(needs, shop), now=now)
    assert [a.set_name for a in applied] == ["till"]
    with pytest.raises(RequirementUnmet, match="take till back first"):
        await service.roll_back(empty_database, sets=(needs, shop), module="shop", now=now)
    undone = await service.roll_back(empty_database, sets=(needs, shop), to=0, now=now)
    assert [a.set_name for a in undone] == ["till", "shop"]


async def test_data_is_dropped_only_where_the_configuration_allows_it(
    empty_database: str, conn: psycopg.Connection, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLE)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    conn.execute("insert into shop.item values (1)")
    with pytest.raises(DestructionForbidden):
        await service.reset_schemas(empty_database, is_allowed=False, sets=(shop,), now=now)
    with pytest.raises(DestructionForbidden):
        await service.drop_schemas(empty_database, is_allowed=False, sets=(shop,))
    assert conn.execute("select count(*) from shop.item").fetchone() == (1,)
    await service.reset_schemas(empty_database, is_allowed=True, sets=(shop,), now=now)
    assert conn.execute("select count(*) from shop.item").fetchone() == (0,)
    await service.drop_schemas(empty_database, is_allowed=True, sets=(shop,))
    assert conn.execute("select to_regnamespace('shop')").fetchone() == (None,)


@pytest.fixture
def weak_role(conn: psycopg.Connection) -> Iterator[str]:
    """A role that may connect, and nothing else."""
    name = f"weak_{secrets.token_hex(4)}"
    role = sql.Identifier(name)
    conn.execute(sql.SQL("create role {} login").format(role))
    yield name
    conn.execute(sql.SQL("drop owned by {}").format(role))
    conn.execute(sql.SQL("drop role {}").format(role))


async def test_a_role_without_rights_is_told_which_role_is_needed(
    empty_database: str,
    conn: psycopg.Connection,
    weak_role: str,
    now: datetime.datetime,
    write_set: WriteSet,
):
    weak = make_conninfo(empty_database, user=weak_role)
    shop = write_set(TABLE)
    with pytest.raises(RightsMissing, match=f"{weak_role}.*EMBERKEEP_MIGRATION_DATABASE_URL"):
        await service.apply_migrations(weak, sets=(shop,), now=now)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    with pytest.raises(RightsMissing, match="schema shop"):
        await service.apply_migrations(weak, sets=(shop,), now=now)
    # A role that may read the history starts where nothing is pending, and only there.
    role = sql.Identifier(weak_role)
    conn.execute(sql.SQL("grant usage on schema shop to {}").format(role))
    conn.execute(sql.SQL("grant select on shop.schema_migrations to {}").format(role))
    assert await service.apply_migrations(weak, sets=(shop,), now=now) == ()
    write_set({"V002__more.sql": "create table ${schema}.more ();"})
    with pytest.raises(RightsMissing, match="schema shop"):
        await service.apply_migrations(weak, sets=(shop,), now=now)


async def test_a_history_that_changed_under_a_prepared_statement_is_read_again(
    empty_database: str, conn: psycopg.Connection, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLE)
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    async with service.open_session(empty_database) as session:
        for _ in range(3):
            before = await store.read_history(session, shop)
        conn.execute("alter table shop.schema_migrations alter duration_ms type bigint")
        assert await store.read_history(session, shop) == before


@contextlib.asynccontextmanager
async def run_pooler(dsn: str) -> AsyncIterator[str]:
    """Stand between client and server as a pooler does: greet with a process id of one's own."""
    server = conninfo_to_dict(dsn)
    path = f"{server['host']}/.s.PGSQL.{server.get('port', 5432)}"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_unix_connection(path)
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, down))
            group.create_task(_copy(up, writer, is_greeting=True))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, family=socket.AF_INET)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        yield make_conninfo(dsn, host="127.0.0.1", port=port)


async def _copy(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_greeting: bool = False
) -> None:
    key_data = b"K\0\0\0\x0c"  # BackendKeyData: length 12, process id, secret.
    # Either side may leave first, and hang up on what is still to be said.
    with contextlib.closing(target), contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            if is_greeting and key_data in data:
                at = data.index(key_data) + len(key_data)
                data, is_greeting = data[:at] + b"\0\0\0\x01" + data[at + 4 :], False
            target.write(data)
            await target.drain()


async def test_a_pooler_is_recognized_and_refused(
    empty_database: str, conn: psycopg.Connection, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set(TABLE)
    async with run_pooler(empty_database) as pooled:
        with pytest.raises(ConnectionPooled, match="goes through a pooler"):
            await service.apply_migrations(pooled, sets=(shop,), now=now)
        assert conn.execute("select to_regnamespace('shop')").fetchone() == (None,)
        await service.apply_migrations(empty_database, sets=(shop,), now=now)
        # With nothing to do no lock is needed, and a pooler does no harm.
        assert await service.apply_migrations(pooled, sets=(shop,), now=now) == ()
