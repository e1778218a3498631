"""Pay a batch of claims exactly once: read the players, decide in order, write all together."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import msgspec

from emberkeep.base import db
from emberkeep.base.db import Connection
from emberkeep.base.errors import EmberkeepError
from emberkeep.events import service as events
from emberkeep.events.model import NewEvent, StreamId
from emberkeep.xp import store
from emberkeep.xp.model import (
    Award,
    ClaimRequest,
    ClaimStatus,
    ClaimWindow,
    CooldownRunning,
    PlayerId,
    PlayerState,
    PlayerUnknown,
    Receipt,
    RewardDay,
    UserId,
)
from emberkeep.xp.rules import catalogue as catalogues
from emberkeep.xp.rules import claim as rules
from emberkeep.xp.rules.catalogue import Catalogue
from emberkeep.xp.service.catalogue import load_catalogue
from emberkeep.xp.store import ClaimRow, PlayerMove

_encode = msgspec.json.Encoder().encode


class ClaimBatch:
    """The claims of one batch while they are decided, player by player, in the order they came."""

    def __init__(
        self,
        players: Sequence[PlayerState],
        *,
        catalogue: Catalogue,
        server_zone: str,
    ) -> None:
        self._before = {player.player_id: player for player in players}
        self._now = dict(self._before)
        self._catalogue = catalogue
        self._server_zone = server_zone
        self._last_awards: dict[UserId, Award] = {}
        self.rows: list[ClaimRow] = []

    def list_missing_awards(
        self, requests: Sequence[ClaimRequest]
    ) -> list[tuple[UserId, datetime.date]]:
        """Return which awards must be read before `requests` can be answered.

        Those are the last ones of players who claim again, or whose policy has a cooldown.
        """
        missing: set[tuple[UserId, datetime.date]] = set()
        for request in requests:
            player = self._before.get(request.player_id)
            last_day = None if player is None else player.streak.last_reward_day
            if player is None or last_day is None:
                continue
            try:
                window, today = self._find_day(player, request)
            except EmberkeepError:
                continue  # `answer` will say so.
            if today.day <= last_day or window.min_cooldown_hours is not None:
                missing.add((player.user_id, last_day))
        return sorted(missing)

    def remember_awards(self, awards: dict[tuple[UserId, datetime.date], Award]) -> None:
        """Take in the awards that `list_missing_awards` asked for."""
        for (user_id, _), award in awards.items():
            self._last_awards[user_id] = award

    def answer(self, request: ClaimRequest) -> Receipt | EmberkeepError:
        """Decide `request`, given everything that was decided before it."""
        try:
            return self._decide(request)
        except EmberkeepError as e:
            return e

    def list_moves(self) -> list[PlayerMove]:
        """Return every player whose streak has moved, in order of player."""
        moved_at = {row.user_id: row.award.claimed_at for row in self.rows}
        moves = [
            PlayerMove(before, self._now[player_id].streak, moved_at[before.user_id])
            for player_id, before in self._before.items()
            if before.user_id in moved_at
        ]
        moves.sort(key=lambda move: move.before.user_id)
        return moves

    def list_events(self) -> list[NewEvent]:
        """Return what there is to tell about the claims, in order of player."""
        names = {player.user_id: player.player_id for player in self._before.values()}
        return [event for row in self.rows for event in _list_events(names[row.user_id], row)]

    def _decide(self, request: ClaimRequest) -> Receipt:
        player = self._now.get(request.player_id)
        if player is None:
            raise PlayerUnknown("no player has this id")
        version, segment = catalogues.find_version(
            self._catalogue,
            policy_key=request.policy_key,
            segment_key=player.segment_key,
            at=request.now,
        )
        window = version.policy.claim_window
        today = rules.find_claim_day(player, request, window, server_zone=self._server_zone)
        last_day = player.streak.last_reward_day
        last_award = self._last_awards.get(player.user_id)
        if last_day is not None and today.day <= last_day:
            assert last_award is not None, "a player who has claimed has an award"
            return self._receipt(ClaimStatus.ALREADY_CLAIMED, player, last_award, today, window)
        rules.check_window(today, at=request.at)
        if last_award is not None:
            self._check_cooldown(player, last_award, request, today, window)
        payment = rules.decide_payment(
            player,
            version,
            day=today.day,
            at=request.at,
            seasons=self._catalogue.seasons,
            segment=segment,
        )
        paid = msgspec.structs.replace(player, streak=payment.step.state, balance=payment.balance)
        self._now[request.player_id] = paid
        self._last_awards[player.user_id] = payment.award
        self.rows.append(
            ClaimRow(
                player.user_id,
                payment.award,
                payment.step.state.model_state,
                payment.award.explain.season_id,
            )
        )
        return self._receipt(ClaimStatus.NEW, paid, payment.award, today, window)

    def _find_day(
        self, player: PlayerState, request: ClaimRequest
    ) -> tuple[ClaimWindow, RewardDay]:
        version, _ = catalogues.find_version(
            self._catalogue,
            policy_key=request.policy_key,
            segment_key=player.segment_key,
            at=request.now,
        )
        window = version.policy.claim_window
        return window, rules.find_claim_day(player, request, window, server_zone=self._server_zone)

    def _check_cooldown(
        self,
        player: PlayerState,
        last: Award,
        request: ClaimRequest,
        today: RewardDay,
        window: ClaimWindow,
    ) -> None:
        try:
            rules.check_cooldown(window, last, at=request.at)
        except CooldownRunning as e:
            receipt = self._receipt(ClaimStatus.ALREADY_CLAIMED, player, last, today, window)
            raise CooldownRunning(e.message, **e.facts, receipt=receipt) from None

    def _receipt(
        self,
        status: ClaimStatus,
        player: PlayerState,
        award: Award,
        today: RewardDay,
        window: ClaimWindow,
    ) -> Receipt:
        return Receipt(
            status=status,
            receipt_id=award.receipt_id,
            player_id=player.player_id,
            reward_day_id=award.reward_day,
            xp_awarded=award.xp_awarded,
            streak=award.streak,
            policy_key=award.policy_key,
            policy_version=award.policy_version,
            segment=award.segment,
            milestones=award.milestones,
            balance=award.balance,
            next_boundary_at=rules.find_next_opening(
                player, today, window, server_zone=self._server_zone
            ),
            explain=award.explain,
        )


async def claim_batch(
    conn: Connection,
    *,
    requests: Sequence[ClaimRequest],
    catalogue: Catalogue,
    server_zone: str,
    now: datetime.datetime,
) -> tuple[list[Receipt | EmberkeepError], Catalogue]:
    """Answer every request, in order, and write what is to be paid; an error is an answer too.

    Two round trips for new claims, whatever their number; one more when some were paid before.
    `conn` is in autocommit mode. Also returns the catalogue that decided, for the next batch.

    :raises psycopg.errors.SerializationFailure: when a player was changed meanwhile: call again
    :raises OutcomeUnknown: when the connection broke while writing: call again to read back
    """
    player_ids = list(dict.fromkeys(request.player_id for request in requests))
    players, revision = await store.read_player_states(conn, player_ids=player_ids)
    if revision is not None and revision != catalogue.revision:
        catalogue = await load_catalogue(conn)
    batch = ClaimBatch(players, catalogue=catalogue, server_zone=server_zone)
    if missing := batch.list_missing_awards(requests):
        batch.remember_awards(await store.read_awards(conn, keys=missing))
    answers = [batch.answer(request) for request in requests]
    if batch.rows:
        async with db.atomically(conn):
            await store.insert_claims(conn, players=batch.list_moves(), claims=batch.rows)
            await events.append_events(conn, events=batch.list_events(), now=now)
    return answers, catalogue


def stream_of(player_id: PlayerId) -> StreamId:
    """Return the name of the stream that holds what happened to `player_id`."""
    return StreamId(f"player-{player_id}")


def _list_events(player_id: PlayerId, row: ClaimRow) -> list[NewEvent]:
    award = row.award
    stream_id = stream_of(player_id)
    metadata = f'{{"correlation_id": "{award.receipt_id}"}}'
    claimed = NewEvent(
        stream_id=stream_id,
        event_type="DailyLoginClaimed",
        data=_encode(_to_claimed_data(player_id, row)).decode(),
        metadata=metadata,
    )
    unlocked = [
        NewEvent(
            stream_id=stream_id,
            event_type="MilestoneUnlocked",
            data=_encode(
                {
                    "player_id": player_id,
                    "policy_key": award.policy_key,
                    "policy_version": award.policy_version,
                    "reward_day_id": award.reward_day,
                    "milestone": milestone,
                }
            ).decode(),
            metadata=metadata,
        )
        for milestone in award.milestones
    ]
    return [claimed, *unlocked]


def _to_claimed_data(player_id: PlayerId, row: ClaimRow) -> dict[str, object]:
    award = row.award
    return {
        "player_id": player_id,
        "receipt_id": award.receipt_id,
        "reward_day_id": award.reward_day,
        "claimed_at": award.claimed_at,
        "xp_awarded": award.xp_awarded,
        "streak": award.streak,
        "policy_key": award.policy_key,
        "policy_version": award.policy_version,
        "segment": award.segment,
        "season_id": row.season_id,
    }
