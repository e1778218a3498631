"""Whether balances are what the ledger adds up to, row by row."""

from __future__ import annotations

from typing import Final

from emberkeep.base.check import Check, Tally
from emberkeep.base.db import Connection
from emberkeep.xp.model import Balance
from emberkeep.xp.service.histories import FoldedBalance, fold_balances
from emberkeep.xp.store import LedgerRow

_BALANCES: Final = "xp: balances equal the ledger"
_LEFT: Final = "xp: ledger rows say the balance that they left"


async def check_balances(conn: Connection) -> tuple[Check, Check]:
    """Return whether balances, and what ledger rows say of them, are what the ledger adds up to."""
    tally, left = Tally(_BALANCES), Tally(_LEFT)

    def compare_entry(row: LedgerRow, folded: Balance) -> None:
        left.count(_compare_balance_after(row, folded))

    async for player in fold_balances(conn, on_entry=compare_entry):
        tally.count(_compare_balances(player))
    return tally.conclude(), left.conclude()


def _compare_balance_after(row: LedgerRow, folded: Balance) -> str | None:
    if row.balance_after == folded.current:
        return None
    return f"player {row.player_id}: a row says it left {row.balance_after}, not {folded.current}"


def _compare_balances(player: FoldedBalance) -> str | None:
    if player.kept == player.folded:
        return None
    said = "nothing" if player.kept is None else _show_balance(player.kept)
    folded = _show_balance(player.folded)
    return f"player {player.player_id}: the balance says {said}, the ledger {folded}"


def _show_balance(balance: Balance) -> str:
    figures = (balance.current, balance.lifetime, balance.seasonal, balance.season_id)
    return "/".join(str(figure) for figure in figures)
