"""What differs between two policy documents: changed values only, each at its path. Pure.

Rows of a list are told by what names them, not by where they stand: a row that is put in between
is one change, not a change of every row behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from emberkeep.xp.model import Change
from emberkeep.xp.rules import document

_KEYS: Final[Mapping[str, str]] = {
    "streak_curve": "day_index",
    "seasonal_boosts": "label",
    "streak_model.parameters.tiers": "start_day",
    "streak_model.parameters.milestones": "day",
}
"""By the path of a list: the field that names its rows."""


def diff_documents(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Change, ...]:
    """Return the changes that make `after` of `before`, both as `render_policy` makes them."""
    return tuple(_diff(document.ROOT, before, after))


def _diff(path: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _diff_objects(
            path, cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        )
    elif isinstance(before, list) and isinstance(after, list) and path in _KEYS:
        yield from _diff_rows(path, cast("list[Any]", before), cast("list[Any]", after))
    else:
        yield Change(path, cast("object", before), cast("object", after))


def _diff_objects(
    path: str, before: Mapping[str, object], after: Mapping[str, object]
) -> Iterator[Change]:
    for name in {**before, **after}:
        yield from _diff(document.join(path, name), before.get(name), after.get(name))


def _diff_rows(
    path: str, before: Sequence[Mapping[str, object]], after: Sequence[Mapping[str, object]]
) -> Iterator[Change]:
    old, new = _name_rows(path, before), _name_rows(path, after)
    for name in {**old, **new}:
        yield from _diff(f"{path}[{name}]", old.get(name), new.get(name))


def _name_rows(path: str, rows: Sequence[Mapping[str, object]]) -> dict[str, Mapping[str, object]]:
    """Return the rows by name; labels may repeat, and those after the first are counted."""
    named: dict[str, Mapping[str, object]] = {}
    seen: Counter[str] = Counter()
    for row in rows:
        name = msgspec.json.encode(row[_KEYS[path]]).decode()
        seen[name] += 1
        named[name if seen[name] == 1 else f"{name}#{seen[name]}"] = row
    return named
