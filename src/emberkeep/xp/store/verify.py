"""Everything there is, streamed row by row for invariants and rebuilds: memory does not grow with it."""

from __future__ import annotations

import datetime
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final, LiteralString

import msgspec

from emberkeep.base.check import Check
from emberkeep.base.db import Connection
from emberkeep.xp.model import (
    Balance,
    CarriedStreak,
    KeptStreak,
    PlayerId,
    PolicyKey,
    SeasonId,
    StreakActionKind,
    StreakDeed,
    StreakState,
    UserId,
)
from emberkeep.xp.store.archive import to_carried_ledger
from emberkeep.xp.store.statements import SQL, decode_object

_ROWS_PER_FETCH: Final = 2_000
_LAST_USER_ID: Final = 2**63 - 1


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger row beside the player's balance; without an amount the player has no rows.

    `opening` is what the rows before them, which were archived, add up to.
    """

    user_id: UserId
    player_id: PlayerId
    balance: Balance | None
    opening: Balance
    amount: int | None
    season_id: SeasonId | None
    balance_after: int | None
    affects_lifetime: bool
    is_reversal: bool


class AwardRow(msgspec.Struct, frozen=True, kw_only=True):
    """An award as it lies in the table; the texts are what its snapshot says."""

    reward_day_id: str
    claimed_at: datetime.datetime
    xp_awarded: int
    streak_day: int
    policy_key: PolicyKey
    policy_version: int
    longest: str | None
    grace_used: str | None
    model_state: str
    current: str | None
    milestones: str
    explain: str


_AWARD_COLUMNS: Final = len(msgspec.structs.fields(AwardRow))


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """An award beside the player's streak; without an award the player has none.

    `opening` is the streak behind the awards before them, which were archived; None: there are none.
    """

    user_id: UserId
    player_id: PlayerId
    streak: KeptStreak | None
    opening: CarriedStreak | None
    award: AwardRow | None


class ActionRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to a streak, right behind the award of `after_reward_day_id`."""

    user_id: UserId
    after_reward_day_id: str | None
    deed: StreakDeed


async def stream_ledgers(
    conn: Connection, *, after: int = 0, through: int = _LAST_USER_ID
) -> AsyncIterator[LedgerRow]:
    """Yield every ledger row of these players, by player, in the order in which they were written."""
    async with conn.cursor(name="ledgers") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        await cursor.execute(
            SQL["stream_ledgers"], {"after_user_id": after, "through_user_id": through}
        )
        async for row in cursor:
            user_id, player_id, current, lifetime, seasonal, season, *entry = row
            amount, season_id, balance_after, affects, is_reversal, *carried = entry
            yield LedgerRow(
                user_id=user_id,
                player_id=player_id,
                balance=(
                    None
                    if current is None
                    else Balance(
                        current=current, lifetime=lifetime, seasonal=seasonal, season_id=season
                    )
                ),
                opening=to_carried_ledger(carried).balance,
                amount=amount,
                season_id=season_id,
                balance_after=balance_after,
                affects_lifetime=bool(affects),
                is_reversal=is_reversal,
            )


async def stream_histories(
    conn: Connection, *, after: int = 0, through: int = _LAST_USER_ID
) -> AsyncIterator[HistoryRow]:
    """Yield every award of these players, by player, in order of day."""
    async with conn.cursor(name="histories") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        await cursor.execute(
            SQL["stream_histories"], {"after_user_id": after, "through_user_id": through}
        )
        async for row in cursor:
            user_id, player_id, current, longest, grace_used, last_day_id, state, count, *award = (
                row
            )
            yield HistoryRow(
                user_id=user_id,
                player_id=player_id,
                streak=(
                    None
                    if current is None
                    else KeptStreak(
                        current_streak=current,
                        longest_streak=longest,
                        grace_used=grace_used,
                        last_reward_day_id=last_day_id,
                        model_state=_read_object(state),
                        action_count=count,
                    )
                ),
                opening=_to_carried_streak(award[_AWARD_COLUMNS:]),
                award=_to_award_row(award[:_AWARD_COLUMNS]),
            )


def _read_object(text: str) -> dict[str, object] | None:
    try:
        return decode_object(text)
    except msgspec.ValidationError:
        return None


def _to_carried_streak(row: list[Any]) -> CarriedStreak | None:
    claimed_at, rows, current, longest, grace_used, day_id, model_state = row
    if claimed_at is None:
        return None
    return CarriedStreak(
        claimed_at=claimed_at,
        rows=rows,
        state=StreakState(
            current_streak=current,
            longest_streak=longest,
            grace_used=grace_used,
            last_reward_day=datetime.date.fromisoformat(day_id),
            model_state=decode_object(model_state),
        ),
    )


def _to_award_row(row: list[object]) -> AwardRow | None:
    if row[0] is None:
        return None
    fields = (field.name for field in msgspec.structs.fields(AwardRow))
    return msgspec.convert(dict(zip(fields, row, strict=True)), AwardRow)


async def stream_streak_actions(
    conn: Connection, *, after: int = 0, through: int = _LAST_USER_ID
) -> AsyncGenerator[ActionRow]:
    """Yield every action on the streaks of these players, by player, in order."""
    async with conn.cursor(name="streak_actions") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        await cursor.execute(
            SQL["stream_streak_actions"], {"after_user_id": after, "through_user_id": through}
        )
        async for user_id, after_day_id, kind, freezes, streak_day, first, last in cursor:
            yield ActionRow(
                user_id=user_id,
                after_reward_day_id=after_day_id,
                deed=StreakDeed(
                    kind=StreakActionKind(kind),
                    freezes=freezes,
                    streak_day=streak_day,
                    first_day=first,
                    last_day=last,
                ),
            )


async def stream_receipts(conn: Connection) -> AsyncIterator[tuple[str, PlayerId]]:
    """Yield the receipt of every award and whose it is, in order of receipt."""
    async with conn.cursor(name="receipts") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        await cursor.execute(SQL["stream_receipts"])
        async for receipt_id, player_id in cursor:
            yield receipt_id, player_id


async def check_awards_paid(conn: Connection, *, name: str) -> Check:
    """Return whether awards and the ledger rows of claims belong together one by one."""
    return await _check(conn, SQL["check_awards_paid"], name)


async def check_season_totals(conn: Connection, *, name: str) -> Check:
    """Return whether what seasons brought is what the ledger says, in a player's past ones too."""
    return await _check(conn, SQL["check_season_totals"], name)


async def _check(conn: Connection, statement: LiteralString, name: str) -> Check:
    row = await (await conn.execute(statement)).fetchone()
    assert row is not None
    checked, violations, first, last = row
    examples = tuple(sorted({example for example in (first, last) if example is not None}))
    return Check(name=name, checked=checked, violations=violations, examples=examples)
