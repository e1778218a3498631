"""Balances and streaks that are written again, as their history says."""

from __future__ import annotations

import datetime

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp.model import Balance, StreakState, UserId
from emberkeep.xp.store.statements import SQL


async def list_user_ids(conn: Connection, *, after: int, max_rows: int) -> list[UserId]:
    """Return the next players behind `after`, in order."""
    cursor = await conn.execute(
        SQL["list_user_ids"], {"after_user_id": after, "max_rows": max_rows}
    )
    return [UserId(user_id) for (user_id,) in await cursor.fetchall()]


async def lock_streaks(conn: Connection, *, after: int, through: int) -> None:
    """Let nobody else change the streaks of these players before this transaction ends."""
    await conn.execute(SQL["lock_streaks"], {"after_user_id": after, "through_user_id": through})


async def lock_balances(conn: Connection, *, after: int, through: int) -> None:
    """Let nobody else change the balances of these players before this transaction ends."""
    await conn.execute(SQL["lock_balances"], {"after_user_id": after, "through_user_id": through})


async def put_streak(
    conn: Connection, *, user_id: UserId, state: StreakState, now: datetime.datetime
) -> None:
    """Write `state` over the streak, whatever it is; make one where there is none."""
    await conn.execute(
        SQL["put_streak"],
        {
            "user_id": user_id,
            "current_streak": state.current_streak,
            "longest_streak": state.longest_streak,
            "grace_used": state.grace_used,
            "last_reward_day_id": state.last_reward_day and state.last_reward_day.isoformat(),
            "model_state": msgspec.json.encode(state.model_state).decode(),
            "now": now,
        },
    )


async def put_balance(
    conn: Connection, *, user_id: UserId, balance: Balance, now: datetime.datetime
) -> None:
    """Write `balance` over the one that is there; make one where there is none."""
    await conn.execute(
        SQL["put_balance"],
        {
            "user_id": user_id,
            "current_balance": balance.current,
            "lifetime_xp": balance.lifetime,
            "seasonal_xp": balance.seasonal,
            "season_id": balance.season_id,
            "now": now,
        },
    )
