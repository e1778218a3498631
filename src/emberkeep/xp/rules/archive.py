"""What archived rows add up to, player by player; and what may be archived at all. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final

import msgspec

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    ArchivedAward,
    ArchivedEntry,
    ArchiveInvalid,
    Carried,
    CarriedLedger,
    CarriedStreak,
    StreakFigures,
    StreakState,
)
from emberkeep.xp.rules.balance import add_entry
from emberkeep.xp.rules.grant import AFFECTS_LIFETIME

LEAST_AGE: Final = datetime.timedelta(days=2)
"""So long a reward day may run somewhere on earth: what its receipts need is never archived."""


def check_age(before: datetime.datetime, *, now: datetime.datetime) -> None:
    """Let an instant pass that lies so far back that no reward day of then is running.

    :raises ArchiveInvalid: otherwise
    """
    if before > now - LEAST_AGE:
        error = FieldError("before", f"must lie {LEAST_AGE.days} days back: reward days still run")
        raise ArchiveInvalid("rows so young stay", (error,))


class _Snapshot(msgspec.Struct, frozen=True):
    streak: StreakFigures
    model_state: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])


_decode_snapshot = msgspec.json.Decoder(_Snapshot).decode
_decode_object = msgspec.json.Decoder(dict[str, object]).decode


class Folding:
    """One player's rows on their way out, added up one after the other."""

    def __init__(self, ledger_before: CarriedLedger, awards_before: int) -> None:
        self._ledger = ledger_before
        self._balance = ledger_before.balance
        self._totals = dict(ledger_before.season_totals)
        self._rows = ledger_before.rows
        self._awards = awards_before
        self._last_award: ArchivedAward | None = None
        self._last: ArchivedEntry | None = None

    def add(self, entry: ArchivedEntry, award: ArchivedAward | None) -> None:
        """Take the next row, and its award if a claim wrote it."""
        self._last = entry
        self._rows += 1
        self._balance = add_entry(
            self._balance,
            amount=entry.amount,
            season_id=entry.season_id,
            affects_lifetime=_decode_object(entry.metadata).get(AFFECTS_LIFETIME) is True,
            is_reversal=entry.reverses_ledger_id is not None,
        )
        if entry.season_id is not None:
            total = self._totals.get(entry.season_id, 0)
            self._totals[entry.season_id] = total + entry.amount
        if award is not None:
            self._awards += 1
            self._last_award = award

    def conclude(self) -> Carried:
        """Return with what the player's ledger and history go on."""
        assert self._last is not None, "there was a row"
        return Carried(
            user_id=self._last.user_id,
            ledger=CarriedLedger(
                through_ledger_id=self._last.ledger_id,
                rows=self._rows,
                balance=self._balance,
                season_totals=self._totals,
            ),
            streak=self._conclude_streak(),
        )

    def _conclude_streak(self) -> CarriedStreak | None:
        award = self._last_award
        if award is None:
            return None
        snapshot = _decode_snapshot(award.snapshot)
        return CarriedStreak(
            claimed_at=award.created_at,
            rows=self._awards,
            state=StreakState(
                current_streak=snapshot.streak.current,
                longest_streak=snapshot.streak.longest,
                grace_used=snapshot.streak.grace_used,
                last_reward_day=datetime.date.fromisoformat(award.reward_day_id),
                model_state=snapshot.model_state,
            ),
        )
