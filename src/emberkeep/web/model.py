"""The nouns of calls that must happen once."""

from __future__ import annotations

import msgspec


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One use of an `Idempotency-Key`: whose, which, and for what request."""

    subject: str
    idempotency_key: str
    method_path: str
    request_hash: bytes


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a call was answered: status, the headers worth repeating, and the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class UsedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was used before, for which request, and what that was answered."""

    method_path: str
    request_hash: bytes
    answer: StoredAnswer
