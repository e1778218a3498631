"""Whether everything that XP promises holds, found out without trusting what is to be checked.

Balances are folded from the ledger anew, and streaks from awards and actions: by the rules in Python,
not by the SQL that wrote them. Safe in production: one read-only snapshot, no locks, rows as they
stream.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from emberkeep.base import db
from emberkeep.base.check import Check, Tally
from emberkeep.base.db import Connection
from emberkeep.events import service as events
from emberkeep.xp import store
from emberkeep.xp.model import PolicyStatus
from emberkeep.xp.service.catalogue import name_version, read_policies
from emberkeep.xp.service.claims import CLAIMED, stream_of
from emberkeep.xp.service.verify_balances import check_balances
from emberkeep.xp.service.verify_levels import check_levels
from emberkeep.xp.service.verify_streaks import check_streaks
from emberkeep.xp.store import VersionRow

_SEASONS: Final = "xp: seasons' totals equal the ledger"
_PAID: Final = "xp: awards and ledger rows pair up"
_TOLD: Final = "xp: every award has its event"
_PARSED: Final = "xp: policies can be read"
_PUBLISHED: Final = "xp: one version of a policy holds at a time"


async def verify_xp(conn: Connection) -> list[Check]:
    """Return every invariant of XP, checked.

    :param conn: in autocommit mode
    """
    async with db.snapshot(conn):
        rows = await store.list_policy_versions(conn)
        policies, broken = read_policies(rows)
        seasons = await store.list_seasons(conn)
        return [
            *await check_balances(conn),
            await store.check_season_totals(conn, name=_SEASONS),
            await store.check_awards_paid(conn, name=_PAID),
            await _check_events(conn),
            await check_levels(conn),
            *await check_streaks(conn, policies, seasons),
            _check_parsed(rows, broken),
            _check_publications(rows),
        ]


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


def _check_parsed(rows: Sequence[VersionRow], broken: Mapping[str, str]) -> Check:
    tally = Tally(_PARSED)
    for row in rows:
        name = name_version(row)
        tally.count(f"{name}: {broken[name]}" if name in broken else None)
    return tally.conclude()


def _check_publications(rows: Sequence[VersionRow]) -> Check:
    tally = Tally(_PUBLISHED)
    for key in sorted({str(row.document["policy_key"]) for row in rows}):
        versions = [row for row in rows if row.document["policy_key"] == key]
        tally.count(next(_list_clashes(versions), None))
    return tally.conclude()


def _list_clashes(versions: Sequence[VersionRow]) -> Iterator[str]:
    published = [name_version(row) for row in versions if row.status is PolicyStatus.PUBLISHED]
    if len(published) > 1:
        yield f"published at once: {', '.join(published)}"
    end_of_time = datetime.datetime.max.replace(tzinfo=datetime.UTC)
    spans = sorted(
        (row.effective_at, row.superseded_at or end_of_time, name_version(row))
        for row in versions
        if row.effective_at is not None and row.effective_at != row.superseded_at
    )
    for (_, ends_at, name), (begins_at, _, next_name) in pairwise(spans):
        if begins_at < ends_at:
            yield f"in force at once: {name}, {next_name}"
