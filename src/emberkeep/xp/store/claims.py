"""Claims: the players before them, and the rows that they leave."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from emberkeep.base import sql
from emberkeep.base.db import Connection
from emberkeep.xp.model import (
    Award,
    Balance,
    BalanceFigures,
    Explanation,
    LevelFigures,
    Milestone,
    PlayerId,
    PlayerState,
    SegmentKey,
    StreakFigures,
    StreakState,
    UserId,
)
from emberkeep.xp.store.statements import SQL, decode_object

_NO_MODEL_STATE: Mapping[str, object] = {}
_EMPTY_JSON = "{}"


class _Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The part of an award that is kept as JSON in `model_state_snapshot`."""

    streak: StreakFigures
    balance: BalanceFigures
    explain: Explanation
    model_state: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])
    segment: SegmentKey | None = None
    milestones: tuple[Milestone, ...] = ()
    level: LevelFigures | None = None


class ClaimRow(msgspec.Struct, frozen=True, gc=False):
    """An award to be written, and what the claim left behind.

    `before` is the player as read, on the last claim of each player in the batch; and
    `highest_levels` are those announced by then, where that has changed.
    """

    user_id: UserId
    award: Award
    model_state: Mapping[str, object]
    levels_reached: tuple[int, ...]
    before: PlayerState | None
    highest_levels: Mapping[str, int] | None


_NO_LEVELS: Mapping[str, int] = {}

_encode_snapshot = _encode_levels = msgspec.json.Encoder().encode
_decode_levels = msgspec.json.Decoder(dict[str, int]).decode
_decode_snapshot = msgspec.json.Decoder(_Snapshot).decode


async def read_player_states(
    conn: Connection, *, player_ids: Sequence[PlayerId]
) -> tuple[list[PlayerState], int | None]:
    """Return the players that exist, and the catalogue's revision; None where there is no player."""
    cursor = conn.cursor(binary=True)
    await cursor.execute(SQL["read_player_states"], {"player_ids": sql.text_array(player_ids)})
    rows = await cursor.fetchall()
    return [_to_player_state(row) for row in rows], rows[0][-1] if rows else None


def _to_player_state(row: tuple[Any, ...]) -> PlayerState:
    (
        user_id,
        player_id,
        reward_tz,
        next_reward_tz,
        next_reward_tz_at,
        segment_key,
        segment_keys,
        attributes_json,
        created_at,
        current_streak,
        longest_streak,
        grace_used,
        last_reward_day_id,
        model_state,
        action_count,
        current_balance,
        lifetime_xp,
        seasonal_xp,
        season_id,
        highest_levels,
        _,
    ) = row
    return PlayerState(
        user_id=user_id,
        player_id=player_id,
        reward_tz=reward_tz,
        next_reward_tz=next_reward_tz,
        next_reward_tz_at=next_reward_tz_at,
        segment_key=segment_key,
        segment_keys=tuple(segment_keys),
        attributes_json=attributes_json,
        created_at=created_at,
        streak=StreakState(
            current_streak=current_streak,
            longest_streak=longest_streak,
            grace_used=grace_used,
            last_reward_day=(
                None
                if last_reward_day_id is None
                else datetime.date.fromisoformat(last_reward_day_id)
            ),
            model_state=(
                _NO_MODEL_STATE if model_state == _EMPTY_JSON else decode_object(model_state)
            ),
        ),
        action_count=action_count,
        balance=Balance(
            current=current_balance,
            lifetime=lifetime_xp,
            seasonal=seasonal_xp,
            season_id=season_id,
        ),
        highest_levels=(
            _NO_LEVELS if highest_levels == _EMPTY_JSON else _decode_levels(highest_levels)
        ),
    )


async def insert_claims(conn: Connection, *, claims: Sequence[ClaimRow], revision: int) -> None:
    """Write a batch of claims that were decided by the catalogue's `revision`.

    The error of a stale player, or of a stale catalogue, rises where the pipeline ends.
    """
    awards = [claim.award for claim in claims]
    before = [claim.before for claim in claims]
    await conn.execute(
        SQL["insert_claims"],
        {
            "user_ids": sql.array(claim.user_id for claim in claims),
            "reward_day_ids": sql.array(a.reward_day for a in awards),
            "xp_awarded": sql.array(a.xp_awarded for a in awards),
            "streak_days": sql.array(a.streak.current for a in awards),
            "longest_streaks": sql.array(a.streak.longest for a in awards),
            "graces_used": sql.array(a.streak.grace_used for a in awards),
            "policy_keys": sql.array(a.policy_key for a in awards),
            "policy_versions": sql.array(a.policy_version for a in awards),
            "receipt_ids": sql.array(a.receipt_id for a in awards),
            "season_ids": sql.text_array(a.explain.season_id for a in awards),
            "claimed_ats": sql.array(a.claimed_at for a in awards),
            "snapshots": sql.text_array(_to_snapshot(claim) for claim in claims),
            "balances_after": sql.array(a.balance.current for a in awards),
            "highest_levels": sql.text_array(_to_levels(claim) for claim in claims),
            "are_last": sql.array(player is not None for player in before),
            "prior_reward_day_ids": sql.array(p and p.streak.last_reward_day for p in before),
            "prior_action_counts": sql.array(p and p.action_count for p in before),
            "prior_balances": sql.array(p and p.balance.current for p in before),
            "prior_lifetimes": sql.array(p and p.balance.lifetime for p in before),
            "prior_seasonals": sql.array(p and p.balance.seasonal for p in before),
            "prior_highest_levels": sql.text_array(_to_prior_levels(claim) for claim in claims),
            "players": sum(player is not None for player in before),
            "revision": revision,
        },
    )


def _to_levels(claim: ClaimRow) -> str | None:
    return None if claim.highest_levels is None else _encode_levels(claim.highest_levels).decode()


def _to_prior_levels(claim: ClaimRow) -> str | None:
    if claim.highest_levels is None or claim.before is None:
        return None
    return _encode_levels(claim.before.highest_levels).decode()


def _to_day_id(day: datetime.date | None) -> str | None:
    return None if day is None else day.isoformat()


def _to_snapshot(claim: ClaimRow) -> str:
    award = claim.award
    return _encode_snapshot(
        _Snapshot(
            streak=award.streak,
            balance=award.balance,
            explain=award.explain,
            model_state=claim.model_state,
            segment=award.segment,
            milestones=award.milestones,
            level=award.level,
        )
    ).decode()


async def read_awards(
    conn: Connection, *, keys: Sequence[tuple[UserId, datetime.date]]
) -> dict[tuple[UserId, datetime.date], Award]:
    """Return the awards of these players and days, by player and day."""
    cursor = await conn.execute(
        SQL["read_awards"],
        {
            "user_ids": [user_id for user_id, _ in keys],
            "reward_day_ids": [_to_day_id(day) for _, day in keys],
        },
    )
    awards: dict[tuple[UserId, datetime.date], Award] = {}
    for row in await cursor.fetchall():
        award = to_award(row)
        awards[row[0], award.reward_day] = award
    return awards


def to_award(row: tuple[Any, ...]) -> Award:
    """Return the award that `row` holds."""
    _, day_id, xp_awarded, policy_key, policy_version, receipt_id, snapshot_text, created_at = row
    snapshot = _decode_snapshot(snapshot_text)
    return Award(
        receipt_id=receipt_id,
        reward_day=datetime.date.fromisoformat(day_id),
        claimed_at=created_at,
        xp_awarded=xp_awarded,
        streak=snapshot.streak,
        policy_key=policy_key,
        policy_version=policy_version,
        segment=snapshot.segment,
        milestones=snapshot.milestones,
        balance=snapshot.balance,
        level=snapshot.level,
        explain=snapshot.explain,
    )


async def insert_missing_players(
    conn: Connection, *, zones: Mapping[PlayerId, str], now: datetime.datetime
) -> None:
    """Create the players of `zones`, each in its time zone, that are not there yet."""
    await conn.execute(
        SQL["insert_missing_players"],
        {"player_ids": list(zones), "zones": list(zones.values()), "now": now},
    )
