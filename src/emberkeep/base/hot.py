"""The hot lane: how a slice declares a route whose cost per request must be tens of microseconds.

Such a route has a fixed path and takes its input from the body alone. It is found before the
router, and shares everything else with ordinary routes: tokens, limits, request ids, the error
table, metrics and the OpenAPI document.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from emberkeep.base.db import Connection
from emberkeep.base.identity import Permission, Principal


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a hot handler says: a status, a JSON body, and headers in lower case."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


HotHandler = Callable[[Principal, Any, datetime.datetime], Awaitable[Answer]]
"""(principal, the body as the route's `request`, now) → answer. A failure is raised."""

KeyedHandler = Callable[[Connection, Principal, Any, datetime.datetime], Awaitable[Answer]]
"""The same for a request with an `Idempotency-Key`, in the transaction that keeps its answer."""


class HotRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One hot route. The body is decoded as `request`, where no body at all is an empty object.

    With `keyed_handler` a request that brings an `Idempotency-Key` leaves the hot lane: its answer
    is kept in one transaction with its effect. Without one such a key is ignored. `answers` says the body's type for each status of success; failures are the same everywhere.
    """

    method: str
    path: str
    permission: Permission
    handler: HotHandler
    request: type[msgspec.Struct]
    answers: Mapping[int, type[msgspec.Struct]]
    keyed_handler: KeyedHandler | None = None
    summary: str
    description: str = ""
    tags: tuple[str, ...] = ()
