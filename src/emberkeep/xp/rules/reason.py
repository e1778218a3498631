"""The reason that somebody gives for a step. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from emberkeep.base.errors import FieldError

MAX_REASON_CHARACTERS: Final = 500


def list_reason_errors(reason: str) -> Iterator[FieldError]:
    """Yield what is wrong with the reason of a step that is audited; none is ""."""
    if len(reason) > MAX_REASON_CHARACTERS:
        yield FieldError("reason", f"must be at most {MAX_REASON_CHARACTERS} characters")
    elif "\0" in reason or any("\ud800" <= c <= "\udfff" for c in reason):
        yield FieldError("reason", "must not hold NUL or half a surrogate pair")
