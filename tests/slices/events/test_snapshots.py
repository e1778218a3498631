"""Snapshots: the newest state of a source that anybody kept; a slow writer never puts it back."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest

from emberkeep.base.db import Connection, transaction
from emberkeep.events.model import AppendInvalid, ReadInvalid, Snapshot, SnapshotUnknown
from emberkeep.events.service import delete_snapshot, read_snapshot, record_snapshot
from tests.claiming import await_waiter
from tests.eventing import NOW, append


def make_snapshot(version: int, data: Any = "state", *, source: str = "s") -> Snapshot:
    return Snapshot(
        source_id=source,
        source_version=version,
        source_type="State",
        data=data,
        metadata={"form": 2},
        created_at=NOW + datetime.timedelta(hours=version),
    )


async def test_a_state_is_read_as_it_was_kept(conn: Connection) -> None:
    snapshot = make_snapshot(3, {"a": [1, None, "\N{GRINNING FACE}"]})
    assert await record_snapshot(conn, snapshot=snapshot) == 3
    assert await read_snapshot(conn, source_id="s") == snapshot


async def test_a_state_without_metadata_has_none(conn: Connection) -> None:
    snapshot = Snapshot(
        source_id="s", source_version=1, source_type="State", data=None, created_at=NOW
    )
    await record_snapshot(conn, snapshot=snapshot)
    assert await read_snapshot(conn, source_id="s") == snapshot


async def test_a_newer_state_takes_the_place_of_an_older_one(conn: Connection) -> None:
    await record_snapshot(conn, snapshot=make_snapshot(3, "old"))
    assert await record_snapshot(conn, snapshot=make_snapshot(7, "new")) == 7
    assert await read_snapshot(conn, source_id="s") == make_snapshot(7, "new")


async def test_an_older_state_never_takes_the_place_of_a_newer_one(conn: Connection) -> None:
    await record_snapshot(conn, snapshot=make_snapshot(7, "new"))
    assert await record_snapshot(conn, snapshot=make_snapshot(6, "old")) == 7
    assert await read_snapshot(conn, source_id="s") == make_snapshot(7, "new")


async def test_a_state_of_the_same_version_can_be_kept_in_a_new_form(conn: Connection) -> None:
    await record_snapshot(conn, snapshot=make_snapshot(7, "form 1"))
    await record_snapshot(conn, snapshot=make_snapshot(7, "form 2"))
    assert (await read_snapshot(conn, source_id="s")).data == "form 2"


@pytest.mark.parametrize(("first", "second"), [(3, 7), (7, 3)])
async def test_of_two_who_keep_a_state_at_once_the_newer_stays(
    dsn: str, conn: Connection, other: Connection, first: int, second: int
) -> None:
    async with transaction(conn):
        await record_snapshot(conn, snapshot=make_snapshot(first))
        rival = asyncio.create_task(record_snapshot(other, snapshot=make_snapshot(second)))
        await await_waiter(dsn)
    assert await rival == 7
    assert (await read_snapshot(conn, source_id="s")).source_version == 7


async def test_each_source_has_a_state_of_its_own_and_need_not_be_a_stream(
    conn: Connection,
) -> None:
    await append(conn, "s")
    await record_snapshot(conn, snapshot=make_snapshot(1, "s"))
    await record_snapshot(conn, snapshot=make_snapshot(9, "report", source="report 2026"))
    assert (await read_snapshot(conn, source_id="s")).data == "s"
    assert (await read_snapshot(conn, source_id="report 2026")).data == "report"


async def test_a_state_can_be_forgotten_and_kept_again(conn: Connection) -> None:
    await record_snapshot(conn, snapshot=make_snapshot(7))
    await delete_snapshot(conn, source_id="s")
    with pytest.raises(SnapshotUnknown):
        await read_snapshot(conn, source_id="s")
    assert await record_snapshot(conn, snapshot=make_snapshot(3)) == 3


async def test_a_source_without_a_state_says_so(conn: Connection) -> None:
    with pytest.raises(SnapshotUnknown):
        await read_snapshot(conn, source_id="s")
    with pytest.raises(SnapshotUnknown):
        await delete_snapshot(conn, source_id="s")


@pytest.mark.parametrize("source", ["", "x" * 10_240, "a\0b", "\ud83d"])
async def test_what_no_source_can_be_called_is_refused(conn: Connection, source: str) -> None:
    with pytest.raises(AppendInvalid):
        await record_snapshot(conn, snapshot=make_snapshot(1, source=source))
    for ask in (read_snapshot, delete_snapshot):
        with pytest.raises(ReadInvalid):
            await ask(conn, source_id=source)


@pytest.mark.parametrize("data", ["\0", "\ud83d", object(), {"a\0": 1}])
async def test_a_state_that_cannot_be_kept_is_refused_and_the_old_one_stays(
    conn: Connection, data: object
) -> None:
    await record_snapshot(conn, snapshot=make_snapshot(3, "old"))
    with pytest.raises(AppendInvalid):
        await record_snapshot(conn, snapshot=make_snapshot(7, data))
    assert (await read_snapshot(conn, source_id="s")).data == "old"
