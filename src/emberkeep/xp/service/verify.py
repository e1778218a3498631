"""Whether everything that XP promises holds, found out without trusting what is to be checked.

Balances are folded from the ledger anew, and streaks from the awards: by the rules in Python, not by
the SQL that wrote them. Safe in production: one read-only snapshot, no locks, rows as they stream.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from emberkeep.base import db
from emberkeep.base.check import Check, Tally
from emberkeep.base.db import Connection
from emberkeep.events import service as events
from emberkeep.events.model import StreamId
from emberkeep.xp import store
from emberkeep.xp.model import (
    Balance,
    Explanation,
    PlayerId,
    Policy,
    PolicyInvalid,
    PolicyKey,
    PolicyStatus,
    Season,
    StreakState,
)
from emberkeep.xp.rules import streak as rules
from emberkeep.xp.rules.balance import add_entry
from emberkeep.xp.rules.claim import explain
from emberkeep.xp.rules.level import FIRST_LEVEL
from emberkeep.xp.service.catalogue import to_version
from emberkeep.xp.service.claims import CLAIMED, stream_of
from emberkeep.xp.service.levels import LEVEL_REACHED
from emberkeep.xp.store import AwardRow, LedgerRow, StreakRow, VersionRow

_BALANCES: Final = "xp: balances equal the ledger"
_LEFT: Final = "xp: ledger rows say the balance that they left"
_PAID: Final = "xp: awards and ledger rows pair up"
_TOLD: Final = "xp: every award has its event"
_LEVELS: Final = "xp: levels are announced once each"
_STREAKS: Final = "xp: streaks equal their last award"
_REBUILT: Final = "xp: awards are what their policy pays"
_ORDERED: Final = "xp: reward days increase with time"
_PARSED: Final = "xp: policies can be read"
_PUBLISHED: Final = "xp: one version of a policy holds at a time"

Policies = Mapping[tuple[PolicyKey, int], Policy]


async def verify_xp(conn: Connection) -> list[Check]:
    """Return every invariant of XP, checked.

    :param conn: in autocommit mode
    """
    async with db.snapshot(conn):
        rows = await store.list_policy_versions(conn)
        policies, parsed = _parse_policies(rows)
        seasons = await store.list_seasons(conn)
        return [
            *await _check_balances(conn),
            await store.check_awards_paid(conn, name=_PAID),
            await _check_events(conn),
            await _check_levels(conn),
            *await _check_histories(conn, policies, seasons),
            parsed,
            _check_publications(rows),
        ]


async def _check_balances(conn: Connection) -> tuple[Check, Check]:
    tally, left = Tally(_BALANCES), Tally(_LEFT)
    player_id: PlayerId | None = None
    stored: Balance | None = None
    folded = Balance()
    async for row in store.stream_ledgers(conn):
        if row.player_id != player_id:
            if player_id is not None:
                tally.count(_compare_balances(player_id, stored, folded))
            player_id, stored, folded = row.player_id, row.balance, Balance()
        if row.amount is not None:
            folded = add_entry(
                folded,
                amount=row.amount,
                season_id=row.season_id,
                affects_lifetime=row.affects_lifetime,
            )
            left.count(_compare_balance_after(row, folded))
    if player_id is not None:
        tally.count(_compare_balances(player_id, stored, folded))
    return tally.conclude(), left.conclude()


def _compare_balance_after(row: LedgerRow, folded: Balance) -> str | None:
    if row.balance_after == folded.current:
        return None
    return f"player {row.player_id}: a row says it left {row.balance_after}, not {folded.current}"


def _compare_balances(player_id: PlayerId, stored: Balance | None, folded: Balance) -> str | None:
    if stored == folded:
        return None
    said = "nothing" if stored is None else _show_balance(stored)
    return f"player {player_id}: the balance says {said}, the ledger {_show_balance(folded)}"


def _show_balance(balance: Balance) -> str:
    figures = (balance.current, balance.lifetime, balance.seasonal, balance.season_id)
    return "/".join(str(figure) for figure in figures)


async def _check_events(conn: Connection) -> Check:
    """Walk through receipts and events side by side: both come in order of receipt."""
    tally = Tally(_TOLD)
    told = events.stream_causes(conn, event_type=CLAIMED)
    cause = await anext(told, None)
    last_receipt_id = ""
    async for receipt_id, player_id in store.stream_receipts(conn):
        found: list[str] = []
        while cause is not None and cause[0] <= receipt_id:
            if cause[0] == receipt_id:
                found.append(cause[1])
            cause = await anext(told, None)
        if receipt_id == last_receipt_id:
            tally.count(f"receipt {receipt_id}: names two awards")
        elif found != [stream_of(player_id)]:
            tally.count(f"receipt {receipt_id}: has {len(found)} events, in {found}")
        else:
            tally.count(None)
        last_receipt_id = receipt_id
    return tally.conclude()


async def _check_levels(conn: Connection) -> Check:
    """Walk through what was announced and what is remembered: both come in order of stream."""
    tally = Tally(_LEVELS)
    remembered = store.stream_highest_levels(conn)
    told = events.stream_data(conn, event_type=LEVEL_REACHED)
    known, fact = await anext(remembered, None), await anext(told, None)
    while known is not None or fact is not None:
        names = [*([stream_of(known[0])] if known else []), *([fact[0]] if fact else [])]
        stream_id = min(names, key=str.encode)
        highest: Mapping[str, int] = {}
        if known is not None and stream_of(known[0]) == stream_id:
            highest = known[1]
            known = await anext(remembered, None)
        levels: dict[str, list[int]] = {}
        while fact is not None and fact[0] == stream_id:
            reached = _read_level(fact[1])
            levels.setdefault(reached.policy_key, []).append(reached.level)
            fact = await anext(told, None)
        tally.count(_compare_levels(stream_id, highest, levels))
    return tally.conclude()


class _Reached(msgspec.Struct, frozen=True):
    """What an event tells of a level; of one that cannot be read, a level that there is not."""

    policy_key: str = ""
    level: int = 0


def _read_level(data: str) -> _Reached:
    try:
        return msgspec.json.decode(data, type=_Reached)
    except msgspec.ValidationError:
        return _Reached()


def _compare_levels(
    stream_id: StreamId, highest: Mapping[str, int], levels: Mapping[str, Sequence[int]]
) -> str | None:
    for key in sorted({*highest, *levels}):
        due = list(range(FIRST_LEVEL + 1, highest.get(key, FIRST_LEVEL) + 1))
        if sorted(levels.get(key, ())) != due:
            found, last = levels.get(key, ()), highest.get(key, FIRST_LEVEL)
            return f"{stream_id}: levels {list(found)} of {key} were told, up to {last} remembered"
    return None


class _Replay:
    """One player's awards, decided again one after the other."""

    def __init__(self, player_id: PlayerId, policies: Policies, seasons: Sequence[Season]) -> None:
        self.player_id = player_id
        self.last: AwardRow | None = None
        self.longest = 0
        self._policies = policies
        self._seasons = seasons
        self._state: StreakState | None = StreakState()

    def find_disorder(self, award: AwardRow) -> str | None:
        """Return what is wrong with the order of `award` and the one before it.

        A replayed history may have two days at one instant, by two clocks.
        """
        if self.last is None or self.last.claimed_at <= award.claimed_at:
            return None
        return (
            f"player {self.player_id}: {award.reward_day_id} was claimed earlier than"
            f" {self.last.reward_day_id}"
        )

    def find_difference(self, award: AwardRow) -> str | None:
        """Decide `award` again; return how it differs, or why that cannot be told."""
        if self._state is None:
            return None  # What stopped the replay is told already.
        policy = self._policies.get((award.policy_key, award.policy_version))
        day = _parse_day(award.reward_day_id)
        if policy is None or day is None:
            self._state = None
            return self._describe(award, "its day or its policy cannot be read")
        step = rules.advance(
            policy,
            self._state,
            day=day,
            at=award.claimed_at,
            has_season_ended=rules.has_season_ended(
                self._seasons, self._state.last_reward_day, day
            ),
        )
        self._state = step.state
        paid = (
            award.xp_awarded,
            award.streak_day,
            award.current,
            award.longest,
            award.grace_used,
            msgspec.json.decode(award.milestones),
            _read_explanation(award),
        )
        due = (
            step.xp_awarded,
            step.effective_day,
            str(step.effective_day),
            str(step.state.longest_streak),
            str(step.state.grace_used),
            [msgspec.to_builtins(milestone) for milestone in step.milestones],
            explain(policy, step, None),
        )
        if paid == due:
            return None
        # Everything after it would differ too, and say nothing new.
        self._state = None
        return self._describe(award, f"paid {paid}, due {due}")

    def take(self, award: AwardRow) -> None:
        """Go on behind `award`."""
        self.last = award
        self.longest = max(self.longest, award.streak_day)

    def compare_streak(self, stored: StreakRow | None) -> str | None:
        """Return how the stored streak differs from the last award."""
        last = self.last
        expected = StreakRow(
            current_streak=0 if last is None else last.streak_day,
            longest_streak=self.longest,
            grace_used=int(last.grace_used) if last is not None and last.grace_used else 0,
            last_reward_day_id=None if last is None else last.reward_day_id,
            model_state="{}" if last is None else last.model_state,
        )
        if stored == expected:
            return None
        return f"player {self.player_id}: the streak says {stored}, the last award {expected}"

    def _describe(self, award: AwardRow, difference: str) -> str:
        return f"player {self.player_id}, {award.reward_day_id}: {difference}"


def _read_explanation(award: AwardRow) -> Explanation | None:
    """Return what the award says of its factors; None where that cannot be read.

    A season may be added when it has begun: earlier awards did not know of it. Whom a segment has
    may have changed since, so what chose the version cannot be told anew.
    """
    try:
        said = msgspec.json.decode(award.explain, type=Explanation)
    except msgspec.ValidationError:
        return None
    return msgspec.structs.replace(said, season_id=None, chosen_by=None)


async def _check_histories(
    conn: Connection, policies: Policies, seasons: Sequence[Season]
) -> tuple[Check, ...]:
    streaks, rebuilt, ordered = Tally(_STREAKS), Tally(_REBUILT), Tally(_ORDERED)
    replay: _Replay | None = None
    stored: StreakRow | None = None
    async for row in store.stream_histories(conn):
        if replay is None or replay.player_id != row.player_id:
            if replay is not None:
                streaks.count(replay.compare_streak(stored))
            replay = _Replay(row.player_id, policies, seasons)
            stored = row.streak
        if row.award is not None:
            ordered.count(replay.find_disorder(row.award))
            rebuilt.count(replay.find_difference(row.award))
            replay.take(row.award)
    if replay is not None:
        streaks.count(replay.compare_streak(stored))
    return streaks.conclude(), rebuilt.conclude(), ordered.conclude()


def _parse_day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def _parse_policies(rows: Sequence[VersionRow]) -> tuple[Policies, Check]:
    tally = Tally(_PARSED)
    policies: dict[tuple[PolicyKey, int], Policy] = {}
    for row in rows:
        try:
            version = to_version(row)
        except (PolicyInvalid, msgspec.ValidationError) as e:
            tally.count(f"{_name(row)}: {e}")
        else:
            policies[version.policy.policy_key, version.policy_version] = version.policy
            tally.count(None)
    return policies, tally.conclude()


def _check_publications(rows: Sequence[VersionRow]) -> Check:
    tally = Tally(_PUBLISHED)
    for key in sorted({str(row.document["policy_key"]) for row in rows}):
        versions = [row for row in rows if row.document["policy_key"] == key]
        tally.count(next(_list_clashes(versions), None))
    return tally.conclude()


def _list_clashes(versions: Sequence[VersionRow]) -> Iterator[str]:
    published = [_name(row) for row in versions if row.status is PolicyStatus.PUBLISHED]
    if len(published) > 1:
        yield f"published at once: {', '.join(published)}"
    end_of_time = datetime.datetime.max.replace(tzinfo=datetime.UTC)
    spans = sorted(
        (row.effective_at, row.superseded_at or end_of_time, _name(row))
        for row in versions
        if row.effective_at is not None and row.effective_at != row.superseded_at
    )
    for (_, ends_at, name), (begins_at, _, next_name) in pairwise(spans):
        if begins_at < ends_at:
            yield f"in force at once: {name}, {next_name}"


def _name(row: VersionRow) -> str:
    return f"{row.document['policy_key']} version {row.policy_version}"
