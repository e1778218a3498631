"""An HTTP client that costs little: keep-alive connections that each wait for their answer.

Runs as a process of its own, so that its cost is not the server's: reads a JSON job from standard
input and prints the figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop


class Connection(asyncio.Protocol):
    """Sends one request, waits for its answer, sends the next."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        start = head.lower().index(b"content-length:") + 15
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._job.count(int(head[9:12]), time.perf_counter() - self._sent_at)
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        request = self._job.next_request()
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


class Job:
    """The requests that are left, and what came of those that were sent."""

    def __init__(self, *, token: str, players: list[str]) -> None:
        head = (
            "POST /v1/daily-login/claim HTTP/1.1\r\nHost: bench\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        )
        bodies = (json.dumps({"player_id": player}) for player in players)
        self._requests = iter(
            [f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode() for body in bodies]
        )
        self.statuses: dict[int, int] = {}
        self.latencies_s: list[float] = []

    def next_request(self) -> bytes | None:
        return next(self._requests, None)

    def count(self, status: int, latency_s: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latencies_s.append(latency_s)


async def run(ports: list[int], connections: int, job: Job) -> float:
    """Send the job's requests over `connections`, spread over `ports`; return the seconds taken."""
    loop = asyncio.get_running_loop()
    started_at = time.perf_counter()
    protocols = [
        (await loop.create_connection(lambda: Connection(job), "127.0.0.1", ports[i % len(ports)]))[
            1
        ]
        for i in range(connections)
    ]
    await asyncio.gather(*(protocol.done for protocol in protocols))
    return time.perf_counter() - started_at


def main() -> None:
    """Run the job on standard input."""
    asked = json.load(sys.stdin)
    job = Job(token=asked["token"], players=asked["players"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds = runner.run(run(asked["ports"], asked["connections"], job))
    json.dump(
        {"seconds": seconds, "statuses": job.statuses, "latencies_s": job.latencies_s}, sys.stdout
    )


if __name__ == "__main__":
    main()
