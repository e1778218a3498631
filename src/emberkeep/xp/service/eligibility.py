"""What a claim would come to, now and on the days to come: the rules of claims, without the writing.

A `ClaimBatch` decides in memory, and nothing that it decides here is ever written.
"""

from __future__ import annotations

import datetime
from typing import Final, cast

from emberkeep.base.db import Connection
from emberkeep.xp import store
from emberkeep.xp.model import (
    ClaimRequest,
    ClaimStatus,
    CooldownRunning,
    Eligibility,
    PlayerId,
    PlayerState,
    PlayerUnknown,
    PolicyKey,
    PolicyNotInForce,
    PolicyVersion,
    ProjectedDay,
    Projection,
    Receipt,
    StreakFigures,
    WindowClosed,
)
from emberkeep.xp.rules import claim as rules
from emberkeep.xp.rules.catalogue import Catalogue, find_version, make_trial
from emberkeep.xp.rules.notes import list_notes, list_unlocked
from emberkeep.xp.service.claims import ClaimBatch
from emberkeep.xp.service.policies import read_version

MAX_DAYS: Final = 366


async def check_eligibility(
    conn: Connection,
    *,
    player_id: PlayerId,
    policy_key: PolicyKey,
    catalogue: Catalogue,
    server_zone: str,
    now: datetime.datetime,
) -> Eligibility:
    """Return what a claim at `now` would come to.

    `reason` is `already_claimed`, `window_closed` or `cooldown` where it would not be paid.

    :param catalogue: as it stands now
    :raises PlayerUnknown: when there is no such player
    :raises PolicyUnknown, PolicyNotInForce: when there is nothing to decide by
    """
    trial = await _open_trial(conn, player_id, policy_key, catalogue, server_zone)
    try:
        receipt = trial.claim(now)
    except WindowClosed as e:
        return trial.refuse("window_closed", _read_opening(e), now)
    except CooldownRunning as e:
        return trial.refuse("cooldown", _read_opening(e), now)
    if receipt.status is ClaimStatus.ALREADY_CLAIMED:
        return trial.refuse("already_claimed", receipt.next_boundary_at, now)
    return Eligibility(
        player_id=player_id,
        eligible=True,
        reason=None,
        reward_day_id=receipt.reward_day_id,
        projected_xp=receipt.xp_awarded,
        streak_preview=receipt.streak,
        next_boundary_at=receipt.next_boundary_at,
        policy_key=policy_key,
        policy_version=receipt.policy_version,
        notes=trial.list_notes(receipt, now),
    )


async def project_days(
    conn: Connection,
    *,
    player_id: PlayerId,
    policy_key: PolicyKey,
    policy_version: int | None,
    days: int | None,
    catalogue: Catalogue,
    server_zone: str,
    now: datetime.datetime,
) -> Projection:
    """Return what claiming every day from `now` on would pay, each day as early as it can be.

    :param policy_version: any version, drafts too; None: whichever is in force on each day
    :param days: at most MAX_DAYS; None: as many as the policy's preview shows
    :param catalogue: as it stands now
    :raises PlayerUnknown: when there is no such player
    :raises PolicyUnknown, PolicyNotInForce: when there is nothing to decide by
    """
    if policy_version is not None:
        version = await read_version(conn, policy_key=policy_key, policy_version=policy_version)
        catalogue = make_trial(catalogue, version)
    trial = await _open_trial(conn, player_id, policy_key, catalogue, server_zone)
    if days is None:
        days = trial.find_version(now).policy.preview.sample_window_days
    lines = _project(trial, days, now)
    return Projection(
        player_id=player_id,
        policy_key=policy_key,
        days=lines,
        total_xp=sum(line.xp_awarded for line in lines),
    )


class _Trial:
    """One player, and the claims that might be made: each as if those before had been."""

    def __init__(
        self,
        player: PlayerState,
        batch: ClaimBatch,
        *,
        policy_key: PolicyKey,
        catalogue: Catalogue,
        server_zone: str,
    ) -> None:
        self._player = player
        self._batch = batch
        self._policy_key = policy_key
        self._catalogue = catalogue
        self._server_zone = server_zone
        self._unlocked = list_unlocked(player.streak, policy_key)

    def find_version(self, at: datetime.datetime) -> PolicyVersion:
        """Return the version that decides at `at`."""
        version, _ = find_version(
            self._catalogue,
            policy_key=self._policy_key,
            segment_key=self._player.segment_key,
            at=at,
        )
        return version

    def claim(self, at: datetime.datetime) -> Receipt:
        """Return what a claim at `at` would be answered; raise its refusal."""
        answer = self._batch.answer(_make_request(self._player.player_id, self._policy_key, at))
        if not isinstance(answer, Receipt):
            raise answer
        self._unlocked |= {milestone.day for milestone in answer.milestones}
        return answer

    def refuse(
        self, reason: str, next_boundary_at: datetime.datetime, now: datetime.datetime
    ) -> Eligibility:
        """Return that nothing would be paid now: streak and figures stay as they are."""
        version = self.find_version(now)
        request = _make_request(self._player.player_id, self._policy_key, now)
        today = rules.find_claim_day(
            self._player, request, version.policy.claim_window, server_zone=self._server_zone
        )
        streak = self._player.streak
        return Eligibility(
            player_id=self._player.player_id,
            eligible=False,
            reason=reason,
            reward_day_id=today.day,
            projected_xp=0,
            streak_preview=StreakFigures(
                current=streak.current_streak,
                longest=streak.longest_streak,
                grace_used=streak.grace_used,
            ),
            next_boundary_at=next_boundary_at,
            policy_key=self._policy_key,
            policy_version=version.policy_version,
            notes=(),
        )

    def describe(self, receipt: Receipt, at: datetime.datetime) -> ProjectedDay:
        """Return the line of a day that would be paid."""
        return ProjectedDay(
            reward_day_id=receipt.reward_day_id,
            claimable_at=at,
            xp_awarded=receipt.xp_awarded,
            streak=receipt.streak,
            policy_version=receipt.policy_version,
            segment=receipt.segment,
            milestones=receipt.milestones,
            explain=receipt.explain,
            notes=self.list_notes(receipt, at),
        )

    def list_notes(self, receipt: Receipt, at: datetime.datetime) -> tuple[str, ...]:
        """Return what is worth saying about a receipt."""
        return list_notes(
            self.find_version(at).policy,
            receipt.explain,
            day=receipt.reward_day_id,
            streak_day=receipt.streak.current,
            seasons=self._catalogue.seasons,
            unlocked=self._unlocked,
        )


def _project(trial: _Trial, days: int, now: datetime.datetime) -> tuple[ProjectedDay, ...]:
    lines: list[ProjectedDay] = []
    at = now
    while len(lines) < days:
        try:
            receipt = trial.claim(at)
        except (WindowClosed, CooldownRunning) as e:
            at = _read_opening(e)
            continue
        except PolicyNotInForce:
            if at == now:
                raise
            break  # The policy ends here, and so does what can be foreseen.
        if receipt.status is ClaimStatus.NEW:
            lines.append(trial.describe(receipt, at))
        at = receipt.next_boundary_at
    return tuple(lines)


def _make_request(
    player_id: PlayerId, policy_key: PolicyKey, at: datetime.datetime
) -> ClaimRequest:
    """Return the claim that a player would make at `at`."""
    return ClaimRequest(player_id=player_id, policy_key=policy_key, at=at, now=at)


async def _open_trial(
    conn: Connection,
    player_id: PlayerId,
    policy_key: PolicyKey,
    catalogue: Catalogue,
    server_zone: str,
) -> _Trial:
    players, _ = await store.read_player_states(conn, player_ids=[player_id])
    if not players:
        raise PlayerUnknown("no player has this id")
    batch = ClaimBatch(players, catalogue=catalogue, server_zone=server_zone)
    last_day = players[0].streak.last_reward_day
    if last_day is not None:
        batch.remember_awards(await store.read_awards(conn, keys=[(players[0].user_id, last_day)]))
    return _Trial(
        players[0],
        batch,
        policy_key=policy_key,
        catalogue=catalogue,
        server_zone=server_zone,
    )


def _read_opening(refusal: WindowClosed | CooldownRunning) -> datetime.datetime:
    return cast("datetime.datetime", refusal.facts["opens_at"])
