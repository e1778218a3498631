"""Appends, and what becomes of them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

from emberkeep.base import sql
from emberkeep.base.db import Connection
from emberkeep.base.errors import EmberkeepError
from emberkeep.events.model import (
    Append,
    Appended,
    DuplicateEventUuid,
    Expected,
    ExpectedVersion,
    StreamDeleted,
    WrongExpectedVersion,
)
from emberkeep.events.store.refusals import refusals, value_refusals
from emberkeep.events.store.statements import for_schema

_CODES: Final = {Expected.ANY: None, Expected.NO_STREAM: 0, Expected.STREAM_EXISTS: -1}


async def append_to_streams(
    conn: Connection, *, appends: Sequence[Append], now: datetime.datetime, schema: str
) -> None:
    """Append all of it, without waiting for the answer when `conn` is in a pipeline.

    Versions are not looked at, nor are ids kept: for appends that expect nothing.
    """
    with refusals():
        await conn.execute(
            for_schema(schema)["append_to_streams"],
            {
                "stream_ids": sql.text_array(a.stream_id for a in appends for _ in a.events),
                "event_types": sql.text_array(e.event_type for a in appends for e in a.events),
                "event_versions": sql.array(e.event_version for a in appends for e in a.events),
                "data": sql.text_array(e.data for a in appends for e in a.events),
                "metadata": sql.text_array(e.metadata for a in appends for e in a.events),
                "now": now,
            },
        )


async def append_batch(
    conn: Connection, *, appends: Sequence[Append], now: datetime.datetime, schema: str
) -> list[Appended | EmberkeepError]:
    """Append what can be; answer each append, in order, with its place or with why not."""
    events = [event for append in appends for event in append.events]
    parameters = {
        "stream_ids": sql.text_array(a.stream_id for a in appends),
        "expected_versions": sql.array(to_code(a.expected_version) for a in appends),
        "event_counts": sql.array(len(a.events) for a in appends),
        "event_uuids": sql.array(e.event_uuid for e in events),
        "event_types": sql.text_array(e.event_type for e in events),
        "event_versions": sql.array(e.event_version for e in events),
        "data": sql.text_array(e.data for e in events),
        "metadata": sql.text_array(e.metadata for e in events),
        "now": now,
    }
    with refusals(), value_refusals():
        cursor = await conn.execute(for_schema(schema)["append_batch"], parameters)
        rows = await cursor.fetchall()
    return [_to_answer(append, row) for append, row in zip(appends, rows, strict=True)]


def to_code(version: ExpectedVersion) -> int | None:
    """Return what the functions of the database take for an expectation."""
    return _CODES[version] if isinstance(version, Expected) else version


def _to_answer(
    append: Append, row: tuple[str, int, int, int | None, int | None]
) -> Appended | EmberkeepError:
    outcome, actual, first_version, first_event_id, last_event_id = row
    match outcome:
        case "appended" | "duplicate":
            assert first_event_id is not None
            assert last_event_id is not None
            return Appended(
                stream_id=append.stream_id,
                first_version=first_version,
                last_version=actual,
                first_event_id=first_event_id,
                last_event_id=last_event_id,
                is_retry=outcome == "duplicate",
            )
        case "wrong_expected_version":
            expected = append.expected_version
            return WrongExpectedVersion(
                f"the stream is at version {actual}, not where it was expected",
                stream_id=append.stream_id,
                expected=expected.value if isinstance(expected, Expected) else expected,
                actual=actual,
            )
        case "deleted":
            return StreamDeleted("the stream was deleted", stream_id=append.stream_id)
        case "duplicate_event_uuid":
            return DuplicateEventUuid("an event with one of these ids is in the store already")
        case _:
            raise AssertionError(f"append_batch does not answer {outcome}")
