"""Who is in which segment now, and how many are: asked of the rules, as a claim would."""

from __future__ import annotations

import datetime
import random
from typing import Final

from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.xp import store
from emberkeep.xp.model import (
    EstimateInvalid,
    PlayerId,
    PlayerSegments,
    PlayerState,
    PlayerUnknown,
    PolicyKey,
    PolicyNotInForce,
    Segment,
    SegmentEstimate,
    SegmentKey,
    SegmentReason,
    UserId,
)
from emberkeep.xp.rules import estimate as estimates
from emberkeep.xp.rules import segment as rules
from emberkeep.xp.rules.catalogue import Catalogue, find_version
from emberkeep.xp.rules.segment import Facts
from emberkeep.xp.rules.segment_choice import find_membership, list_memberships
from emberkeep.xp.service.segments import read_segment
from emberkeep.xp.store import PlayerSpan

DEFAULT_SAMPLE: Final = 2000
MAX_SAMPLE: Final = 20_000
_SHOWN: Final = 20
_READ_AT_ONCE: Final = 500
# How many ids are tried at most to find one: not every number is somebody's.
_TRIES_PER_PLAYER: Final = 4


async def read_player_segments(
    conn: Connection,
    *,
    player_id: PlayerId,
    policy_key: PolicyKey,
    catalogue: Catalogue,
    now: datetime.datetime,
) -> PlayerSegments:
    """Return the segments a player is in now, why, and the version of a policy they get.

    :param catalogue: as it stands now
    :raises PlayerUnknown: when there is no such player
    :raises PolicyUnknown: when nothing was ever published under this key
    """
    players, _ = await store.read_player_states(conn, player_ids=[player_id])
    if not players:
        raise PlayerUnknown("no player has this id")
    facts = _make_facts(players[0], now)
    try:
        version, choice = find_version(catalogue, policy_key=policy_key, facts=facts, at=now)
    except PolicyNotInForce:
        version, choice = None, None
    return PlayerSegments(
        player_id=player_id,
        segments=list_memberships(catalogue.segments, facts),
        policy_key=policy_key,
        policy_version=None if version is None else version.policy_version,
        decided_by=choice,
    )


async def estimate_size(
    conn: Connection,
    *,
    rule: str | None,
    segment_key: SegmentKey | None,
    sample: int,
    seed: int,
    now: datetime.datetime,
) -> SegmentEstimate:
    """Return how many players a rule holds for, or how many are in a segment for whatever reason.

    :param sample: how many players are asked at most; all of them where there are no more
    :param seed: of the choice of players
    :raises EstimateInvalid: when not one of rule and segment is given, or the sample is out of bounds
    :raises SegmentInvalid: when the rule cannot be used
    :raises SegmentUnknown: when there is no such segment
    """
    _check_estimate(rule, segment_key, sample)
    segment = await _find_segment(conn, rule, segment_key, now)
    span = await store.count_players(conn)
    found = [] if span is None else await _pick_players(conn, span, sample=sample, seed=seed)
    matched: list[PlayerId] = []
    failed = 0
    for begin in range(0, len(found), _READ_AT_ONCE):
        players, _ = await store.read_player_states(
            conn, player_ids=found[begin : begin + _READ_AT_ONCE]
        )
        for player in players:
            membership = find_membership(segment, _make_facts(player, now))
            if membership is None:
                continue
            if membership.reason is SegmentReason.RULE_FAILED:
                failed += 1
            else:
                matched.append(player.player_id)
    size = estimates.estimate_size(
        players=0 if span is None else span.players, sampled=len(found), matched=len(matched)
    )
    return SegmentEstimate(
        players=size.players,
        sampled=size.sampled,
        matched=size.matched,
        failed=failed,
        estimate=size.estimate,
        low=size.low,
        high=size.high,
        is_exact=size.is_exact,
        sample=tuple(matched[:_SHOWN]),
    )


def _check_estimate(rule: str | None, segment_key: SegmentKey | None, sample: int) -> None:
    errors: list[FieldError] = []
    if (rule is None) == (segment_key is None):
        errors.append(FieldError("rule", "either a rule or a segment_key, and not both"))
    if not 1 <= sample <= MAX_SAMPLE:
        errors.append(FieldError("sample", f"must be 1 to {MAX_SAMPLE}"))
    if errors:
        raise EstimateInvalid("nothing can be estimated", errors)


async def _find_segment(
    conn: Connection, rule: str | None, segment_key: SegmentKey | None, now: datetime.datetime
) -> Segment:
    if segment_key is not None:
        return await read_segment(conn, segment_key=segment_key)
    assert rule is not None, "one of the two was checked to be there"
    rules.check_rule(rule)
    return Segment(
        segment_key=SegmentKey(""),
        display_name="",
        description="",
        rule=rule,
        revision=0,
        created_at=now,
        created_by="",
        updated_at=now,
        updated_by="",
    )


async def _pick_players(
    conn: Connection, span: PlayerSpan, *, sample: int, seed: int
) -> list[PlayerId]:
    """Return `sample` players, each as likely as any other; all of them if there are no more.

    Ids are drawn between the first and the last, and those that nobody has are dropped.
    """
    if span.players <= sample:
        return await store.list_first_players(conn, max_rows=sample)
    ids = range(span.first_user_id, span.last_user_id + 1)
    wanted = min(len(ids), sample * _TRIES_PER_PLAYER, sample * len(ids) // span.players + 1)
    # A sample for an estimate; nothing is kept secret by it.
    drawn = random.Random(seed).sample(ids, wanted)  # noqa: S311
    found: list[PlayerId] = []
    for begin in range(0, len(drawn), _READ_AT_ONCE * _TRIES_PER_PLAYER):
        part = drawn[begin : begin + _READ_AT_ONCE * _TRIES_PER_PLAYER]
        found += await store.list_players_by_user(
            conn, user_ids=[UserId(user_id) for user_id in part]
        )
    return found


def _make_facts(player: PlayerState, now: datetime.datetime) -> Facts:
    return Facts(player, player.streak, player.balance, now)
