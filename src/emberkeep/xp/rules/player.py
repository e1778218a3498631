"""What may be said of a player. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import PlayerInvalid, PlayerWish

MAX_ID_CHARACTERS: Final = 255
_MAX_SEGMENT_CHARACTERS: Final = 64
_MAX_ATTRIBUTES_BYTES: Final = 16_384
_SLUG: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


def check_wish(wish: PlayerWish) -> None:
    """Let pass what can be kept of a player; the time zone is checked elsewhere.

    :raises PlayerInvalid: with everything that is wrong
    """
    errors = tuple(_list_errors(wish))
    if errors:
        raise PlayerInvalid("the player cannot be kept like this", errors)


def is_slug(text: str) -> bool:
    """Say whether `text` can name a segment: a lower-case slug of at most 64 characters."""
    return len(text) <= _MAX_SEGMENT_CHARACTERS and _SLUG.fullmatch(text) is not None


def measure_json(document: Mapping[str, object]) -> int:
    """Return how many bytes `document` takes as JSON."""
    return len(msgspec.json.encode(document))


def _list_errors(wish: PlayerWish) -> Iterator[FieldError]:
    player_id = wish.player_id
    if not 1 <= len(player_id) <= MAX_ID_CHARACTERS or not player_id.isprintable():
        message = f"must be 1 to {MAX_ID_CHARACTERS} printable characters"
        yield FieldError("player_id", message)
    segment = wish.segment_key
    if isinstance(segment, str) and not is_slug(segment):
        message = f"must be a lower-case slug of at most {_MAX_SEGMENT_CHARACTERS} characters"
        yield FieldError("segment_key", message)
    if isinstance(wish.attributes, msgspec.UnsetType):
        return
    size = measure_json(wish.attributes)
    if size > _MAX_ATTRIBUTES_BYTES:
        message = f"takes {size} bytes as JSON; at most {_MAX_ATTRIBUTES_BYTES} are kept"
        yield FieldError("attributes", message)
