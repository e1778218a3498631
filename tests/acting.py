"""What the tests of streak actions share: deeds as operators and players do them."""

from __future__ import annotations

import datetime
import uuid
from typing import TYPE_CHECKING

from emberkeep.base.clock import UTC
from emberkeep.xp.model import PauseWish, PlayerId, RepairWish, ZoneChange
from emberkeep.xp.service import players, streaks
from emberkeep.xp.service.catalogue import load_catalogue
from emberkeep.xp.service.players import ZoneRule
from emberkeep.xp.service.streak_deeds import Cause
from emberkeep.xp.service.streaks import Ground
from tests.claiming import FIRST_DAY, KEY

if TYPE_CHECKING:
    from emberkeep.base.db import Connection
    from emberkeep.xp.model import ClaimWindow, StreakAction, StreakStanding

_numbers = iter(range(10**9))
OPEN = ZoneRule(cooldown_days=0, window=None)
"""No bounds to travelling."""


def day_of(offset: int) -> datetime.date:
    """Return the reward day that is `offset` days after the first."""
    return FIRST_DAY + datetime.timedelta(days=offset)


def make_id() -> uuid.UUID:
    """Return an id that no other cause of this run has."""
    return uuid.UUID(int=next(_numbers) + (1 << 100))


class Operator:
    """Acts on streaks through the services, at instants that the test says."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def grant(
        self, player: str, amount: int, at: datetime.datetime, cause: uuid.UUID | None = None
    ) -> StreakAction:
        """Give freezes, or take them."""
        return await streaks.grant_freezes(
            self._conn,
            player_id=PlayerId(player),
            amount=amount,
            ground=await load_ground(self._conn),
            cause=make_cause(at, cause),
        )

    async def pause(
        self, player: str, first: int | None, last: int, at: datetime.datetime
    ) -> StreakAction:
        """Pause from day `first` to day `last` after the first day."""
        return await streaks.pause_streak(
            self._conn,
            player_id=PlayerId(player),
            wish=PauseWish(
                first_day=None if first is None else day_of(first), last_day=day_of(last)
            ),
            ground=await load_ground(self._conn),
            cause=make_cause(at),
        )

    async def resume(self, player: str, at: datetime.datetime) -> StreakAction:
        """End the pause."""
        return await streaks.resume_streak(
            self._conn,
            player_id=PlayerId(player),
            ground=await load_ground(self._conn),
            cause=make_cause(at),
        )

    async def repair(
        self,
        player: str,
        at: datetime.datetime,
        *,
        streak: int | None = None,
        excuse: tuple[int, int] | None = None,
    ) -> StreakAction:
        """Set the streak, or excuse days, or both."""
        wish = RepairWish(
            streak_day=streak,
            excuse_from=excuse and day_of(excuse[0]),
            excuse_to=excuse and day_of(excuse[1]),
        )
        return await streaks.repair_streak(
            self._conn,
            player_id=PlayerId(player),
            wish=wish,
            ground=await load_ground(self._conn),
            cause=make_cause(at),
        )

    async def read(self, player: str, at: datetime.datetime) -> StreakStanding:
        """Return how the streak stands."""
        return await streaks.read_streak(
            self._conn, player_id=PlayerId(player), ground=await load_ground(self._conn), now=at
        )

    async def move(
        self, player: str, zone: str, at: datetime.datetime, rule: ZoneRule = OPEN
    ) -> ZoneChange:
        """Ask for another time zone."""
        return await players.change_time_zone(
            self._conn, player_id=PlayerId(player), wanted=zone, rule=rule, cause=make_cause(at)
        )


async def load_ground(conn: Connection) -> Ground:
    """Return what decides beside the streak."""
    return Ground(catalogue=await load_catalogue(conn), policy_key=KEY, server_zone="UTC")


def make_cause(at: datetime.datetime, cause: uuid.UUID | None = None) -> Cause:
    """Return why an operator acts at `at`."""
    return Cause(
        correlation_id=cause or make_id(), actor="op", reason="test", now=at.astimezone(UTC)
    )


def rule_of(window: ClaimWindow) -> ZoneRule:
    """Return the rule that lets players travel as they like, under a policy with `window`."""
    return ZoneRule(cooldown_days=0, window=window)
