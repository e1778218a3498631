"""Balances, and the rows that add up to them."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping

import msgspec

from emberkeep.base.errors import Conflict, Invalid, NotFound, Unavailable
from emberkeep.xp.model.level import LevelFigures
from emberkeep.xp.model.noun import Noun, PlayerId, PolicyKey, SeasonId


class Balance(Noun, frozen=True, kw_only=True):
    """A player's XP: what can be spent, what was ever earned, and what this season brought."""

    current: int = 0
    lifetime: int = 0
    seasonal: int = 0
    season_id: SeasonId | None = None


class StreakFigures(Noun, frozen=True, kw_only=True):
    """The streak as a receipt shows it."""

    current: int
    longest: int
    grace_used: int


class BalanceFigures(Noun, frozen=True, kw_only=True):
    """The balance right after the claim."""

    current: int
    lifetime: int
    seasonal: int


class Standing(Noun, frozen=True, kw_only=True):
    """Where a player stands now: balance, level and streak."""

    player_id: PlayerId
    balance: Balance
    level: LevelFigures | None = None
    streak: StreakFigures
    last_reward_day_id: datetime.date | None


class GrantWish(Noun, frozen=True, kw_only=True):
    """XP that is to be given, or taken where `amount` is negative, and for what."""

    player_id: PlayerId
    amount: int
    reason: str
    metadata: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])
    season_id: SeasonId | None = None


class ReversalWish(Noun, frozen=True, kw_only=True):
    """A ledger row that is to be taken back, and why."""

    player_id: PlayerId
    ledger_id: int
    reason: str | None = None
    metadata: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])


class LedgerEntry(Noun, frozen=True, kw_only=True):
    """One row of the ledger; `correlation_id` is the receipt of what caused it.

    `balance_after` is the current balance right behind it, and `reverses_ledger_id` the row that it
    takes back.
    """

    ledger_id: int
    amount: int
    reason: str
    correlation_id: str
    policy_key: PolicyKey
    policy_version: int
    season_id: SeasonId | None
    metadata: Mapping[str, object]
    balance_after: int
    reverses_ledger_id: int | None = None
    created_at: datetime.datetime


class Grant(Noun, frozen=True, kw_only=True):
    """A grant that was written, and balance and level right after it."""

    player_id: PlayerId
    entry: LedgerEntry
    balance: Balance
    level: LevelFigures | None = None


class Reversal(Noun, frozen=True, kw_only=True):
    """The row that took another one back, that one, and balance and level right after it."""

    player_id: PlayerId
    entry: LedgerEntry
    reversed: LedgerEntry
    balance: Balance
    level: LevelFigures | None = None


class TimelineKind(enum.StrEnum):
    """What kind of fact stands on a player's timeline."""

    AWARD = "award"
    LEDGER = "ledger"
    STREAK_ACTION = "streak_action"
    TIME_ZONE_CHANGE = "time_zone_change"


class TimelineItem(Noun, frozen=True, kw_only=True):
    """One fact of a player's life in XP; `detail` holds the figures of its kind."""

    at: datetime.datetime
    kind: TimelineKind
    item_id: int
    detail: Mapping[str, object]


class InsufficientBalance(Conflict):
    """The debit would take the balance below zero; nothing was written."""

    code = "xp.insufficient_balance"


class GrantInvalid(Invalid):
    """The amount, reason, metadata or season of a grant cannot be accepted."""

    code = "xp.grant_invalid"


class ReversalInvalid(Invalid):
    """The reason or metadata of a reversal cannot be accepted."""

    code = "xp.reversal_invalid"


class EntryUnknown(NotFound):
    """The player's ledger has no such row; `archived_through` says which rows were archived."""

    code = "xp.entry_unknown"


class AlreadyReversed(Conflict):
    """The row was taken back already, by the row `reversed_by`: a row is reversed once."""

    code = "xp.already_reversed"


class ReversalOfReversal(Conflict):
    """The row takes another one back itself. What should stand after all is granted anew."""

    code = "xp.reversal_of_reversal"


class BalanceLimit(Conflict):
    """The credit would take the balance past 2^53 - 1, where JSON numbers stop being exact."""

    code = "xp.balance_limit"


class PlayerBusy(Unavailable):
    """Others changed the same rows each time this was tried; nothing was written."""

    code = "xp.player_busy"
