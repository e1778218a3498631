"""What one ledger row does to a balance. The trigger on the ledger says the same in SQL."""

from __future__ import annotations

from typing import Final

from emberkeep.xp.model import Balance, BalanceLimit, SeasonId

MAX_TOTAL: Final = 2**53 - 1
"""Beyond it a JSON number is no longer exact everywhere."""


def add_credit(balance: Balance, *, amount: int, season_id: SeasonId | None) -> Balance:
    """Return the balance after a credit of `amount` XP.

    A row of another season sets `seasonal` to 0 first; a row of none leaves it alone.
    """
    if season_id is None:
        return Balance(
            current=balance.current + amount,
            lifetime=balance.lifetime + amount,
            seasonal=balance.seasonal,
            season_id=balance.season_id,
        )
    kept = balance.seasonal if season_id == balance.season_id else 0
    return Balance(
        current=balance.current + amount,
        lifetime=balance.lifetime + amount,
        seasonal=kept + amount,
        season_id=season_id,
    )


def check_limit(balance: Balance) -> None:
    """Let a balance pass whose totals JSON says exactly.

    :raises BalanceLimit: if one of them has grown beyond that
    """
    if max(balance.current, balance.lifetime, balance.seasonal) > MAX_TOTAL:
        raise BalanceLimit("the balance cannot grow that far")


def add_entry(
    balance: Balance,
    *,
    amount: int,
    season_id: SeasonId | None,
    affects_lifetime: bool,
    is_reversal: bool,
) -> Balance:
    """Return the balance after a ledger row of `amount` XP, a credit or a debit.

    A reversal never moves the season: of another than the balance's, it counts there only. And it
    counts for life where it says so, whether it gives or takes.

    :param affects_lifetime: what the row's metadata says; another credit counts for life anyway
    """
    if is_reversal and balance.season_id is not None and season_id != balance.season_id:
        season_id = None
    after = add_credit(balance, amount=amount, season_id=season_id)
    if affects_lifetime or (amount > 0 and not is_reversal):
        return after
    return Balance(
        current=after.current,
        lifetime=balance.lifetime,
        seasonal=after.seasonal,
        season_id=after.season_id,
    )
