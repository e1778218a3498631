"""Pay a batch of claims exactly once: read the players, decide in order, write all together."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from emberkeep.base import db
from emberkeep.base.db import Connection
from emberkeep.base.errors import EmberkeepError
from emberkeep.events import service as events
from emberkeep.events.model import Append, NewEvent, StreamId
from emberkeep.xp import store
from emberkeep.xp.model import (
    Award,
    Balance,
    ClaimRequest,
    ClaimStatus,
    CooldownRunning,
    LevelCurve,
    PlayerId,
    PlayerState,
    PlayerUnknown,
    PolicyVersion,
    Receipt,
    RewardDay,
    SegmentChoice,
    StreakState,
    UserId,
)
from emberkeep.xp.rules import catalogue as catalogues
from emberkeep.xp.rules import claim as rules
from emberkeep.xp.rules import level as levels
from emberkeep.xp.rules.catalogue import Catalogue
from emberkeep.xp.rules.segment import Facts
from emberkeep.xp.service.catalogue import load_catalogue
from emberkeep.xp.service.levels import make_level_events
from emberkeep.xp.store import ClaimRow

CLAIMED: Final = "DailyLoginClaimed"
"""The type of the event that tells of a claim."""

_encode = msgspec.json.Encoder().encode


class _Case(msgspec.Struct):
    """What holds for one request: the version that decides it, who chose that, and its day."""

    request: ClaimRequest
    version: PolicyVersion
    choice: SegmentChoice | None
    today: RewardDay


class _Paid(msgspec.Struct, frozen=True):
    """One claim that is paid, the streak after it, and the levels that it reached."""

    award: Award
    streak: StreakState
    levels_reached: tuple[int, ...]


class _Account(msgspec.Struct):
    """One player while a batch is decided: as read, and as the claims so far leave them."""

    before: PlayerState
    streak: StreakState
    balance: Balance
    highest_levels: Mapping[str, int]
    last_award: Award | None = None
    paid: list[_Paid] = msgspec.field(default_factory=list[_Paid])
    # The case that was looked at last, because most are looked at twice.
    case: _Case | None = None


class ClaimBatch:
    """The claims of one batch while they are decided, in the order they came."""

    def __init__(
        self,
        players: Sequence[PlayerState],
        *,
        catalogue: Catalogue,
        server_zone: str,
    ) -> None:
        self._accounts = {
            p.player_id: _Account(p, p.streak, p.balance, p.highest_levels) for p in players
        }
        self._catalogue = catalogue
        self._server_zone = server_zone

    def list_missing_awards(
        self, requests: Sequence[ClaimRequest]
    ) -> list[tuple[UserId, datetime.date]]:
        """Return which awards must be read before `requests` can be answered.

        Those are the last ones of players who claim again, or whose policy has a cooldown.
        """
        missing: set[tuple[UserId, datetime.date]] = set()
        for request in requests:
            account = self._accounts.get(request.player_id)
            last_day = None if account is None else account.before.streak.last_reward_day
            if account is None or last_day is None:
                continue
            try:
                case = self._open_case(account, request)
            except EmberkeepError:
                continue  # `answer` will say so.
            has_cooldown = case.version.policy.claim_window.min_cooldown_hours is not None
            if has_cooldown or case.today.day <= last_day:
                missing.add((account.before.user_id, last_day))
        return sorted(missing)

    def remember_awards(self, awards: Mapping[tuple[UserId, datetime.date], Award]) -> None:
        """Take in the awards that `list_missing_awards` asked for."""
        for account in self._accounts.values():
            last_day = account.before.streak.last_reward_day
            if last_day is not None:
                account.last_award = awards.get((account.before.user_id, last_day))

    def answer(self, request: ClaimRequest) -> Receipt | EmberkeepError:
        """Decide `request`, given everything that was decided before it."""
        try:
            return self._decide(request)
        except EmberkeepError as e:
            return e

    def list_rows(self) -> list[tuple[PlayerId, ClaimRow]]:
        """Return what is to be written, in order of player and then of day."""
        rows: list[tuple[PlayerId, ClaimRow]] = []
        for account in self._accounts.values():
            before = account.before
            last = len(account.paid) - 1
            has_risen = account.highest_levels is not before.highest_levels
            rows.extend(
                (
                    before.player_id,
                    ClaimRow(
                        before.user_id,
                        paid.award,
                        paid.streak.model_state,
                        paid.levels_reached,
                        before if index == last else None,
                        account.highest_levels if has_risen and index == last else None,
                    ),
                )
                for index, paid in enumerate(account.paid)
            )
        return rows

    def _decide(self, request: ClaimRequest) -> Receipt:
        account = self._accounts.get(request.player_id)
        if account is None:
            raise PlayerUnknown("no player has this id")
        case = self._open_case(account, request)
        last_day = account.streak.last_reward_day
        if last_day is not None and case.today.day <= last_day:
            return self._receipt(ClaimStatus.ALREADY_CLAIMED, account, case)
        rules.check_window(
            account.before,
            case.today,
            case.version.policy.claim_window,
            at=request.at,
            server_zone=self._server_zone,
        )
        if account.last_award is not None:
            self._check_cooldown(account, case)
        curve = self._catalogue.level_curves.get(request.policy_key)
        payment = rules.decide_payment(
            case.version,
            user_id=account.before.user_id,
            before=account.streak,
            balance=account.balance,
            day=case.today.day,
            at=request.at,
            seasons=self._catalogue.seasons,
            level_curve=curve,
            choice=case.choice,
        )
        reached = () if curve is None else _reach_levels(account, curve, payment.balance)
        account.streak, account.balance = payment.streak, payment.balance
        account.last_award = payment.award
        account.paid.append(_Paid(payment.award, payment.streak, reached))
        return self._receipt(ClaimStatus.NEW, account, case)

    def find_facts(self, player_id: PlayerId, at: datetime.datetime) -> Facts:
        """Return what a segment's rule is told of a player at `at`."""
        return _make_facts(self._accounts[player_id], at)

    def _open_case(self, account: _Account, request: ClaimRequest) -> _Case:
        if account.case is not None and account.case.request is request:
            return account.case
        version, choice = catalogues.find_version(
            self._catalogue,
            policy_key=request.policy_key,
            facts=_make_facts(account, request.at),
            at=request.now,
        )
        today = rules.find_claim_day(
            account.before, request, version.policy.claim_window, server_zone=self._server_zone
        )
        account.case = _Case(request, version, choice, today)
        return account.case

    def _check_cooldown(self, account: _Account, case: _Case) -> None:
        assert account.last_award is not None
        window = case.version.policy.claim_window
        try:
            rules.check_cooldown(window, account.last_award, at=case.request.at)
        except CooldownRunning as e:
            receipt = self._receipt(ClaimStatus.ALREADY_CLAIMED, account, case)
            raise CooldownRunning(e.message, **e.facts, receipt=receipt) from None

    def _receipt(self, status: ClaimStatus, account: _Account, case: _Case) -> Receipt:
        award = account.last_award
        assert award is not None, "a player who has claimed has an award"
        return Receipt(
            status=status,
            receipt_id=award.receipt_id,
            player_id=account.before.player_id,
            reward_day_id=award.reward_day,
            xp_awarded=award.xp_awarded,
            streak=award.streak,
            policy_key=award.policy_key,
            policy_version=award.policy_version,
            segment=award.segment,
            milestones=award.milestones,
            balance=award.balance,
            level=award.level,
            next_boundary_at=rules.find_next_opening(
                account.before,
                case.today,
                case.version.policy.claim_window,
                last_day=award.reward_day,
                at=case.request.at,
                server_zone=self._server_zone,
            ),
            explain=award.explain,
        )


def _reach_levels(account: _Account, curve: LevelCurve, balance: Balance) -> tuple[int, ...]:
    """Return the levels that `balance` reaches for the first time, and remember them."""
    key = curve.policy_key
    highest = account.highest_levels.get(key, levels.FIRST_LEVEL)
    reached = levels.list_reached(curve, highest=highest, lifetime_xp=balance.lifetime)
    if reached:
        account.highest_levels = {**account.highest_levels, key: reached[-1]}
    return reached


def _make_facts(account: _Account, at: datetime.datetime) -> Facts:
    return Facts(account.before, account.streak, account.balance, at)


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

    :raises psycopg.errors.SerializationFailure: when a player, or the catalogue, was changed
        meanwhile: call again
    :raises StreamDeleted: when the stream of one of the players was deleted: nothing was paid
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
    if rows := batch.list_rows():
        with events.refusals():
            async with db.atomically(conn):
                await store.insert_claims(
                    conn, claims=[row for _, row in rows], revision=catalogue.revision
                )
                await events.append_to_streams(
                    conn,
                    appends=[make_append(player_id, row) for player_id, row in rows],
                    now=now,
                )
    return answers, catalogue


def stream_of(player_id: PlayerId) -> StreamId:
    """Return the name of the stream that holds what happened to `player_id`."""
    return StreamId(f"player-{player_id}")


def make_append(player_id: PlayerId, row: ClaimRow) -> Append:
    """Return what there is to tell about one claim."""
    award = row.award
    metadata = f'{{"correlation_id": "{award.receipt_id}"}}'
    claimed = NewEvent(
        event_type=CLAIMED,
        data=_encode(_to_claimed_data(player_id, row)).decode(),
        metadata=metadata,
    )
    unlocked = [
        NewEvent(
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
    reached = make_level_events(
        player_id,
        award.policy_key,
        row.levels_reached,
        lifetime_xp=award.balance.lifetime,
        metadata=metadata,
    )
    return Append(stream_id=stream_of(player_id), events=(claimed, *unlocked, *reached))


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
        "chosen_by": award.explain.chosen_by,
        "season_id": award.explain.season_id,
    }
