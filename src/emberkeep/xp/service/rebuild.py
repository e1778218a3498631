"""Balances and streaks, folded from their history again: in chunks of players, each a transaction.

Whoever writes for a player of the chunk waits until it is through, and then decides by what is right.
Stopped in between, what was done stays done; done again, it changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from emberkeep.base import db
from emberkeep.base.db import Connection
from emberkeep.events import service as events
from emberkeep.events.model import Append
from emberkeep.xp import store
from emberkeep.xp.model import (
    PlayerId,
    PlayerUnknown,
    RebuildReport,
    RebuildTarget,
    RebuiltBalance,
    RebuiltStreak,
    UserId,
)
from emberkeep.xp.rules.streak_history import is_as_folded
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.catalogue import read_policies
from emberkeep.xp.service.claims import stream_of
from emberkeep.xp.service.histories import fold_balances, fold_streaks
from emberkeep.xp.service.streak_deeds import Cause

CHUNK_PLAYERS: Final = 500
"""So many players wait together, for a moment, while they are folded."""

_SHOWN: Final = 100

OnProgress = Callable[[int, int], None]
"""Is told how many players were looked at, and how many of them were changed."""


class _Chunk(msgspec.Struct):
    """The players behind `after`, up to `through`, and what is to be changed of them."""

    after: int
    through: int
    players: int
    streaks: list[tuple[UserId, RebuiltStreak]] = msgspec.field(
        default_factory=list[tuple[UserId, RebuiltStreak]]
    )
    balances: list[tuple[UserId, RebuiltBalance]] = msgspec.field(
        default_factory=list[tuple[UserId, RebuiltBalance]]
    )
    unreadable: list[PlayerId] = msgspec.field(default_factory=list[PlayerId])


class _Tally(msgspec.Struct):
    """What all chunks so far came to; of what was found, the first are named."""

    players: int = 0
    changed: int = 0
    unreadable_players: int = 0
    streaks: list[RebuiltStreak] = msgspec.field(default_factory=list[RebuiltStreak])
    balances: list[RebuiltBalance] = msgspec.field(default_factory=list[RebuiltBalance])
    unreadable: list[PlayerId] = msgspec.field(default_factory=list[PlayerId])

    def take(self, chunk: _Chunk) -> None:
        """Add what a chunk came to."""
        self.players += chunk.players
        self.changed += len(chunk.streaks) + len(chunk.balances)
        self.unreadable_players += len(chunk.unreadable)
        self.streaks += [s for _, s in chunk.streaks[: _SHOWN - len(self.streaks)]]
        self.balances += [b for _, b in chunk.balances[: _SHOWN - len(self.balances)]]
        self.unreadable += chunk.unreadable[: _SHOWN - len(self.unreadable)]


async def rebuild(
    conn: Connection,
    *,
    what: RebuildTarget,
    is_dry_run: bool,
    player_id: PlayerId | None,
    cause: Cause,
    chunk_players: int = CHUNK_PLAYERS,
    on_progress: OnProgress | None = None,
) -> RebuildReport:
    """Write every balance or streak again that is not what its history makes it; or only say which.

    :param conn: in autocommit mode
    :param player_id: of whom; None: of everybody
    :raises PlayerUnknown: when there is no such player
    :raises StreamDeleted: when the stream of a player to be changed was deleted; the chunks before
        stay done
    """
    tally = _Tally()
    async for chunk in _list_chunks(conn, player_id, chunk_players):
        if is_dry_run:
            async with db.snapshot(conn):
                found = await _compare(conn, what, chunk)
        else:
            found = await _mend(conn, what, chunk, cause)
        tally.take(found)
        if on_progress is not None:
            on_progress(tally.players, tally.changed)
    return RebuildReport(
        what=what,
        is_dry_run=is_dry_run,
        players=tally.players,
        changed=tally.changed,
        streaks=tuple(tally.streaks),
        balances=tuple(tally.balances),
        unreadable_players=tally.unreadable_players,
        unreadable=tuple(tally.unreadable),
    )


async def _list_chunks(
    conn: Connection, player_id: PlayerId | None, chunk_players: int
) -> AsyncIterator[_Chunk]:
    if player_id is not None:
        player = await store.read_player(conn, player_id=player_id)
        if player is None:
            raise PlayerUnknown("no player has this id")
        yield _Chunk(after=player.user_id - 1, through=player.user_id, players=1)
        return
    after = 0
    while ids := await store.list_user_ids(conn, after=after, max_rows=chunk_players):
        yield _Chunk(after=after, through=ids[-1], players=len(ids))
        after = ids[-1]


async def _mend(conn: Connection, what: RebuildTarget, chunk: _Chunk, cause: Cause) -> _Chunk:
    async def write() -> _Chunk:
        lock = store.lock_streaks if what is RebuildTarget.STREAKS else store.lock_balances
        await lock(conn, after=chunk.after, through=chunk.through)
        found = await _compare(conn, what, chunk)
        for user_id, streak in found.streaks:
            await store.put_streak(conn, user_id=user_id, state=streak.after, now=cause.now)
        for user_id, balance in found.balances:
            await store.put_balance(conn, user_id=user_id, balance=balance.after, now=cause.now)
        if appends := _list_appends(found, cause):
            await events.append_to_streams(conn, appends=appends, now=cause.now)
        return found

    return await write_atomically(conn, write)


async def _compare(conn: Connection, what: RebuildTarget, chunk: _Chunk) -> _Chunk:
    """Return `chunk` with what is to be changed of its players.

    :param conn: in a transaction that sees them as they are, until it ends
    """
    found = _Chunk(chunk.after, chunk.through, chunk.players)
    if what is RebuildTarget.STREAKS:
        await _compare_streaks(conn, found)
    else:
        await _compare_balances(conn, found)
    return found


async def _compare_streaks(conn: Connection, found: _Chunk) -> None:
    # For each chunk anew: some claims in it may be by a version that was published meanwhile.
    policies, _ = read_policies(await store.list_policy_versions(conn))
    seasons = await store.list_seasons(conn)
    users = (found.after, found.through)
    async for player in fold_streaks(conn, policies, seasons, users=users):
        if player.folded is None:
            found.unreadable.append(player.player_id)
        elif not is_as_folded(player.kept, player.folded):
            change = RebuiltStreak(
                player_id=player.player_id, before=player.kept, after=player.folded
            )
            found.streaks.append((player.user_id, change))


async def _compare_balances(conn: Connection, found: _Chunk) -> None:
    async for player in fold_balances(conn, users=(found.after, found.through)):
        if player.kept != player.folded:
            change = RebuiltBalance(
                player_id=player.player_id, before=player.kept, after=player.folded
            )
            found.balances.append((player.user_id, change))


def _list_appends(found: _Chunk, cause: Cause) -> list[Append]:
    metadata = {"correlation_id": str(cause.correlation_id), "actor": cause.actor}
    told = [("StreakRebuilt", change) for _, change in found.streaks]
    told += [("BalanceRebuilt", change) for _, change in found.balances]
    return [
        Append(
            stream_id=stream_of(change.player_id),
            events=(events.make_event(event_type, change, metadata=metadata),),
        )
        for event_type, change in told
    ]
