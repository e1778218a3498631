"""Writers that give each append until it is acknowledged, and what must then be in the store."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import uuid
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import psycopg

from emberkeep.base import clock, db
from emberkeep.base.db import Connection, connect, transaction
from emberkeep.base.errors import Unavailable
from emberkeep.events.model import Append, Appended, Expected, StreamId
from emberkeep.events.service import AppendDesk, append_to_stream, make_event
from tests.eventing import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

_RETRY_S = 0.02
_MOST_EVENTS = 4
_SHARED_STREAMS = 4

Give: TypeAlias = "Callable[[Append], Awaitable[Appended]]"
"""A way to append."""


def is_away(error: BaseException) -> bool:
    """Say whether the database was away, rather than that it refused."""
    return isinstance(error, Unavailable) or db.is_connection_lost(error)


def make_known_append(
    stream: str, rng: random.Random, *, expected: int | Expected = Expected.ANY
) -> Append:
    """Return an append of some events that can be told from every other in the store."""
    append_id = uuid.UUID(int=rng.getrandbits(128), version=4)
    count = rng.randint(1, _MOST_EVENTS)
    return Append(
        stream_id=StreamId(stream),
        events=tuple(
            make_event(
                "Happened",
                {"append": str(append_id), "n": n, "of": count},
                event_uuid=append_id if n == 0 else None,
            )
            for n in range(count)
        ),
        expected_version=expected,
    )


def name_append(append: Append) -> str:
    """Return what tells an append of `make_known_append` from others."""
    return str(append.events[0].event_uuid)


@dataclasses.dataclass
class Journal:
    """What was given to the store, and what it acknowledged."""

    given: set[str] = dataclasses.field(default_factory=set)
    told: dict[str, Appended] = dataclasses.field(default_factory=dict)
    retries: int = 0
    is_over: bool = False

    async def insist(self, give: Give, append: Append) -> Appended:
        """Give an append until it is acknowledged."""
        name = name_append(append)
        self.given.add(name)
        while True:
            try:
                answer = await give(append)
            except Exception as e:
                if not is_away(e):
                    raise
                self.retries += 1
                await asyncio.sleep(_RETRY_S)
            else:
                self.told[name] = answer
                return answer

    async def write(
        self, give: Give, name: str, rng: random.Random, *, pause_s: float = 0.02
    ) -> None:
        """Append until it is over: to a stream of one's own, by its version, and to shared ones."""
        version = 0
        while not self.is_over:
            if rng.random() < 0.5:
                append = make_known_append(f"own-{name}", rng, expected=version)
                version = (await self.insist(give, append)).last_version
            else:
                shared = f"shared-{rng.randrange(_SHARED_STREAMS)}"
                await self.insist(give, make_known_append(shared, rng))
            await asyncio.sleep(pause_s * rng.random())

    async def await_more(self, count: int, patience_s: float) -> None:
        """Wait until so many more appends are acknowledged."""
        enough = len(self.told) + count
        async with asyncio.timeout(patience_s):
            while len(self.told) < enough:
                await asyncio.sleep(0.01)


def through_desk(desk: AppendDesk) -> Give:
    """Return the way through a desk, where appends are joined."""

    async def give(append: Append) -> Appended:
        return await desk.append(
            stream_id=append.stream_id,
            events=append.events,
            expected_version=append.expected_version,
            now=clock.read_now(),
        )

    return give


class PlainClient:
    """Appends on a connection of its own, and makes a new one when that is lost."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._conn: Connection | None = None

    async def give(self, append: Append) -> Appended:
        """Append, or raise that the database was away."""
        async with self.connected() as conn:
            return await append_one(conn, append)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncGenerator[Connection]:
        """Lend the connection, which is closed when something goes wrong."""
        if self._conn is None or self._conn.closed:
            self._conn = await connect(self._dsn)
        try:
            yield self._conn
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._conn is not None:
            with contextlib.suppress(psycopg.Error):
                await self._conn.close()


async def append_one(conn: Connection, append: Append) -> Appended:
    """Append on a connection in autocommit mode or in its transaction."""
    return await append_to_stream(
        conn,
        stream_id=append.stream_id,
        events=append.events,
        expected_version=append.expected_version,
        now=NOW,
    )


async def append_pair(conn: Connection, name: str, rng: random.Random, *, pause_s: float) -> str:
    """Append to two streams in one transaction, a pause after each; return what tells the pair."""
    append_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    async with transaction(conn):
        for half in ("left", "right"):
            data = {"append": f"{append_id}/{half}", "n": 0, "of": 1}
            await append_to_stream(
                conn,
                stream_id=StreamId(f"pair-{half}-{name}"),
                events=[make_event("Happened", data)],
                now=NOW,
            )
            await asyncio.sleep(pause_s)
    return append_id


# What must hold afterwards


def read_appends(dsn: str) -> dict[str, Appended]:
    """Return where each append stands, and hold that it stands there whole and once."""
    appends: dict[str, Appended] = {}
    for name, streams, numbers, versions, event_ids, counts in _execute(
        dsn,
        "select data ->> 'append', array_agg(distinct stream_id),"
        " array_agg((data ->> 'n')::int order by event_id),"
        " array_agg(stream_version order by event_id), array_agg(event_id order by event_id),"
        " array_agg(distinct (data ->> 'of')::int)"
        " from event_store.events group by 1",
    ):
        assert (len(streams), [len(numbers)]) == (1, counts)
        assert numbers == list(range(len(numbers)))
        assert versions == list(range(versions[0], versions[0] + len(versions)))
        appends[name] = Appended(
            stream_id=streams[0],
            first_version=versions[0],
            last_version=versions[-1],
            first_event_id=event_ids[0],
            last_event_id=event_ids[-1],
        )
    return appends


def assert_written(dsn: str, journal: Journal) -> None:
    """Hold that the store has every append that was given, once, where its writer was told."""
    appends = read_appends(dsn)
    assert appends.keys() == journal.given == journal.told.keys()
    for name, told in journal.told.items():
        assert msgspec.structs.replace(told, is_retry=False) == appends[name]


def read_event_ids(dsn: str) -> list[int]:
    """Return the positions of all events, in their order."""
    rows = _execute(dsn, "select event_id from event_store.events order by event_id")
    return [event_id for (event_id,) in rows]


def _execute(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as conn:
        return conn.execute(statement.encode()).fetchall()
