"""Whether every level that a player reached was announced, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from emberkeep.base.check import Check, Tally
from emberkeep.base.db import Connection
from emberkeep.events import service as events
from emberkeep.events.model import StreamId
from emberkeep.xp import store
from emberkeep.xp.rules.level import FIRST_LEVEL
from emberkeep.xp.service.claims import stream_of
from emberkeep.xp.service.levels import LEVEL_REACHED

_LEVELS: Final = "xp: levels are announced once each"


async def check_levels(conn: Connection) -> Check:
    """Return whether every level was told of that is remembered, and no other.

    Walks through what was announced and what is remembered: both come in order of
    stream.
    """
    tally = Tally(_LEVELS)
    remembered = store.stream_highest_levels(conn)
    told = events.stream_data(conn, event_type=LEVEL_REACHED)
    known, fact = await anext(remembered, None), await anext(told, None)
    while known is not None or fact is not None:
        names = [*([stream_of(known[0])] if known else []), *([fact[0]] if fact else [])]
        stream_id = min(names, key=str.encode)
        highest: Mapping[str, int] | None = {}
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
    stream_id: StreamId, highest: Mapping[str, int] | None, levels: Mapping[str, Sequence[int]]
) -> str | None:
    if highest is None:
        return f"{stream_id}: what is remembered of levels cannot be read"
    for key in sorted({*highest, *levels}):
        due = list(range(FIRST_LEVEL + 1, highest.get(key, FIRST_LEVEL) + 1))
        if sorted(levels.get(key, ())) != due:
            found, last = levels.get(key, ()), highest.get(key, FIRST_LEVEL)
            return f"{stream_id}: levels {list(found)} of {key} were told, up to {last} remembered"
    return None
