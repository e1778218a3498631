"""docs/how-to/follow-events.md: what it shows to type and to run does what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from emberkeep.base.clock import new_id
from emberkeep.events.model import Category, StreamId
from emberkeep.events.service import (
    Projection,
    append_to_stream,
    find_subscription,
    list_parked,
    make_event,
    rebuild_projection,
)
from tests.eventing import NOW, append
from tests.following import open_hub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emberkeep.base.db import Connection
    from emberkeep.events.model import SubscriptionId

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "follow-events.md"
NAME: SubscriptionId = "receipts"  # type: ignore[assignment]


def _find_block(language: str, begins: str) -> str:
    """Return the one block of code that begins so."""
    blocks = re.findall(
        rf"^```{language}\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (found,) = [block for block in blocks if block.startswith(begins)]
    return found


@pytest.fixture
def receipts(dsn: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The program of the guide at work."""
    program = tmp_path / "receipts.py"
    program.write_text(_find_block("python", '"""Mails a receipt'), "utf-8")
    environment = {**os.environ, "EMBERKEEP_DATABASE_URL": dsn}
    process = subprocess.Popen(
        [sys.executable, program],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    yield process
    process.kill()
    process.communicate()


async def _pay(conn: Connection, order: str, data: object) -> None:
    await append_to_stream(
        conn, stream_id=StreamId(order), events=[make_event("OrderPaid", data)], now=NOW
    )


async def test_the_program_of_the_guide_mails_receipts_and_parks_what_it_cannot_handle(
    receipts: subprocess.Popen[str], conn: Connection
) -> None:
    await _pay(conn, "order-17", {"by": "card"})
    await _pay(conn, "order-18", {})
    await _pay(conn, "order-19", {"by": "cash"})
    assert receipts.stdout is not None
    lines = [receipts.stdout.readline() for _ in range(2)]
    assert lines == ["receipt for order-17: paid by card\n", "receipt for order-19: paid by cash\n"]
    page = await list_parked(conn, subscription_id=NAME, source=Category("order"))
    assert [(p.attempts, p.error) for p in page.items] == [(4, "KeyError: 'by'")]
    receipts.send_signal(signal.SIGINT)
    assert receipts.wait(20) == 0
    state = await find_subscription(conn, subscription_id=NAME)
    assert (state.lag, state.consumers) == (0, 0)


async def test_the_sql_of_the_guide_follows_the_store_by_the_readers_role(
    dsn: str, conn: Connection
) -> None:
    await append(conn, "order-1", 2)
    given: dict[str, Any] = {"consumer": new_id()}
    answers: list[list[Any]] = []
    with psycopg.connect(dsn, autocommit=True) as client:
        client.execute("set role event_store_reader")
        client.execute("listen event_store")
        for statement in _find_block("sql", "-- Once").split(";\n"):
            if not statement.strip():
                continue
            query = re.sub(r":([a-z_]+)\b(?<!::)", r"%(\1)s", statement)
            cursor = client.execute(query.encode(), given)
            names = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall()
            answers.append(rows)
            # What an answer is called, a later statement asks for.
            given |= dict(zip(names, rows[-1], strict=True))
    created, _, leased, read, moved, renewed, _ = answers
    assert (created, len(leased), len(read)) == ([(1,)], 1, 2)
    assert (moved, renewed) == ([(True,)], [(given["consumer"],)])
    state = await find_subscription(conn, subscription_id="receipts-go")  # type: ignore[arg-type]
    assert (state.lag, state.consumers) == (0, 0)


async def test_the_projection_of_the_guide_is_a_table_in_step_with_the_events(
    dsn: str, conn: Connection
) -> None:
    await conn.execute("create schema shop")
    try:
        await conn.execute(
            "create table shop.paid_orders (generation int, stream_id text, event_id bigint)"
        )
        await _pay(conn, "order-1", {})
        await append(conn, "order-1")
        known: dict[str, Any] = {"Projection": Projection, "Category": Category}
        block = _find_block("python", "async def handle")
        exec(block[: block.index("await run_projection")], known)  # noqa: S102 -- It is ours.
        async with open_hub(dsn) as hub:
            generation = await rebuild_projection(
                hub, known["PAID_ORDERS"], on_progress=lambda *_: None
            )
        rows = await (await conn.execute("select * from shop.paid_orders")).fetchall()
        assert rows == [(generation, "order-1", 1)]
    finally:
        await conn.execute("drop schema shop cascade")
