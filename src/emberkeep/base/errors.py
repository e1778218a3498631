"""Anticipated failures, by kind; anything else that escapes is a bug.

A slice subclasses one of the five kinds, names the class for the fact and gives it a stable
`code`. The facts are fields: `web/errors.py` and `cli.py` show them, nobody parses the message.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class EmberkeepError(Exception):
    """A failure that a caller can do something about.

    `facts` are JSON values that travel with the answer, such as the instant at which a retry
    would succeed. They never hold a secret.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts: Mapping[str, object] = facts


@dataclasses.dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with the input: `path` is a JSON path such as `grace.window_days`."""

    path: str
    message: str


class Invalid(EmberkeepError):
    """The input cannot be accepted, whatever the present state; names every error at once."""

    code = "request.invalid"

    def __init__(self, message: str, errors: Sequence[FieldError] = (), **facts: object) -> None:
        super().__init__(message, **facts)
        self.errors = tuple(errors)


class NotFound(EmberkeepError):
    """What the caller named does not exist, or is not theirs to see."""

    code = "request.not_found"


class Conflict(EmberkeepError):
    """The request was fine; the present state forbids it."""

    code = "request.conflict"


class Forbidden(EmberkeepError):
    """The caller is known, and may not do this."""

    code = "request.forbidden"


class Unavailable(EmberkeepError):
    """The request was fine; a part that is needed does not answer now. A retry may succeed."""

    code = "service.unavailable"
