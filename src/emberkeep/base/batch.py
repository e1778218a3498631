"""Join the requests that wait into batches: the batch grows with the load, and no timer runs.

While every connection is busy, requests gather; the moment one becomes free it takes what has
gathered. One waiting request is a batch of one and is not held back. A failure of one request
never fails its neighbours: a batch that fails for an unknown reason is halved until the culprit
stands alone.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from emberkeep.base import db
from emberkeep.base.db import Connection, DatabaseUnavailable, OutcomeUnknown
from emberkeep.base.errors import EmberkeepError, Unavailable

Request = TypeVar("Request")
Answer = TypeVar("Answer")

# Below this, a batch is not shared out among idle connections: two tiny batches cost more than one.
_LEAST_SHARE = 16
# A deadlock or a lost connection is tried again this often; the pauses add up to about two seconds.
_PAUSES_S = (0.0, 0.05, 0.25, 0.5, 1.0)

_log = structlog.get_logger(__name__)

Work = Callable[[Connection, Sequence[Request]], Awaitable[Sequence[Answer | EmberkeepError]]]


class ShuttingDown(Unavailable):
    """The process is going down; another one will answer."""

    code = "service.shutting_down"


class Batcher(Generic[Request, Answer]):
    """Runs `work` on batches of the requests that `submit` gathers.

    `work` answers every request of a batch, in order, with an answer or an error. It must be safe
    to repeat: after an error during COMMIT nobody knows whether the batch was written, so the same
    batch is given to `work` again, which reads back what became of it.
    """

    def __init__(
        self, work: Work[Request, Answer], *, dsn: str, connections: int, max_size: int
    ) -> None:
        self._work = work
        self._dsn = dsn
        self._max_size = max_size
        self._connections = connections
        self._waiting: collections.deque[tuple[Request, asyncio.Future[Answer]]] = (
            collections.deque()
        )
        self._idle: collections.deque[asyncio.Future[None]] = collections.deque()
        # Connections that were woken and have not taken their share yet.
        self._waking = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False

    async def start(self) -> None:
        """Open the connections and begin to take requests.

        :raises DatabaseUnavailable: when the server cannot be reached
        """
        conns = [await self._connect() for _ in range(self._connections)]
        self._tasks = [asyncio.create_task(self._run(conn)) for conn in conns]

    async def stop(self) -> None:
        """Answer what is waiting, then close the connections."""
        self._is_stopping = True
        while self._idle:
            self._wake_one()
        await asyncio.gather(*self._tasks)

    def submit(self, request: Request) -> asyncio.Future[Answer]:
        """Return the future answer to `request`; it raises what `work` answered with."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._is_stopping or not self._tasks:
            answer.set_exception(ShuttingDown("the process is shutting down"))
            return answer
        self._waiting.append((request, answer))
        self._wake_one()
        return answer

    def _wake_one(self) -> None:
        while self._idle:
            sleeper = self._idle.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                self._waking += 1
                return

    async def _run(self, conn: Connection) -> None:
        try:
            while await self._wait_for_work():
                batch = self._take_batch()
                if batch:
                    conn = await self._answer_batch(conn, batch)
        finally:
            await conn.close()

    async def _wait_for_work(self) -> bool:
        """Say whether there may be work; False when the process stops and nothing is waiting."""
        if not self._waiting:
            if self._is_stopping:
                return False
            sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(sleeper)
            await sleeper
            # One turn of the loop, so that the requests that arrived with this one can join it.
            await asyncio.sleep(0)
            self._waking -= 1
        return True

    def _take_batch(self) -> list[tuple[Request, asyncio.Future[Answer]]]:
        """Take what waits, leaving an even share to each connection that has nothing to do."""
        free = 1 + len(self._idle) + self._waking
        share = -(-len(self._waiting) // free)
        size = min(len(self._waiting), self._max_size, max(share, _LEAST_SHARE))
        batch = [self._waiting.popleft() for _ in range(size)]
        if self._waiting and not self._waking:
            self._wake_one()
        return batch

    async def _answer_batch(
        self, conn: Connection, batch: Sequence[tuple[Request, asyncio.Future[Answer]]]
    ) -> Connection:
        """Answer every request of `batch`; return the connection to go on with."""
        failure: Exception | None = None
        # Once a reply to COMMIT was lost, nobody may be told that nothing was written.
        lost: OutcomeUnknown | None = None
        for pause_s in _PAUSES_S:
            if pause_s:
                await asyncio.sleep(pause_s)
            conn, failure = await self._try_batch(conn, batch)
            if failure is None:
                return conn
            if isinstance(failure, OutcomeUnknown):
                lost = failure
            if not (isinstance(failure, Unavailable) or db.is_worth_retrying(failure)):
                break
        assert failure is not None
        if isinstance(failure, Unavailable) and lost is not None:
            failure = lost
        if len(batch) == 1 or isinstance(failure, Unavailable):
            self._fail(batch, failure)
            return conn
        middle = len(batch) // 2
        conn = await self._answer_batch(conn, batch[:middle])
        return await self._answer_batch(conn, batch[middle:])

    async def _try_batch(
        self, conn: Connection, batch: Sequence[tuple[Request, asyncio.Future[Answer]]]
    ) -> tuple[Connection, Exception | None]:
        """Answer `batch` once; return the connection to go on with, and what went wrong."""
        try:
            if conn.closed:
                conn = await self._connect()
            self._settle(batch, await self._work(conn, [request for request, _ in batch]))
        except (DatabaseUnavailable, OutcomeUnknown) as e:
            await _close_quietly(conn)
            return conn, e
        except Exception as e:  # noqa: BLE001 -- Whatever it is, it is somebody's answer.
            if db.is_connection_lost(e):
                await _close_quietly(conn)
                return conn, DatabaseUnavailable("the database connection was lost")
            return conn, e
        return conn, None

    def _settle(
        self,
        batch: Sequence[tuple[Request, asyncio.Future[Answer]]],
        answers: Sequence[Answer | EmberkeepError],
    ) -> None:
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue  # Who asked has gone; the answer stands in the database.
            if isinstance(answer, EmberkeepError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _fail(
        self, batch: Sequence[tuple[Request, asyncio.Future[Answer]]], error: Exception
    ) -> None:
        _log.warning("batch_failed", size=len(batch), error=type(error).__name__)
        for _, future in batch:
            if not future.done():
                future.set_exception(error)

    async def _connect(self) -> Connection:
        return await db.connect_for_batches(self._dsn)


async def _close_quietly(conn: Connection) -> None:
    with contextlib.suppress(Exception):
        await conn.close()
