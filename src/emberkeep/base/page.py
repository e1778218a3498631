"""Pages of a list: bounded, and continued by a cursor that survives what is added meanwhile.

A cursor is the position of the last item, not a count: nothing is skipped or shown twice because
the list has grown at its head.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from emberkeep.base.errors import FieldError, Invalid

Item = TypeVar("Item")
Cursor = TypeVar("Cursor", bound=msgspec.Struct)

DEFAULT_ITEMS: Final = 50
MAX_ITEMS: Final = 200
# Room for the longest name that something in a list may have, however it is escaped.
_MAX_CURSOR_CHARACTERS: Final = 8_192


class CursorInvalid(Invalid):
    """`after` is not a cursor that this list gave out."""

    code = "request.cursor_invalid"


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """Some items, and the cursor to ask with for those after them; None where nothing follows."""

    items: tuple[Item, ...]
    next: str | None


def make_page(
    rows: Sequence[Item], *, limit: int, find_cursor: Callable[[Item], str]
) -> Page[Item]:
    """Return the page that `rows`, of which one more than `limit` was asked for, make up."""
    items = tuple(rows[:limit])
    return Page(items, find_cursor(items[-1]) if len(rows) > limit else None)


def encode_cursor(position: msgspec.Struct) -> str:
    """Return `position` as text that callers hand back as it is."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def decode_cursor(text: str | None, kind: type[Cursor]) -> Cursor | None:
    """Return the position that `text` stands for; None for the beginning of the list.

    :raises CursorInvalid: if it stands for none, or for one of another list
    """
    if text is None:
        return None
    try:
        if len(text) > _MAX_CURSOR_CHARACTERS:
            raise ValueError("no cursor is that long")
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=kind)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as e:
        message = "is not a cursor of this list: send back `next` as it came"
        raise CursorInvalid("the page cannot be found", (FieldError("after", message),)) from e
