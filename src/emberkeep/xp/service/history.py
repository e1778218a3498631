"""Replay a login history through the claim path, as if every player had claimed on every visit.

Safe to stop and to run again: a day that was claimed is skipped, whoever claimed it.
"""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import msgspec

from emberkeep.base.db import Connection
from emberkeep.base.errors import EmberkeepError
from emberkeep.xp import store
from emberkeep.xp.model import ClaimRequest, ClaimStatus, Noun, PlayerId, PolicyKey, Receipt
from emberkeep.xp.rules import activity
from emberkeep.xp.rules.activity import Visit
from emberkeep.xp.rules.catalogue import find_version
from emberkeep.xp.service.attempt import write_atomically
from emberkeep.xp.service.catalogue import load_catalogue
from emberkeep.xp.service.claims import claim_batch

# Large enough that round trips do not count, small enough that a progress bar moves.
_VISITS_PER_BATCH = 1000

_UTC_ZONE = "UTC"


class ImportReport(Noun, frozen=True, kw_only=True):
    """What a replay came to; `skipped` and `refused` count player-days."""

    players: int = 0
    claims: int = 0
    skipped: int = 0
    refused: int = 0
    xp: int = 0
    seconds: float = 0.0


async def import_activity(
    conn: Connection,
    *,
    lines: Iterable[str],
    policy_key: PolicyKey,
    server_zone: str,
    now: datetime.datetime,
    on_progress: Callable[[int, int], None],
) -> ImportReport:
    """Claim each player's days in `lines`, under the policy that is in force at `now`.

    :param conn: in autocommit mode; every batch is a transaction of its own
    :param on_progress: called with the player-days done, and how many there are
    :raises ActivityInvalid: when a line cannot be read; nothing was written then
    :raises PolicyUnknown, PolicyNotInForce: when there is nothing to decide by
    :raises PlayerBusy: when live claims of the same players came in the way each time
    """
    catalogue = await load_catalogue(conn)
    version, _ = find_version(catalogue, policy_key=policy_key, facts=None, at=now)
    visits = activity.find_visits(lines, version.policy.claim_window, latest=now)
    report = ImportReport(players=len({visit.player_id for visit in visits}))
    done = 0
    on_progress(done, len(visits))
    for batch in _batches(visits):
        await _create_players(conn, batch, now=now)
        requests = [
            ClaimRequest(
                player_id=visit.player_id,
                policy_key=policy_key,
                at=visit.at,
                now=now,
                local_clock=visit.clock,
            )
            for visit in batch
        ]
        # A claim made meanwhile by a live player makes the batch stale; it is decided again.
        answers, catalogue = await write_atomically(
            conn,
            functools.partial(
                claim_batch,
                conn,
                requests=requests,
                catalogue=catalogue,
                server_zone=server_zone,
                now=now,
            ),
        )
        report = _add(report, answers)
        done += len(batch)
        on_progress(done, len(visits))
    return report


def _batches(visits: list[Visit]) -> Iterator[list[Visit]]:
    remaining = iter(visits)
    while batch := list(itertools.islice(remaining, _VISITS_PER_BATCH)):
        yield batch


async def _create_players(
    conn: Connection, visits: Iterable[Visit], *, now: datetime.datetime
) -> None:
    """Create the players that are new, in the zone of their first visit; an offset is no zone."""
    zones: dict[PlayerId, str] = {}
    for visit in visits:
        zones.setdefault(
            visit.player_id, visit.clock if isinstance(visit.clock, str) else _UTC_ZONE
        )
    await store.insert_missing_players(conn, zones=zones, now=now)


def _add(report: ImportReport, answers: Iterable[Receipt | EmberkeepError]) -> ImportReport:
    claims = skipped = refused = xp = 0
    for answer in answers:
        if isinstance(answer, EmberkeepError):
            refused += 1
        elif answer.status is ClaimStatus.NEW:
            claims += 1
            xp += answer.xp_awarded
        else:
            skipped += 1
    return msgspec.structs.replace(
        report,
        claims=report.claims + claims,
        skipped=report.skipped + skipped,
        refused=report.refused + refused,
        xp=report.xp + xp,
    )
