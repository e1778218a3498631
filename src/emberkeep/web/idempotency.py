"""A call with an `Idempotency-Key` has its effect once, and its answer as often as it is asked for.

Key, effect and answer are one transaction. Whoever comes second waits on the key's unique index
until the first has committed, and is answered from the row; if the first rolls back, the second
takes its place. Only answers of success are kept: a failure leaves no key behind.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from typing import Final

from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError, Invalid, Unavailable
from emberkeep.web import store
from emberkeep.web.model import Key, StoredAnswer

HEADER: Final = "Idempotency-Key"
KEEP: Final = datetime.timedelta(hours=24)
_SWEEP_ROWS: Final = 1_000
_FORM: Final = re.compile(r"[\x21-\x7e]{1,255}")
# The headers that say something about the answer itself, rather than about this one request.
_KEPT_HEADERS: Final = frozenset({b"content-type", b"location", b"etag"})


class IdempotencyKeyInvalid(Invalid):
    """The `Idempotency-Key` is not 1 to 255 visible ASCII characters."""

    code = "request.idempotency_key_invalid"


class IdempotencyKeyReused(Invalid):
    """The `Idempotency-Key` was used for another request; choose a new one for each effect."""

    code = "request.idempotency_key_reused"


class IdempotencyKeyBusy(Unavailable):
    """The first call with this key has not ended yet."""

    code = "request.idempotency_key_busy"


class Replayed(Exception):
    """Not a failure: the call happened before, and `answer` is what it was answered."""

    def __init__(self, answer: StoredAnswer) -> None:
        super().__init__("answered before")
        self.answer = answer


def make_key(*, subject: str, idempotency_key: str, method: str, target: str, body: bytes) -> Key:
    """Return the key of one request; `target` is its path with the query.

    :raises IdempotencyKeyInvalid: if the header cannot be a key
    """
    if _FORM.fullmatch(idempotency_key) is None:
        message = "is not 1 to 255 visible ASCII characters"
        raise IdempotencyKeyInvalid(f"the {HEADER} {message}", (FieldError(HEADER, message),))
    return Key(
        subject=subject,
        idempotency_key=idempotency_key,
        method_path=f"{method} {target}",
        request_hash=hashlib.sha256(body).digest(),
    )


async def begin(conn: Connection, *, key: Key, now: datetime.datetime) -> None:
    """Take the key inside the transaction of `conn`, or find out that it is taken.

    :raises Replayed: if this very request was answered before
    :raises IdempotencyKeyReused: if the key stands for another request
    :raises IdempotencyKeyBusy: if the key went away while it was looked up
    """
    if await store.insert_key(conn, key=key, now=now):
        return
    used = await store.find_key(conn, subject=key.subject, idempotency_key=key.idempotency_key)
    if used is None:
        # It was swept between the two statements: rare enough for the caller to try again.
        raise IdempotencyKeyBusy(f"the {HEADER} is just being cleared away")
    if (used.method_path, used.request_hash) != (key.method_path, key.request_hash):
        message = "was used for another request"
        raise IdempotencyKeyReused(f"the {HEADER} {message}", (FieldError(HEADER, message),))
    raise Replayed(used.answer)


async def keep_answer(
    conn: Connection,
    *,
    key: Key,
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
) -> None:
    """Store what the call is answered, in its own transaction."""
    kept = tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name in _KEPT_HEADERS
    )
    answer = StoredAnswer(status=status, headers=kept, body=body)
    await store.store_answer(conn, key=key, answer=answer)


async def sweep_keys(conn: Connection, *, now: datetime.datetime) -> int:
    """Delete a bounded number of keys older than `KEEP`; return how many. 0: nothing is left."""
    return await store.delete_expired_keys(conn, created_before=now - KEEP, max_rows=_SWEEP_ROWS)
