"""What the ledger adds up to by day, policy, reason and season."""

from __future__ import annotations

import datetime

from emberkeep.base.errors import Invalid
from emberkeep.xp.model.noun import Noun, PolicyKey, SeasonId


class DailyTotal(Noun, frozen=True, kw_only=True):
    """The rows of one UTC day that are alike: how many, of how many players, and their XP."""

    day: datetime.date
    policy_key: PolicyKey
    policy_version: int
    reason: str
    season_id: SeasonId | None
    rows: int
    players: int
    credits: int
    debits: int
    net: int


class Reconciliation(Noun, frozen=True, kw_only=True):
    """Whether the totals are those of the ledger, and the ledger's those of the balances.

    `span_*` are of the days asked for: by the totals, and counted past them. `ledger_net` and
    `archived_net` are of all that was ever written, and together the sum of all balances.
    """

    span_rows: int
    span_net: int
    ledger_span_rows: int
    ledger_span_net: int
    ledger_net: int
    archived_net: int
    balances_net: int

    @property
    def is_reconciled(self) -> bool:
        """Say whether all of it agrees."""
        return (
            self.span_rows == self.ledger_span_rows
            and self.span_net == self.ledger_span_net
            and self.ledger_net + self.archived_net == self.balances_net
        )


class DailyTotals(Noun, frozen=True, kw_only=True):
    """The totals of a span of days. Of days before `complete_from` some rows are in archives only."""

    from_day: datetime.date
    to_day: datetime.date
    complete_from: datetime.date | None
    items: tuple[DailyTotal, ...]
    reconciled: bool
    reconciliation: Reconciliation


class SpanInvalid(Invalid):
    """The span of days ends before it begins, or is too long to be added up at once."""

    code = "xp.span_invalid"
