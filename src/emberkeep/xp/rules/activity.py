"""A login history from a file: lines in, one visit per player and reward day out. Pure."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    ActivityInvalid,
    ClaimWindow,
    InstantOutOfRange,
    LocalClock,
    Noun,
    PlayerId,
    RewardDay,
    TimeZoneUnknown,
    UtcOffsetInvalid,
)
from emberkeep.xp.rules import reward_day
from emberkeep.xp.rules.player import MAX_ID_CHARACTERS

_NEEDED: Final = ("player", "occurred_at")
_CLOCKS: Final = ("utc_offset_minutes", "time_zone")
_MAX_ERRORS: Final = 20
_MAX_OFFSET_MINUTES: Final = 24 * 60


class Visit(Noun, frozen=True):
    """The first activity of a player on a reward day, and the clock that day was read from."""

    player_id: PlayerId
    at: datetime.datetime
    clock: LocalClock


def find_visits(
    lines: Iterable[str], window: ClaimWindow, *, latest: datetime.datetime
) -> list[Visit]:
    """Return the first activity of every player and reward day, by player and then by time.

    The lines may be in any order. Memory grows with the player-days, not with the lines.

    :param lines: CSV with the columns player, occurred_at and, if given, one of utc_offset_minutes
        and time_zone; without either, days are those of UTC
    :param latest: no activity is later: a day to come, once claimed, would shut the player out
    :raises ActivityInvalid: with the first lines that cannot be read
    """
    first: dict[tuple[PlayerId, datetime.date], Visit] = {}
    for _, visit, (today,) in read_visits(lines, (window,), latest=latest):
        known = first.get((visit.player_id, today.day))
        if known is None or _rank(visit) < _rank(known):
            first[visit.player_id, today.day] = visit
    # By different clocks one instant is in two days: the earlier one goes first.
    ordered = sorted(first.items(), key=lambda item: (item[1].player_id, item[1].at, item[0][1]))
    return [visit for _, visit in ordered]


def read_visits(
    lines: Iterable[str], windows: Sequence[ClaimWindow], *, latest: datetime.datetime
) -> Iterator[tuple[int, Visit, list[RewardDay]]]:
    """Yield the number of each line, what it says, and its reward day under each of `windows`.

    The lines are those of `find_visits`. Those before the first that cannot be read may have been
    yielded when that is known.

    :raises ActivityInvalid: with the first lines that cannot be read
    """
    errors: list[FieldError] = []
    for number, row in _read_rows(lines):
        try:
            visit = _read_visit(row)
            if visit.at > latest:
                raise ValueError("occurred_at lies in the future")
            days = [_find_day(visit, window) for window in windows]
        except (TimeZoneUnknown, UtcOffsetInvalid, InstantOutOfRange) as e:
            errors.append(FieldError(f"line {number}", e.message))
        except ValueError as e:
            errors.append(FieldError(f"line {number}", str(e)))
        else:
            yield number, visit, days
        if len(errors) == _MAX_ERRORS:
            break
    if errors:
        raise ActivityInvalid("the login history cannot be read", errors)


def _rank(visit: Visit) -> tuple[datetime.datetime, str]:
    """Return what the first of a day's visits is found by: the order of the lines has no say."""
    return visit.at, str(visit.clock)


def _read_rows(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    rows = csv.reader(lines, strict=True)
    try:
        header = next(rows, list[str]())
        _check_header(header)
        for row in rows:
            if len(row) != len(header):
                message = f"has {len(row)} values where the header names {len(header)}"
                raise ActivityInvalid(
                    "the login history cannot be read",
                    [FieldError(f"line {rows.line_num}", message)],
                )
            yield rows.line_num, dict(zip(header, row, strict=True))
    except csv.Error as e:
        error = FieldError(f"line {rows.line_num}", f"is not CSV: {e}")
        raise ActivityInvalid("the login history cannot be read", [error]) from e


def _check_header(header: Sequence[str]) -> None:
    known = {*_NEEDED, *_CLOCKS}
    messages = [f"needs the column {name}" for name in _NEEDED if name not in header]
    messages += [f"has the unknown column {name[:64]!r}" for name in header if name not in known]
    if len(set(header)) != len(header):
        messages.append("names a column twice")
    if all(name in header for name in _CLOCKS):
        messages.append("names two clocks: utc_offset_minutes and time_zone")
    if messages:
        errors = [FieldError("line 1", message) for message in messages]
        raise ActivityInvalid("the login history cannot be read", errors)


def _read_visit(row: dict[str, str]) -> Visit:
    player_id = row["player"]
    if not 0 < len(player_id) <= MAX_ID_CHARACTERS or not player_id.isprintable():
        raise ValueError(f"player must be 1 to {MAX_ID_CHARACTERS} printable characters")
    return Visit(PlayerId(player_id), _read_instant(row["occurred_at"]), _read_clock(row))


def _read_instant(text: str) -> datetime.datetime:
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"occurred_at is not an instant: {text[:64]!r}") from None
    if at.tzinfo is None:
        raise ValueError(f"occurred_at needs an offset, such as Z: {text[:64]!r}")
    return at


def _read_clock(row: dict[str, str]) -> LocalClock:
    if "time_zone" in row:
        return reward_day.check_time_zone(row["time_zone"])
    text = row.get("utc_offset_minutes", "0")
    if not text.removeprefix("-").isdecimal() or abs(int(text)) >= _MAX_OFFSET_MINUTES:
        raise ValueError(f"utc_offset_minutes is not an offset in minutes: {text[:64]!r}")
    return int(text)


def _find_day(visit: Visit, window: ClaimWindow) -> RewardDay:
    if isinstance(visit.clock, int):
        return reward_day.find_reward_day_at_offset(visit.at, visit.clock, window)
    return reward_day.find_reward_day(at=visit.at, time_zone=visit.clock, window=window)
