"""What the database refuses by the name of a constraint, as the slice's own errors."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Final

import msgspec
import psycopg
from psycopg import errors as pg_errors

from emberkeep.base.errors import EmberkeepError, FieldError
from emberkeep.events.model import (
    AppendInvalid,
    ArchiveNeeded,
    DuplicateEventUuid,
    DuplicateLink,
    EventUnknown,
    Expected,
    OrderUnknown,
    StreamDeleted,
    StreamUnknown,
    SubscriptionUnknown,
    WrongExpectedVersion,
)

# What the functions of the database call it.
_STREAM_EXISTS: Final = -1
# What a cast of a text to jsonb may raise.
_VALUE_ERRORS: Final = (
    pg_errors.InvalidTextRepresentation,
    pg_errors.UntranslatableCharacter,
    pg_errors.NumericValueOutOfRange,
    pg_errors.ProgramLimitExceeded,
    pg_errors.StatementTooComplex,
)


@contextlib.contextmanager
def refusals() -> Generator[None]:
    """Turn what the block is refused into the slice's errors; others pass as they are."""
    try:
        yield
    except psycopg.Error as e:
        refusal = _explain(e)
        if refusal is None:
            raise
        raise refusal from e


def _explain(error: psycopg.Error) -> EmberkeepError | None:
    match error.diag.constraint_name:
        case "event_streams_expected_version":
            facts = _read_detail(error)
            if facts["expected"] == _STREAM_EXISTS:
                facts["expected"] = Expected.STREAM_EXISTS.value
            return WrongExpectedVersion(
                f"the stream is at version {facts['actual']}, not where it was expected", **facts
            )
        case "event_streams_deleted":
            return StreamDeleted("the stream was deleted")
        case "event_streams_unknown":
            return StreamUnknown("there is no stream of this name")
        case "uq_events_event_uuid":
            return DuplicateEventUuid("an event with one of these ids is in the store already")
        case "uq_event_links_event":
            return DuplicateLink("one of these events stands in that stream already")
        case "event_links_event":
            facts = _read_detail(error)
            return EventUnknown(f"there is no event {facts['event_id']}", **facts)
        case "archived_events_needed":
            facts = _read_detail(error)
            return ArchiveNeeded(
                f"the subscription {facts['subscription_id']} has yet to see events of"
                f" {facts['month']}",
                **facts,
            )
        case "fk_subscription_consumers_subscription":
            return SubscriptionUnknown("there is no subscription of this name")
        case "event_streams_name" | "events_append_form":
            return AppendInvalid(str(error.diag.message_primary))
        case "events_order_standby" | "events_order_isolation":
            return OrderUnknown(str(error.diag.message_primary))
        case _:
            return None


@contextlib.contextmanager
def value_refusals() -> Generator[None]:
    """Turn a JSON text that PostgreSQL cannot keep into an error of the caller's."""
    try:
        yield
    except _VALUE_ERRORS as e:
        reason = e.diag.message_detail or e.diag.message_primary or "it cannot be kept"
        raise AppendInvalid(
            "an event holds what PostgreSQL cannot keep as JSON", (FieldError("events", reason),)
        ) from e


def _read_detail(error: psycopg.Error) -> dict[str, Any]:
    return msgspec.json.decode(error.diag.message_detail or "{}", type=dict[str, Any])
