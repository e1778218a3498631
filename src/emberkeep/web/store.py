"""Idempotency keys in, answers out: one function per statement in queries.sql."""

from __future__ import annotations

import datetime

import msgspec

from emberkeep.base import sql
from emberkeep.base.db import Connection
from emberkeep.web.model import Key, StoredAnswer, UsedKey

_SQL = sql.load("emberkeep.web")


async def insert_key(conn: Connection, *, key: Key, now: datetime.datetime) -> bool:
    """Record the key; False if it was used before."""
    cursor = await conn.execute(_SQL["insert_key"], {**msgspec.structs.asdict(key), "now": now})
    return await cursor.fetchone() is not None


async def find_key(conn: Connection, *, subject: str, idempotency_key: str) -> UsedKey | None:
    """Return what the key was used for; None if it is unknown, or was swept."""
    cursor = await conn.execute(
        _SQL["find_key"], {"subject": subject, "idempotency_key": idempotency_key}
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    method_path, request_hash, status, headers, body = row
    pairs = tuple((str(name), str(value)) for name, value in headers)
    answer = StoredAnswer(status=status, headers=pairs, body=bytes(body))
    return UsedKey(method_path=method_path, request_hash=bytes(request_hash), answer=answer)


async def store_answer(conn: Connection, *, key: Key, answer: StoredAnswer) -> None:
    """Keep the answer beside its key."""
    await conn.execute(
        _SQL["store_answer"],
        {
            "subject": key.subject,
            "idempotency_key": key.idempotency_key,
            "status": answer.status,
            "headers": msgspec.json.encode(answer.headers).decode(),
            "body": answer.body,
        },
    )


async def delete_expired_keys(
    conn: Connection, *, created_before: datetime.datetime, max_rows: int
) -> int:
    """Delete up to `max_rows` keys older than that instant; return how many."""
    cursor = await conn.execute(
        _SQL["delete_expired_keys"], {"created_before": created_before, "max_rows": max_rows}
    )
    return len(await cursor.fetchall())
