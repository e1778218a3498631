"""What is sent together is written together, and a failure leaves the connection as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.base import db
from emberkeep.base.db import OutcomeUnknown
from tests.claiming import open_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from emberkeep.base.db import Connection


@pytest.fixture
async def conn(empty_database: str) -> AsyncIterator[Connection]:
    """A writer's connection to a database with one table of positive numbers."""
    async with open_writer(empty_database) as conn:
        await conn.execute("create table note (number int check (number > 0))")
        yield conn


async def write(conn: Connection, first: int, second: int) -> None:
    async with db.atomically(conn):
        await conn.execute("insert into note values (%(number)s)", {"number": first})
        await conn.execute("insert into note values (%(number)s + 0)", {"number": second})


async def count_notes(conn: Connection) -> int:
    row = await (await conn.execute("select count(*) from note")).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("pair", [(-1, 1), (1, -1)], ids=["the first fails", "the second fails"])
async def test_all_is_written_or_nothing(conn: Connection, pair: tuple[int, int]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await write(conn, *pair)
    assert await count_notes(conn) == 0


# Statements are prepared when they come again, so the moment of the failure counts.
@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("pair", [(-1, 1), (1, -1)], ids=["the first fails", "the second fails"])
async def test_after_a_failure_the_connection_is_as_good_as_new(
    conn: Connection, before: int, pair: tuple[int, int]
) -> None:
    for _ in range(before):
        await write(conn, 1, 2)
    for _ in range(3):
        with pytest.raises(psycopg.errors.CheckViolation):
            await write(conn, *pair)
    for _ in range(4):
        await write(conn, 1, 2)
    assert await count_notes(conn) == 2 * before + 8


async def test_a_lost_connection_leaves_the_outcome_unknown(
    conn: Connection, empty_database: str
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as killer:
        killer.execute("select pg_terminate_backend(%s)", (conn.info.backend_pid,))
    with pytest.raises(OutcomeUnknown):
        await write(conn, 1, 2)


async def test_inside_a_transaction_it_is_a_part_of_that(conn: Connection) -> None:
    async with conn.transaction(force_rollback=True):
        await write(conn, 1, 2)
        assert await count_notes(conn) == 2
    assert await count_notes(conn) == 0


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("pair", [(-1, 1), (1, -1)], ids=["the first fails", "the second fails"])
async def test_a_failure_inside_a_transaction_undoes_no_more_than_its_savepoint(
    conn: Connection, before: int, pair: tuple[int, int]
) -> None:
    async with conn.transaction():
        for _ in range(before):
            await write(conn, 1, 2)
        for _ in range(3):
            with pytest.raises(psycopg.errors.CheckViolation):
                async with conn.transaction():
                    await write(conn, *pair)
        for _ in range(4):
            await write(conn, 1, 2)
    assert await count_notes(conn) == 2 * before + 8
