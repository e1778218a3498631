"""What the database refuses, whoever asks; what each role may do and no more; and how damage is found."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from emberkeep.base.db import Connection, connect
from emberkeep.events.model import Snapshot, StreamId
from emberkeep.events.service import (
    delete_stream,
    erase_stream,
    link_to_stream,
    record_snapshot,
)
from tests.eventing import NOW, append, count_events, list_violations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emberkeep.base.postgres import EmbeddedServer

# Facts stay as they are

HOSTILE = [
    "update event_store.events set data = '{}'",
    "update event_store.events set data = '{}' where false",
    "update event_store.events set event_id = event_id + 1000",
    "delete from event_store.events",
    "delete from event_store.events where stream_id = 's'",
    "truncate event_store.events",
    "truncate event_store.events cascade",
    "truncate event_store.event_streams cascade",
    "update event_store.event_links set event_id = 1",
    "delete from event_store.event_links",
    "truncate event_store.event_links",
    "insert into event_store.events (event_id, stream_id, stream_version, event_type, data)"
    " values (1, 's', 1, 'E', '1') on conflict (event_id) do update set data = '2'",
    "merge into event_store.events as event using (select 1 as event_id) as given"
    " on event.event_id = given.event_id when matched then delete",
    "set local emberkeep.erasing = '1'; delete from event_store.events",
    "set local emberkeep.erasing = ''; delete from event_store.events",
]


@pytest.mark.parametrize("statement", HOSTILE)
async def test_what_was_written_stays_even_for_a_superuser(
    conn: Connection, statement: str
) -> None:
    await append(conn, "s", 2)
    await append(conn, "t")
    await link_to_stream(conn, stream_id=StreamId("t"), event_ids=[1], now=NOW)
    with pytest.raises(psycopg.errors.RestrictViolation) as refusal:
        await conn.execute(statement.encode())
    assert refusal.value.diag.constraint_name in {"events_append_only", "event_links_append_only"}
    assert await count_events(conn) == 3


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("delete from event_store.event_streams", "fk_events_stream"),
        (
            "insert into event_store.events (stream_id, stream_version, event_type, data)"
            " values ('s', 2, 'E', '1')",
            "uq_events_stream_version",
        ),
        (
            "insert into event_store.events (event_id, stream_id, stream_version, event_type, data)"
            " values (1, 's', 9, 'E', '1')",
            "pk_events",
        ),
        (
            "insert into event_store.events (stream_id, stream_version, event_type, data)"
            " values ('never', 1, 'E', '1')",
            "fk_events_stream",
        ),
        (
            "insert into event_store.events"
            " (stream_id, stream_version, event_type, data, event_uuid)"
            " values ('s', 9, 'E', '1', '00000000-0000-0000-0000-000000000001')",
            "uq_events_event_uuid",
        ),
    ],
)
async def test_a_second_event_of_one_place_or_id_is_refused_by_the_tables(
    conn: Connection, statement: str, constraint: str
) -> None:
    await append(conn, "s", 2, uuids=[1])
    with pytest.raises(psycopg.errors.IntegrityError) as refusal:
        await conn.execute(statement.encode())
    assert refusal.value.diag.constraint_name == constraint


# Roles

WRITER_CALLS = {
    "append_to_stream": "select * from event_store.append_to_stream('w', 0, '{E}', '{1}', now())",
    "append_to_streams": "select event_store.append_to_streams("
    "'{v}', '{E}', '{1}', '{1}', array[null], now())",
    "append_batch": "select * from event_store.append_batch("
    "'{u}', '{0}', '{1}', array[null::uuid], '{E}', '{1}', '{1}', array[null], now())",
    "link_to_stream": "select event_store.link_to_stream('l', null, '{1}', now())",
    "delete_stream": "select event_store.delete_stream('s', null, 'x', now())",
    "record_snapshot": "select event_store.record_snapshot('s', 1, 'T', '1', null, now())",
    "delete_snapshot": "select event_store.delete_snapshot('s')",
}
READER_CALLS = {
    "read_stream_forward": "select * from event_store.read_stream_forward('s', 1, 9)",
    "read_stream_backward": "select * from event_store.read_stream_backward('s', 9, 9)",
    "read_all_forward": "select * from event_store.read_all_forward(0, 9)",
    "read_all_backward": "select * from event_store.read_all_backward(99, 9)",
    "scan_events": "select * from event_store.scan_events(0, 9, null, null, 9)",
    "read_horizon": "select * from event_store.read_horizon()",
    "read_stream_info": "select * from event_store.read_stream_info('s')",
    "paginate_streams": "select * from event_store.paginate_streams("
    "'s', 'stream_id', false, null, null, 9)",
    "read_snapshot": "select * from event_store.read_snapshot('s')",
}
# What the functions above call, as their owner; called alone they would do harm or nothing.
INNER_FUNCTIONS = {
    "fence_key",
    "hold_fence",
    "hold_stream",
    "wake_subscribers",
    "refuse_change",
    "is_expected",
    "check_version",
    "check_stream_id",
    "erase_stream",
}
TOUCHES = [
    "insert into event_store.events (stream_id, stream_version, event_type, data)"
    " values ('s', 9, 'E', '1')",
    "insert into event_store.event_streams (stream_id) values ('x')",
    "update event_store.event_streams set stream_version = 9",
    "update event_store.event_streams set deleted_at = null",
    "update event_store.events set data = '1'",
    "delete from event_store.events",
    "delete from event_store.event_streams",
    "truncate event_store.events cascade",
    "insert into event_store.event_links values ('s', 9, 1, now())",
    "insert into event_store.snapshots values ('s', 9, 'T', '1', null, now())",
    "delete from event_store.snapshots",
    "select nextval('event_store.events_event_id_seq')",
    "select setval('event_store.events_event_id_seq', 1)",
    "select event_store.erase_stream('s', null, 'x', now())",
    "select event_store.hold_fence()",
    "select event_store.wake_subscribers()",
    "select event_store.hold_stream('s', null, now())",
    "drop table event_store.events cascade",
    "alter table event_store.events disable trigger all",
    "create table event_store.mine (id int)",
    "create function event_store.mine() returns int language sql return 1",
    "set session_replication_role = replica",
]
LOOKS = [
    "select * from event_store.events",
    "select * from event_store.event_streams",
    "select * from event_store.event_links",
    "select * from event_store.snapshots",
    "select * from event_store.stream_contents",
]


@contextlib.contextmanager
def login(dsn: str, role: str) -> Iterator[psycopg.Connection]:
    """Lend the connection of a new user who is a member of `role` and of nothing else."""
    user = f"test_{secrets.token_hex(8)}"
    name = sql.Identifier(user)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(
            sql.SQL("create role {} login password 'x' in role {}").format(
                name, sql.Identifier(role)
            )
        )
        try:
            with psycopg.connect(dsn, user=user, password="x", autocommit=True) as conn:
                yield conn
        finally:
            owner.execute(sql.SQL("drop role {}").format(name))


@pytest.fixture
async def filled(dsn: str, conn: Connection) -> str:
    """A store in which everything has happened once."""
    await append(conn, "s", 2)
    await append(conn, "t")
    await link_to_stream(conn, stream_id=StreamId("t"), event_ids=[1], now=NOW)
    snapshot = Snapshot(source_id="s", source_version=1, source_type="T", data=1, created_at=NOW)
    await record_snapshot(conn, snapshot=snapshot)
    return dsn


@pytest.mark.parametrize("call", WRITER_CALLS)
async def test_a_writer_calls_what_writes(filled: str, call: str) -> None:
    with login(filled, "event_store_writer") as writer:
        assert len(writer.execute(WRITER_CALLS[call].encode()).fetchall()) == 1


@pytest.mark.parametrize("statement", [*READER_CALLS.values(), *LOOKS, *TOUCHES])
async def test_a_writer_reads_nothing_and_touches_nothing(filled: str, statement: str) -> None:
    with (
        login(filled, "event_store_writer") as writer,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        writer.execute(statement.encode())


@pytest.mark.parametrize("call", READER_CALLS)
async def test_a_reader_calls_what_reads(filled: str, call: str) -> None:
    with login(filled, "event_store_reader") as reader:
        assert reader.execute(READER_CALLS[call].encode()).fetchall()


@pytest.mark.parametrize("look", LOOKS)
async def test_a_reader_may_look_into_the_tables(filled: str, look: str) -> None:
    with login(filled, "event_store_reader") as reader:
        assert reader.execute(look.encode()).fetchall()


@pytest.mark.parametrize("statement", [*WRITER_CALLS.values(), *TOUCHES])
async def test_a_reader_writes_nothing_and_touches_nothing(filled: str, statement: str) -> None:
    with (
        login(filled, "event_store_reader") as reader,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        reader.execute(statement.encode())


def list_functions(dsn: str, role: str) -> set[str]:
    """Return the functions of the store that `role` may call."""
    with psycopg.connect(dsn) as conn:
        rows = conn.execute(
            "select proname from pg_proc where pronamespace = 'event_store'::regnamespace"
            " and has_function_privilege(%s, oid, 'execute')",
            (role,),
        )
        return {name for (name,) in rows}


def test_a_writer_may_call_nothing_else(dsn: str) -> None:
    assert list_functions(dsn, "event_store_writer") == set(WRITER_CALLS)


def test_nobody_but_the_service_erases_and_nobody_calls_the_inner_functions(dsn: str) -> None:
    for role in ("event_store_writer", "event_store_reader", "pg_database_owner"):
        assert list_functions(dsn, role).isdisjoint(INNER_FUNCTIONS)
    assert list_functions(dsn, "emberkeep_service") & INNER_FUNCTIONS == {"erase_stream"}
    assert list_functions(dsn, "event_store_reader").isdisjoint(WRITER_CALLS)


def test_the_service_calls_what_writers_and_readers_call(dsn: str) -> None:
    allowed = list_functions(dsn, "emberkeep_service")
    assert allowed >= set(WRITER_CALLS) | set(READER_CALLS)
    assert allowed >= list_functions(dsn, "event_store_reader")


@pytest.mark.parametrize("statement", [touch for touch in TOUCHES if "erase_stream" not in touch])
async def test_the_service_touches_no_table_either(filled: str, statement: str) -> None:
    with (
        login(filled, "emberkeep_service") as service,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        service.execute(statement.encode())


async def test_the_service_appends_deletes_and_erases_through_functions(
    filled: str, conn: Connection
) -> None:
    await conn.execute("set role emberkeep_service")
    assert (await append(conn, "s", 3, expected=2)).last_version == 5
    await delete_stream(conn, stream_id=StreamId("s"), actor="test", now=NOW)
    erased = await erase_stream(
        conn, stream_id=StreamId("s"), is_allowed=True, actor="test", now=NOW
    )
    assert erased == 5
    await conn.execute("reset role")


async def test_an_attacker_cannot_put_functions_of_his_own_before_those_of_the_system(
    filled: str,
) -> None:
    with login(filled, "event_store_writer") as writer:
        writer.execute("create temp table events (event_id int)")
        writer.execute(
            "create function pg_temp.pg_notify(text, text) returns void language plpgsql"
            " as $$ begin raise exception 'mine, as %', current_user; end $$"
        )
        writer.execute("set search_path = pg_temp, pg_catalog, event_store")
        assert writer.execute(WRITER_CALLS["append_to_stream"].encode()).fetchall()
        writer.execute("discard temp")


# What callers of the functions must not be able to break


MISFITS = {
    "more events than were sent": ("'{u}', '{null}', '{5}'", 1),
    "fewer events than were sent": ("'{u}', '{null}', '{1}'", 2),
    "a negative count": ("'{u,v}', '{null,null}', '{3,-1}'", 2),
    "a count that is missing": ("'{u,v}', '{null,null}', '{2}'", 2),
    "an expectation that is missing": ("'{u,v}', '{null}', '{1,1}'", 2),
    "a name of the store itself": ("'{$all}', '{null}', '{1}'", 1),
    "no name": ("array[''], '{null}', '{1}'", 1),
    "no events": ("'{u}', '{null}', '{0}'", 0),
}


@pytest.mark.parametrize("misfit", MISFITS)
async def test_a_batch_whose_arrays_do_not_fit_writes_nothing(
    dsn: str, conn: Connection, misfit: str
) -> None:
    arrays, events = MISFITS[misfit]
    statement = (
        f"select * from event_store.append_batch({arrays},"  # noqa: S608
        " array_fill(null::uuid, array[{0}]), array_fill('E'::text, array[{0}]),"
        " array_fill(1, array[{0}]), array_fill('1'::text, array[{0}]),"
        " array_fill(null::text, array[{0}]), now())"
    ).replace("{0}", str(events))
    with login(dsn, "event_store_writer") as writer, pytest.raises(psycopg.Error):
        writer.execute(statement.encode())
    assert await count_events(conn) == 0
    streams = await conn.execute("select count(*) from event_store.event_streams")
    assert await streams.fetchone() == (0,)


@pytest.mark.parametrize("name", ["$all", ""])
async def test_the_cheap_way_takes_no_name_of_the_store_itself(
    dsn: str, conn: Connection, name: str
) -> None:
    with login(dsn, "event_store_writer") as writer, pytest.raises(psycopg.Error):
        writer.execute(
            "select event_store.append_to_streams("
            "array[%s], '{E}', '{1}', '{1}', array[null], now())",
            (name,),
        )
    assert await count_events(conn) == 0


@pytest.mark.parametrize(
    "event",
    [
        "'{E}', '{1}', now(), event_versions => '{0}'",
        "'{E}', '{1}', now(), event_versions => '{-1}'",
        "array[''], '{1}', now()",
        "'{E}', '{1}', now(), metadata => '{[]}'",
    ],
)
async def test_an_event_that_has_no_type_or_form_is_refused_to_other_languages_too(
    dsn: str, conn: Connection, event: str
) -> None:
    with login(dsn, "event_store_writer") as writer, pytest.raises(psycopg.Error):
        writer.execute(f"select event_store.append_to_stream('w', null, {event})".encode())
    assert await count_events(conn) == 0


# Damage that somebody who can do everything has done

GAPS = "events: streams have no gaps"
LINKS = "events: links lead to events"
ORDER = "events: positions have one order"

DAMAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "an event is gone": ("delete from event_store.events where event_id = 1", {GAPS: ("s",)}),
    "the last event is gone": (
        "delete from event_store.events where event_id = 2",
        {GAPS: ("s",)},
    ),
    "a linked event is gone": (
        "delete from event_store.events where event_id = 4",
        {GAPS: ("t", "u"), LINKS: ("u",)},
    ),
    "a link is gone": ("delete from event_store.event_links", {GAPS: ("u",)}),
    "a stream is gone": (
        "delete from event_store.event_streams where stream_id = 's'",
        {GAPS: ("s",)},
    ),
    "a stream counts too far": (
        "update event_store.event_streams set stream_version = 9 where stream_id = 's'",
        {GAPS: ("s",)},
    ),
    "a stream counts not far enough": (
        "update event_store.event_streams set stream_version = 1 where stream_id = 's'",
        {GAPS: ("s",)},
    ),
    "a version is another": (
        "update event_store.events set stream_version = 3 where event_id = 2",
        {GAPS: ("s",)},
    ),
    "an event moved to another stream": (
        "update event_store.events set stream_id = 't', stream_version = 3 where event_id = 2",
        {GAPS: ("s", "t")},
    ),
    "a link leads nowhere": (
        "update event_store.event_links set event_id = 99",
        {GAPS: ("u",), LINKS: ("u",)},
    ),
    "the sequence keeps numbers back for a session": (
        "alter sequence event_store.events_event_id_seq cache 10",
        {ORDER: ("the sequence hands out each position once, in order",)},
    ),
    "the sequence counts in steps": (
        "alter sequence event_store.events_event_id_seq increment 2",
        {ORDER: ("the sequence hands out each position once, in order",)},
    ),
    "the sequence begins again": (
        "alter sequence event_store.events_event_id_seq cycle",
        {ORDER: ("the sequence hands out each position once, in order",)},
    ),
    "the sequence was set back": (
        "select setval('event_store.events_event_id_seq', 2)",
        {ORDER: ("no event lies beyond the last position",)},
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damage_is_found_and_named(database: str, damage: str) -> None:
    statement, found = DAMAGES[damage]
    async with await connect(database) as conn:
        await append(conn, "s", 2)
        await append(conn, "t", 2)
        await link_to_stream(conn, stream_id=StreamId("u"), event_ids=[4], now=NOW)
        assert await list_violations(database) == {}
        await conn.execute("set session_replication_role = replica")
        await conn.execute(statement.encode())
    assert await list_violations(database) == found


async def test_a_store_without_an_event_is_clean(conn: Connection, dsn: str) -> None:
    await conn.execute("select")
    assert await list_violations(dsn) == {}


def test_stores_of_a_server_have_roles_of_their_own(
    dsn: str, postgres_server: EmbeddedServer
) -> None:
    with psycopg.connect(postgres_server.dsn) as conn:
        rows = conn.execute(
            "select rolname, rolcanlogin, rolsuper from pg_roles"
            " where rolname ~ '^(event_store|shop_events)_' order by 1"
        ).fetchall()
    assert rows == [
        ("event_store_reader", False, False),
        ("event_store_writer", False, False),
        ("shop_events_reader", False, False),
        ("shop_events_writer", False, False),
    ]
    with login(dsn, "shop_events_writer") as writer:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute(WRITER_CALLS["append_to_stream"].encode())
        shop = WRITER_CALLS["append_to_stream"].replace("event_store", "shop_events")
        assert writer.execute(shop.encode()).fetchall()
