"""A process that appends without end and says what it was told: `python -m tests.faults.appender`.

`told <append> <first position> <last position>` after an acknowledged append, and `pair <append>`
after a transaction that appends to two streams.
"""

from __future__ import annotations

import asyncio
import random
import sys

from emberkeep.base.db import connect
from emberkeep.events.model import Append, Appended
from emberkeep.events.service import AppendDesk
from tests.faults.appending import (
    Give,
    Journal,
    PlainClient,
    append_pair,
    name_append,
    through_desk,
)
from tests.faults.worker import say

_PAUSE_S = 0.005


async def append_for_ever(dsn: str, name: str, seed: int) -> None:
    """Append through a desk, on a connection, and in transactions, two of each at once."""
    desk = AppendDesk(dsn, connections=2)
    await desk.start()
    say("ready")
    ways = [_saying(give) for give in (through_desk(desk), PlainClient(dsn).give)]
    writing = [
        Journal().write(give, f"{name}-{n}", random.Random(seed + n), pause_s=_PAUSE_S)  # noqa: S311
        for n, give in enumerate(ways * 2)
    ]
    pairing = [_append_pairs(dsn, f"{name}-{n}", random.Random(seed - n)) for n in (1, 2)]  # noqa: S311
    await asyncio.gather(*writing, *pairing)


def _saying(give: Give) -> Give:
    async def give_and_say(append: Append) -> Appended:
        answer = await give(append)
        place = (answer.first_event_id, answer.last_event_id)
        say("told", name_append(append), *place)
        return answer

    return give_and_say


async def _append_pairs(dsn: str, name: str, rng: random.Random) -> None:
    conn = await connect(dsn)
    while True:
        pair = await append_pair(conn, name, rng, pause_s=_PAUSE_S)
        say("pair", pair)


if __name__ == "__main__":
    asyncio.run(append_for_ever(sys.argv[1], sys.argv[2], int(sys.argv[3])))
