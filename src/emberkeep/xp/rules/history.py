"""The streak engine over a written history: days in, a line of JSON values out per day."""

from __future__ import annotations

import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import HistoryInvalid, Noun, Season, StreakState
from emberkeep.xp.rules import document
from emberkeep.xp.rules.document import Reader, format_scaled
from emberkeep.xp.rules.streak import advance, has_season_ended

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emberkeep.xp.model import Policy, Step

_PPT_DIGITS: Final = 12
_JSON_STARTS: Final = ("{", '"')


class Visit(Noun, frozen=True, kw_only=True):
    """A claim for a reward day. Without an instant, it is made as that day begins in UTC."""

    day: datetime.date
    at: datetime.datetime | None = None


def parse_visits(text: bytes | str) -> tuple[Visit, ...]:
    """Return the visits in `text`: a JSON list, or one a line; a day, or `{"day", "at"}`.

    :raises HistoryInvalid: with every entry that cannot be read or is earlier than the one before
    """
    reader = Reader(hooks={Visit: _read_visit}, checks={})
    visits = [(path, _read_visit(reader, raw, path)) for path, raw in _list_entries(text)]
    reader.errors.extend(_check_order(visits))
    if reader.errors:
        raise HistoryInvalid("the days cannot be used", reader.errors)
    return tuple(visit for _, visit in visits if isinstance(visit, Visit))


def parse_seasons(text: bytes | str) -> tuple[Season, ...]:
    """Return the seasons in `text`, a JSON list of `{"season_id", "start_date", "end_date"}`.

    :raises HistoryInvalid: with everything that cannot be read
    """
    reader = Reader(hooks={}, checks={Season: _check_season})
    entries = _list_json(text)
    seasons = [reader.read_noun(Season, raw, path) for path, raw in entries]
    if reader.errors:
        raise HistoryInvalid("the seasons cannot be used", reader.errors)
    return tuple(season for season in seasons if isinstance(season, Season))


def evaluate(
    policy: Policy, visits: Iterable[Visit], seasons: Sequence[Season] = ()
) -> Iterator[dict[str, object]]:
    """Yield what each visit pays, as JSON values; a day that is visited again answers again.

    :param visits: in order of their days
    """
    state = StreakState()
    line: dict[str, object] = {}
    opens = datetime.timedelta(minutes=policy.claim_window.start_minutes)
    for visit in visits:
        if visit.day != state.last_reward_day:
            step = advance(
                policy,
                state,
                day=visit.day,
                at=visit.at or _midnight_utc(visit.day) + opens,
                has_season_ended=has_season_ended(seasons, state.last_reward_day, visit.day),
            )
            state, line = step.state, _render_step(step, visit.day)
        yield line


def _render_step(step: Step, day: datetime.date) -> dict[str, object]:
    return {
        "reward_day_id": day.isoformat(),
        "effective_day": step.effective_day,
        "xp_awarded": step.xp_awarded,
        "multiplier": format_scaled(step.multiplier_ppt, _PPT_DIGITS),
        "additive_bonus_xp": step.additive_bonus_xp,
        "grace_applied": step.grace_applied,
        "milestones": [msgspec.to_builtins(milestone) for milestone in step.milestones],
        "state": {
            "current_streak": step.state.current_streak,
            "longest_streak": step.state.longest_streak,
            "grace_used": step.state.grace_used,
        },
    }


def _midnight_utc(day: datetime.date) -> datetime.datetime:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC)


def _list_entries(text: bytes | str) -> list[tuple[str, object]]:
    """Return (where it stands, its JSON value) of every entry of a list or of lines."""
    lines = _to_text(text)
    if lines.lstrip().startswith("["):
        return _list_json(lines)
    entries = [
        (f"line {number}", line.strip())
        for number, line in enumerate(lines.splitlines(), start=1)
        if line.strip()
    ]
    return [
        (path, _decode(line, path) if line.startswith(_JSON_STARTS) else line)
        for path, line in entries
    ]


def _list_json(text: bytes | str) -> list[tuple[str, object]]:
    entries = _decode(_to_text(text), document.ROOT)
    if not isinstance(entries, list):
        raise _unreadable(document.ROOT, "must be a list")
    return [(f"[{index}]", entry) for index, entry in enumerate(cast("list[object]", entries))]


def _to_text(text: bytes | str) -> str:
    try:
        return text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise _unreadable(f"byte {e.start}", "is not UTF-8") from e


def _decode(text: str, path: str) -> object:
    try:
        return document.decode(text)
    except document.NotJson as e:
        raise _unreadable(path, f"is not JSON: {e}") from e


def _unreadable(path: str, message: str) -> HistoryInvalid:
    return HistoryInvalid("the file cannot be read", [FieldError(path, message)])


def _read_visit(reader: Reader, raw: object, path: str) -> object:
    if isinstance(raw, str):
        return reader.read_noun(Visit, {"day": raw}, path)
    return reader.read_noun(Visit, raw, path)


def _check_order(visits: Sequence[tuple[str, object]]) -> Iterator[FieldError]:
    read = [(path, visit) for path, visit in visits if isinstance(visit, Visit)]
    for (_, before), (path, visit) in pairwise(read):
        if visit.day < before.day:
            yield FieldError(path, f"{visit.day} is earlier than {before.day} before it")


def _check_season(season: Any, path: str) -> Iterator[FieldError]:
    if season.start_date is None or season.end_date is None:
        return
    if season.end_date < season.start_date:
        yield FieldError(f"{path}.end_date", "must not be before start_date")
