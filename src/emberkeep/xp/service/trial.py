"""Claims that are decided and never written: the rules of claims, for whoever asks ahead.

A `ClaimBatch` decides in memory, and nothing that it decides here is ever written.
"""

from __future__ import annotations

import datetime
from typing import cast

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp import store
from emberkeep.xp.model import (
    Award,
    ClaimRequest,
    CooldownRunning,
    LevelCurve,
    MadeUpPlayer,
    PlayerState,
    PlayerUnknown,
    Policy,
    PolicyKey,
    PolicyKeyMismatch,
    PolicyVersion,
    Question,
    Receipt,
    RewardDay,
    Season,
    SegmentChoice,
    WindowClosed,
)
from emberkeep.xp.rules import catalogue as catalogues
from emberkeep.xp.rules import claim as rules
from emberkeep.xp.rules import question as questions
from emberkeep.xp.rules.catalogue import Catalogue
from emberkeep.xp.rules.notes import list_notes, list_unlocked
from emberkeep.xp.service.claims import ClaimBatch
from emberkeep.xp.service.policies import read_version

read_question = questions.read_question


class Switch(msgspec.Struct, frozen=True):
    """When another version takes over, and which; None where none does."""

    at: datetime.datetime
    policy_version: int | None


class Trial:
    """One player, and the claims that might be made: each as if those before had been."""

    def __init__(
        self,
        player: PlayerState,
        last_award: Award | None,
        *,
        policy_key: PolicyKey,
        catalogue: Catalogue,
        server_zone: str,
    ) -> None:
        self.player = player
        self._policy_key = policy_key
        self._catalogue = catalogue
        self._server_zone = server_zone
        self._unlocked = list_unlocked(player.streak, policy_key)
        self._batch = ClaimBatch([player], catalogue=catalogue, server_zone=server_zone)
        if last_award is not None:
            key = (player.user_id, last_award.reward_day)
            self._batch.remember_awards({key: last_award})

    @property
    def seasons(self) -> tuple[Season, ...]:
        """The calendar, in order."""
        return self._catalogue.seasons

    @property
    def level_curve(self) -> LevelCurve | None:
        """The level curve of the policy, if it has one."""
        return self._catalogue.level_curves.get(self._policy_key)

    def find_version(self, at: datetime.datetime) -> tuple[PolicyVersion, SegmentChoice | None]:
        """Return the version that decides at `at`, and the segment that chose it, if one did.

        :raises PolicyUnknown, PolicyNotInForce: when there is nothing to decide by
        """
        return catalogues.find_version(
            self._catalogue,
            policy_key=self._policy_key,
            facts=self._batch.find_facts(self.player.player_id, at),
            at=at,
        )

    def find_switch(self, at: datetime.datetime) -> Switch | None:
        """Return when the next version takes over after `at`, if that is set."""
        switch_at = catalogues.find_next_switch(self._catalogue, policy_key=self._policy_key, at=at)
        if switch_at is None:
            return None
        version = catalogues.find_default_version(
            self._catalogue, policy_key=self._policy_key, at=switch_at
        )
        return Switch(switch_at, None if version is None else version.policy_version)

    def find_day(self, at: datetime.datetime, version: PolicyVersion) -> RewardDay:
        """Return the reward day that a claim at `at` would be for."""
        return rules.find_claim_day(
            self.player,
            _make_request(self.player, self._policy_key, at),
            version.policy.claim_window,
            server_zone=self._server_zone,
        )

    def find_zone(self, at: datetime.datetime, version: PolicyVersion) -> str:
        """Return the zone whose days count for the player at `at`."""
        return rules.find_anchor_zone(
            self.player, version.policy.claim_window, at=at, server_zone=self._server_zone
        )

    def find_moment(self, question: Question, *, now: datetime.datetime) -> datetime.datetime:
        """Return the instant that is asked about. Tomorrow begins where the present day ends.

        :raises PolicyUnknown, PolicyNotInForce: when nothing says where a day ends
        """
        if not question.is_tomorrow:
            return question.at or now
        version, _ = self.find_version(now)
        today = self.find_day(now, version)
        return rules.find_next_opening(
            self.player,
            today,
            version.policy.claim_window,
            last_day=today.day,
            at=now,
            server_zone=self._server_zone,
        )

    def claim(self, at: datetime.datetime) -> Receipt:
        """Return what a claim at `at` would be answered; raise its refusal."""
        answer = self._batch.answer(_make_request(self.player, self._policy_key, at))
        if not isinstance(answer, Receipt):
            raise answer
        self._unlocked |= {milestone.day for milestone in answer.milestones}
        return answer

    def list_notes(self, receipt: Receipt) -> tuple[str, ...]:
        """Return what is worth saying about a receipt."""
        return list_notes(
            self._find_policy(receipt),
            receipt.explain,
            day=receipt.reward_day_id,
            streak_day=receipt.streak.current,
            seasons=self._catalogue.seasons,
            unlocked=self._unlocked,
        )

    def _find_policy(self, receipt: Receipt) -> Policy:
        # Not the one that decides now: the claim may have taken the player to another segment.
        versions = self._catalogue.versions[receipt.policy_key]
        return next(v.policy for v in versions if v.policy_version == receipt.policy_version)


async def choose_policy(
    conn: Connection,
    *,
    question: Question,
    policy_key: PolicyKey | None,
    default_policy_key: PolicyKey,
    catalogue: Catalogue,
    now: datetime.datetime,
) -> tuple[PolicyKey, Catalogue]:
    """Return the policy that is asked about, and the catalogue as the question wants it.

    :raises PolicyUnknown: when there is no such version
    :raises PolicyKeyMismatch: when the document is of another policy than the one that is named
    """
    if question.policy is not None:
        said = question.policy.policy_key
        if policy_key not in (None, said):
            raise PolicyKeyMismatch("the document is of another policy", policy_key=said)
        version = questions.make_unsaved(question.policy, now=now)
        return said, catalogues.make_trial(catalogue, version)
    key = policy_key or default_policy_key
    if question.policy_version is None:
        return key, catalogue
    version = await read_version(conn, policy_key=key, policy_version=question.policy_version)
    return key, catalogues.make_trial(catalogue, version)


async def open_trial(
    conn: Connection,
    *,
    question: Question,
    policy_key: PolicyKey,
    catalogue: Catalogue,
    server_zone: str,
    now: datetime.datetime,
) -> Trial:
    """Return the player that is asked about, ready to claim.

    :raises PlayerUnknown: when there is no such player
    """
    player, last_award = (
        await _read_player(conn, question)
        if question.player is None
        else _make_player(question.player, policy_key, now)
    )
    return Trial(
        player,
        last_award,
        policy_key=policy_key,
        catalogue=catalogue,
        server_zone=server_zone,
    )


async def _read_player(conn: Connection, question: Question) -> tuple[PlayerState, Award | None]:
    assert question.player_id is not None, "a question is about a player"
    players, _ = await store.read_player_states(conn, player_ids=[question.player_id])
    if not players:
        raise PlayerUnknown("no player has this id")
    (player,) = players
    last_day = player.streak.last_reward_day
    if last_day is None:
        return player, None
    key = (player.user_id, last_day)
    awards = await store.read_awards(conn, keys=[key])
    return player, awards.get(key)


def _make_player(
    made_up: MadeUpPlayer, policy_key: PolicyKey, now: datetime.datetime
) -> tuple[PlayerState, Award | None]:
    state = questions.make_state(made_up, now=now)
    return state, questions.make_last_award(made_up, policy_key)


def _make_request(
    player: PlayerState, policy_key: PolicyKey, at: datetime.datetime
) -> ClaimRequest:
    """Return the claim that a player would make at `at`."""
    return ClaimRequest(player_id=player.player_id, policy_key=policy_key, at=at, now=at)


def read_opening(refusal: WindowClosed | CooldownRunning) -> datetime.datetime:
    """Return when a claim that is refused now would be taken."""
    return cast("datetime.datetime", refusal.facts["opens_at"])
