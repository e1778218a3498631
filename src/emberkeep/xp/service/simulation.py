"""Versions of a policy, side by side over what past players did. Nothing is written.

Importing this brings numpy along, which takes a moment: servers and commands do so when they are
asked for a simulation.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from emberkeep.base import db
from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.xp import store
from emberkeep.xp.model import (
    ClaimWindow,
    Contender,
    Noun,
    PlayerChange,
    PlayerId,
    Policy,
    PolicyKey,
    PolicyUnknown,
    PolicyVersion,
    Refusals,
    Season,
    Simulation,
    SimulationInvalid,
    SimulationRunning,
    SimulationSource,
    SimulationTooLarge,
)
from emberkeep.xp.rules import catalogue as catalogues
from emberkeep.xp.rules.policy import parse_policy
from emberkeep.xp.rules.simulation.admission import admit_visits
from emberkeep.xp.rules.simulation.claims import Claims, Ints
from emberkeep.xp.rules.simulation.simulator import Chunk, Simulator
from emberkeep.xp.rules.simulation.visits import read_chunks
from emberkeep.xp.service.catalogue import load_catalogue, to_version
from emberkeep.xp.service.services import XpServices

MAX_CONTENDERS: Final = 16

_ROW: Final = np.dtype([(name, kind) for name, kind in store.COPIED_ROW])
_Rows = npt.NDArray[np.void]
_EPOCH_DAY: Final = datetime.date(2000, 1, 1).toordinal()
_EPOCH_AT: Final = 946_684_800_000_000
_CLAIMS_AT_ONCE: Final = 1_000_000
_LINES_PER_CALL: Final = 10_000

OnProgress = Callable[[int, int | None], None]
"""Told how many lines or claims are done, and of how many if that is known."""


class Span(Noun, frozen=True, kw_only=True):
    """Which reward days are counted, both included; None is an open end."""

    from_day: datetime.date | None = None
    to_day: datetime.date | None = None


class Wish(Noun, frozen=True, kw_only=True):
    """A simulation that somebody asks for: versions of one policy, and a document of it as JSON."""

    policy_key: PolicyKey
    versions: tuple[int, ...]
    document: bytes | None
    span: Span
    sample_percent: int


class Lineup(Noun, frozen=True, kw_only=True):
    """Who is compared, the baseline first, over which calendar."""

    contenders: tuple[Contender, ...]
    seasons: tuple[Season, ...]


def check_span(span: Span) -> None:
    """Let a span pass that has days.

    :raises SimulationInvalid: when it ends before it begins
    """
    errors = list(_list_span_errors(span))
    if errors:
        raise SimulationInvalid("the simulation has no days", errors)


def _list_span_errors(span: Span) -> Iterator[FieldError]:
    if span.from_day is not None and span.to_day is not None and span.to_day < span.from_day:
        yield FieldError("to", f"must not be before {span.from_day}")


async def simulate_wish(xp: XpServices, wish: Wish, *, now: datetime.datetime) -> Simulation:
    """Return what was asked for, replayed over the recorded claims; one at a time.

    :raises SimulationInvalid: with everything that is wrong with the wish itself
    :raises PolicyInvalid: with everything that is wrong with the document
    :raises PolicyUnknown: when there is no such policy, or no such version of it
    :raises SimulationTooLarge: when there are more claims than one request may replay
    :raises SimulationRunning: when this process runs one already
    """
    documents = _check_wish(wish, max_award_xp=xp.max_award_xp)
    if xp.simulating.locked():
        raise SimulationRunning("a simulation is running already")
    # A connection of its own: a snapshot that lasts is nothing for a pool that requests wait for.
    async with xp.simulating, await db.connect(xp.database.dsn) as conn:
        lineup = await find_lineup(
            conn,
            versions=[(wish.policy_key, number) for number in wish.versions],
            documents=documents,
            now=now,
        )
        return await simulate_recorded_claims(
            conn,
            lineup,
            wish.span,
            sample_percent=wish.sample_percent,
            max_claims=xp.max_simulated_claims,
            on_progress=_tell_nobody,
        )


def _check_wish(wish: Wish, *, max_award_xp: int) -> list[Contender]:
    """Return the document, if there is one, as a contender."""
    errors = list(_list_span_errors(wish.span))
    if not wish.versions and wish.document is None:
        errors.append(FieldError("versions", "must name a version where there is no document"))
    documents: list[Contender] = []
    if wish.document is not None:
        policy = parse_policy(wish.document, max_award_xp=max_award_xp)
        documents.append(Contender(name="document", policy=policy))
        if policy.policy_key != wish.policy_key:
            errors.append(FieldError("document.policy_key", f"must be {wish.policy_key}"))
    if errors:
        raise SimulationInvalid("the simulation cannot be run", errors)
    return documents


def _tell_nobody(_done: int, _total: int | None) -> None:
    pass


async def find_lineup(
    conn: Connection,
    *,
    versions: Sequence[tuple[PolicyKey, int]],
    documents: Sequence[Contender],
    now: datetime.datetime,
) -> Lineup:
    """Return the versions, drafts too, and the documents; the version in force comes first.

    That is the one of the first contender's policy. Where none is in force, the first contender is
    the baseline.

    :raises PolicyUnknown: when there is no such policy, or no such version of it
    """
    catalogue = await load_catalogue(conn)
    rows = await store.list_policy_versions(conn)
    known = {
        (version.policy.policy_key, version.policy_version): version
        for version in map(to_version, rows)
    }
    missing = [name for name in versions if name not in known]
    if missing:
        raise PolicyUnknown(
            "these versions do not exist", versions=[f"{key}:{number}" for key, number in missing]
        )
    named = [_name(known[name]) for name in dict.fromkeys(versions)]
    contenders = [*named, *documents]
    policy_key = contenders[0].policy.policy_key
    in_force = catalogues.find_default_version(catalogue, policy_key=policy_key, at=now)
    if in_force is not None:
        baseline = _name(in_force)
        contenders = [baseline, *(other for other in contenders if other != baseline)]
    return Lineup(contenders=tuple(contenders), seasons=catalogue.seasons)


def _name(version: PolicyVersion) -> Contender:
    policy = version.policy
    return Contender(
        name=f"{policy.policy_key}:{version.policy_version}",
        policy=policy,
        policy_version=version.policy_version,
    )


def simulate_activity(
    lines: Iterable[str],
    lineup: Lineup,
    span: Span,
    *,
    latest: datetime.datetime,
    on_progress: OnProgress,
) -> Simulation:
    """Return what the contenders pay for a login history, each by its own claim window.

    The lines are those of `import-activity`, and so is what counts as a claim.

    :raises ActivityInvalid: when a line cannot be read, or a long history is not in order
    """

    def show(line: int) -> None:
        if not line % _LINES_PER_CALL:
            on_progress(line, None)

    windows, places = _list_windows([c.policy.claim_window for c in lineup.contenders])
    simulator = _make_simulator(lineup, span)
    for chunk in read_chunks(lines, windows, latest=latest, on_line=show):
        simulator.feed(chunk.spread(places))
    return simulator.conclude(source=SimulationSource.ACTIVITY)


async def simulate_recorded_claims(
    conn: Connection,
    lineup: Lineup,
    span: Span,
    *,
    sample_percent: int,
    max_claims: int | None,
    on_progress: OnProgress,
) -> Simulation:
    """Return what the contenders pay for the claims that were paid under their policy key.

    Those of one key: that of the baseline. Read in one snapshot, as they stream; the work is done
    in a thread.

    :param conn: in autocommit mode
    :param sample_percent: of the players, always the same ones
    :raises SimulationTooLarge: when more than `max_claims` would have to be replayed
    """
    policy_key = lineup.contenders[0].policy.policy_key
    last_day = span.to_day or datetime.date.max
    simulator = _make_simulator(lineup, span)
    cooldowns, places = _list_windows(
        [_keep_cooldown(c.policy.claim_window) for c in lineup.contenders]
    )
    async with db.snapshot(conn):
        total = await store.count_recorded_claims(
            conn, policy_key=policy_key, last_day=last_day, sample_percent=sample_percent
        )
        if max_claims is not None and total > max_claims:
            raise SimulationTooLarge(
                f"{total:,} claims are recorded; one request replays {max_claims:,} at most",
                claims=total,
                max_claims=max_claims,
            )
        done = 0
        on_progress(done, total)
        copied = store.copy_recorded_claims(
            conn, policy_key=policy_key, last_day=last_day, sample_percent=sample_percent
        )
        async for user_ids, claims in _cut_between_players(copied):
            chunk = await asyncio.to_thread(_admit, user_ids, claims, cooldowns)
            await asyncio.to_thread(simulator.feed, chunk.spread(places))
            done += claims.count
            on_progress(done, total)
        simulation = simulator.conclude(
            source=SimulationSource.RECORDED_CLAIMS,
            sample_percent=sample_percent,
            notes=[
                *_list_notes(lineup),
                *_note_actions(
                    await store.count_other_actions(conn, sample_percent=sample_percent)
                ),
                *_note_archived(
                    await store.find_last_archived_day(conn, sample_percent=sample_percent)
                ),
            ],
        )
        return await _name_players(conn, simulation)


def _make_simulator(lineup: Lineup, span: Span) -> Simulator:
    return Simulator(lineup.contenders, lineup.seasons, from_day=span.from_day, to_day=span.to_day)


def _list_windows(windows: Sequence[ClaimWindow]) -> tuple[list[ClaimWindow], list[int]]:
    """Return the windows there are, and which of them each one given is."""
    distinct = list(dict.fromkeys(windows))
    return distinct, [distinct.index(window) for window in windows]


def _keep_cooldown(window: ClaimWindow) -> ClaimWindow:
    """Return what a window says about claims whose day is settled."""
    return msgspec.structs.replace(window, start_minutes=0, duration_hours=24)


def _list_notes(lineup: Lineup) -> list[str]:
    baseline, *others = lineup.contenders
    usual = _forget_cooldown(baseline.policy)
    return [
        f"{other.name} has another claim window than {baseline.name}; recorded claims keep the"
        " reward days that they were made for"
        for other in others
        if _forget_cooldown(other.policy) != usual
    ]


def _note_actions(count: int) -> list[str]:
    if not count:
        return []
    return [f"{count:,} grants of freezes and repairs of streaks are not replayed"]


def _note_archived(day: datetime.date | None) -> list[str]:
    if day is None:
        return []
    return [f"claims up to {day} were archived and are not replayed"]


def _forget_cooldown(policy: Policy) -> ClaimWindow:
    return msgspec.structs.replace(policy.claim_window, min_cooldown_hours=None)


async def _cut_between_players(
    copied: AsyncIterator[bytes],
) -> AsyncIterator[tuple[list[int], Claims]]:
    """Yield the players whose rows are complete, by our own numbers, and their claims."""
    parts: list[bytes] = []
    size = 0
    async for part in copied:
        parts.append(part)
        size += len(part)
        if size >= _CLAIMS_AT_ONCE * _ROW.itemsize:
            rows: _Rows = np.frombuffer(b"".join(parts), _ROW)
            # The last player may go on; should it be the only one, so must we.
            user_ids: Ints = rows["user_id"].astype(np.int64)
            end = int(np.searchsorted(user_ids, int(user_ids[-1])))
            if end:
                yield _to_claims(rows[:end])
            rest = rows[end:].tobytes()
            parts, size = [rest], len(rest)
    yield _to_claims(np.frombuffer(b"".join(parts), _ROW))


def _to_claims(rows: _Rows) -> tuple[list[int], Claims]:
    user_ids, first = np.unique(rows["user_id"].astype(np.int64), return_index=True)
    excused = rows["excused"].astype(np.int32)
    claims = Claims(
        offsets=np.append(first, len(rows)).astype(np.int64),
        days=(rows["day"] + _EPOCH_DAY).astype(np.int32),
        ats=(rows["at"] + _EPOCH_AT).astype(np.int64),
        excused=excused if excused.any() else None,
    )
    return user_ids.tolist(), claims


def _admit(user_ids: Sequence[int], claims: Claims, cooldowns: Sequence[ClaimWindow]) -> Chunk:
    is_open = np.ones(claims.count, np.bool_)
    admitted = [
        (claims, Refusals())
        if window.min_cooldown_hours is None
        else admit_visits(claims, is_open, window)
        for window in cooldowns
    ]
    return Chunk(
        # Until the end they go by our numbers: while rows stream, nothing else can be asked.
        players=[PlayerId(str(user_id)) for user_id in user_ids],
        claims=[found for found, _ in admitted],
        refused=[refused for _, refused in admitted],
    )


async def _name_players(conn: Connection, simulation: Simulation) -> Simulation:
    """Return the simulation with the platform's names of the players in it."""
    shown = {
        int(change.player_id)
        for comparison in simulation.comparisons
        for change in (*comparison.largest_gains, *comparison.largest_losses)
    }
    user_ids = sorted(shown)
    found = await store.list_player_ids(conn, user_ids=user_ids)
    names = dict(zip(map(str, user_ids), found, strict=True))

    def rename(changes: Iterable[PlayerChange]) -> tuple[PlayerChange, ...]:
        return tuple(
            msgspec.structs.replace(change, player_id=names[change.player_id]) for change in changes
        )

    return msgspec.structs.replace(
        simulation,
        comparisons=tuple(
            msgspec.structs.replace(
                comparison,
                largest_gains=rename(comparison.largest_gains),
                largest_losses=rename(comparison.largest_losses),
            )
            for comparison in simulation.comparisons
        ),
    )
