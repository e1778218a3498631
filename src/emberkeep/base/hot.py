"""The hot lane: how a slice declares a route whose cost per request must be tens of microseconds.

Such a route has a fixed path and takes its input from the body alone. It is found before the
router, and shares everything else with ordinary routes: tokens, limits, request ids, the error
table, metrics and the OpenAPI document.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from emberkeep.base.identity import Permission, Principal


class Answer(msgspec.Struct, frozen=True):
    """What a hot handler says: a status, a JSON body, and headers in lower case."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


HotHandler = Callable[[Principal, bytes, datetime.datetime], Awaitable[Answer]]
"""(principal, body, now) → answer. A failure is raised, as everywhere."""


class HotRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One hot route. `request` and `answers` are the types that the OpenAPI document shows.

    The handler decodes the body itself, with a decoder for `request`; what msgspec raises
    becomes a problem document like anything else.
    """

    method: str
    path: str
    permission: Permission
    handler: HotHandler
    request: type[msgspec.Struct]
    answers: Mapping[int, type[msgspec.Struct]]
    summary: str
    description: str = ""
    tags: tuple[str, ...] = ()
