"""A process that claims without end and says what it was told: `python -m tests.faults.claimer`.

It prints a line for every acknowledged claim, and only then: player, day, receipt, XP, balance.
"""

from __future__ import annotations

import asyncio
import sys

from emberkeep.base.errors import Unavailable
from emberkeep.xp.model import PlayerId
from tests.claiming import KEY, at, open_desk

_RETRY_S = 0.01


async def claim_for_ever(dsn: str, players: list[str]) -> None:
    """Claim one day after the other for every player."""

    async def claim_days(player: str) -> None:
        day = 0
        while True:
            try:
                receipt = await desk.claim(player_id=PlayerId(player), policy_key=KEY, now=at(day))
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
                continue
            line = (player, day, receipt.receipt_id, receipt.xp_awarded, receipt.balance.current)
            print(*line, flush=True)  # noqa: T201
            day += 1

    async with open_desk(dsn) as desk:
        print("ready", flush=True)  # noqa: T201
        await asyncio.gather(*(claim_days(player) for player in players))


if __name__ == "__main__":
    asyncio.run(claim_for_ever(sys.argv[1], sys.argv[2:]))
