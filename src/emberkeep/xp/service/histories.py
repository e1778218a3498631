"""Every player's history, folded as it streams: what verification compares, and rebuilds write."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp import store
from emberkeep.xp.model import Balance, KeptStreak, PlayerId, Season, Step, StreakState, UserId
from emberkeep.xp.rules.balance import add_entry
from emberkeep.xp.rules.streak_history import Policies, StreakFold
from emberkeep.xp.store import ActionRow, AwardRow, HistoryRow, LedgerRow

OnAward = Callable[[PlayerId, AwardRow, Step | None], None]
"""Is told of every award, and what it comes to by its policy: None where that cannot be told."""

OnEntry = Callable[[LedgerRow, Balance], None]
"""Is told of every ledger row, and the balance right behind it."""


class FoldedStreak(msgspec.Struct, frozen=True, kw_only=True):
    """A player's streak as it lies in the table, and as its history makes it.

    `folded` is None where the history cannot be read. `actions` are how many there were.
    """

    user_id: UserId
    player_id: PlayerId
    kept: KeptStreak | None
    folded: StreakState | None
    actions: int


class FoldedBalance(msgspec.Struct, frozen=True, kw_only=True):
    """A player's balance as it lies in the table, and as the ledger adds up."""

    user_id: UserId
    player_id: PlayerId
    kept: Balance | None
    folded: Balance


class _Actions:
    """The actions of all players, handed out as their turn comes."""

    def __init__(self, rows: AsyncIterator[ActionRow]) -> None:
        self._rows = rows
        self._next: ActionRow | None = None
        self._is_begun = False

    async def take(self, fold: StreakFold, user_id: UserId, *, before_day_id: str | None) -> int:
        """Let the actions of a player that come before a claim into the fold; return how many.

        :param before_day_id: the day of the claim; None: all that are left
        """
        count = 0
        if not self._is_begun:
            self._is_begun = True
            await self._advance()
        while (row := self._next) is not None and row.user_id <= user_id:
            is_later = (
                before_day_id is not None and (row.after_reward_day_id or "") >= before_day_id
            )
            if row.user_id == user_id:
                if is_later:
                    break
                fold.act(row.deed, after_day_id=row.after_reward_day_id)
                count += 1
            await self._advance()
        return count

    async def _advance(self) -> None:
        self._next = await anext(self._rows, None)


class _Player:
    """One player while the history streams by."""

    def __init__(self, row: HistoryRow, fold: StreakFold) -> None:
        self.row = row
        self.fold = fold
        self.actions = 0

    async def tell_award(self, award: AwardRow, actions: _Actions) -> Step | None:
        """Take in what was done before `award`, and then the award."""
        self.actions += await actions.take(
            self.fold, self.row.user_id, before_day_id=award.reward_day_id
        )
        return self.fold.claim(
            day_id=award.reward_day_id,
            at=award.claimed_at,
            policy_key=award.policy_key,
            policy_version=award.policy_version,
        )

    async def conclude(self, actions: _Actions) -> FoldedStreak:
        """Take in what was done after the last award; return the streak."""
        self.actions += await actions.take(self.fold, self.row.user_id, before_day_id=None)
        return FoldedStreak(
            user_id=self.row.user_id,
            player_id=self.row.player_id,
            kept=self.row.streak,
            folded=self.fold.state,
            actions=self.actions,
        )


async def fold_streaks(
    conn: Connection,
    policies: Policies,
    seasons: Sequence[Season],
    *,
    on_award: OnAward | None = None,
    users: tuple[int, int] | None = None,
) -> AsyncIterator[FoldedStreak]:
    """Yield the streak of every player, in order of player; what was archived is where it begins.

    :param conn: in a transaction, because it reads two streams side by side
    :param users: (after, through), in the order of ids; None: everybody
    """
    span = {} if users is None else {"after": users[0], "through": users[1]}
    async with contextlib.aclosing(store.stream_streak_actions(conn, **span)) as rows:
        actions = _Actions(rows)
        player: _Player | None = None
        async for row in store.stream_histories(conn, **span):
            if player is None or player.row.user_id != row.user_id:
                if player is not None:
                    yield await player.conclude(actions)
                opening = StreakState() if row.opening is None else row.opening.state
                player = _Player(row, StreakFold(policies, seasons, opening=opening))
            if row.award is not None:
                step = await player.tell_award(row.award, actions)
                if on_award is not None:
                    on_award(row.player_id, row.award, step)
        if player is not None:
            yield await player.conclude(actions)


async def fold_balances(
    conn: Connection,
    *,
    on_entry: OnEntry | None = None,
    users: tuple[int, int] | None = None,
) -> AsyncIterator[FoldedBalance]:
    """Yield the balance of every player, in order of player; what was archived is where it begins.

    :param users: (after, through), in the order of ids; None: everybody
    """
    span = {} if users is None else {"after": users[0], "through": users[1]}
    last: LedgerRow | None = None
    folded = Balance()
    async for row in store.stream_ledgers(conn, **span):
        if last is None or last.user_id != row.user_id:
            if last is not None:
                yield _conclude_balance(last, folded)
            folded = row.opening
        last = row
        if row.amount is not None:
            folded = add_entry(
                folded,
                amount=row.amount,
                season_id=row.season_id,
                affects_lifetime=row.affects_lifetime,
                is_reversal=row.is_reversal,
            )
            if on_entry is not None:
                on_entry(row, folded)
    if last is not None:
        yield _conclude_balance(last, folded)


def _conclude_balance(row: LedgerRow, folded: Balance) -> FoldedBalance:
    return FoldedBalance(
        user_id=row.user_id, player_id=row.player_id, kept=row.balance, folded=folded
    )
