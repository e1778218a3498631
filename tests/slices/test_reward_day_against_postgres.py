"""The rule of reward days, stated once more in SQL, and asked for around every change of a clock.

PostgreSQL reads the tz database with code of its own, so a mistake of ours, or of Python's, shows.
It also has a copy of the data of its own. Where that copy puts a clock elsewhere than ours does,
the two cannot agree: those days are left out of the comparison, and a warning names their zones,
which must be few.
"""

from __future__ import annotations

import datetime
import warnings
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest

from emberkeep.base import clock
from emberkeep.xp.model import AnchorStrategy, ClaimWindow
from emberkeep.xp.rules import reward_day

if TYPE_CHECKING:
    from collections.abc import Iterator

UTC = datetime.UTC
SECOND = datetime.timedelta(seconds=1)
DAY = datetime.timedelta(days=1)
FIRST = datetime.datetime(2000, 1, 1, tzinfo=UTC)
LAST = datetime.datetime(2038, 1, 1, tzinfo=UTC)

# Midnight; times that clocks skip and repeat; the specification's example; a day's last minute.
START_MINUTES = (0, 30, 105, 135, 150, 300, 1439)

# A release of tzdata changes the rules of a few zones. More than this many means that the server's
# data are years old, and that the comparison no longer says much.
MAX_ZONES_THAT_DIFFER = 20

CREATE_QUESTIONS = """
create temp table questions (
    n int primary key,
    zone text not null,
    start_minutes int not null,
    at timestamptz not null,
    utc_offset interval not null
)
"""

# The last date whose boundary has passed, where a boundary is the first instant at which the clock
# shows the window's start or later: that is the latest date that the clock, less the window's
# start, has shown so far. A clock that is put back shows its latest just before, which is asked;
# and by less than three days, so that nothing older can be later.
FIND_DAYS = """
with answers as (
    select
        n,
        zone,
        start_minutes,
        at,
        (at at time zone zone - make_interval(mins => start_minutes))::date as shown_day,
        at at time zone zone - at at time zone 'UTC' = utc_offset as is_comparable
    from questions
)
select
    n,
    max(shown_day) over recently as reward_day,
    bool_and(is_comparable) over recently as is_comparable
from answers
window recently as (
    partition by zone, start_minutes
    order by at
    range between interval '3 days' preceding and current row
)
order by n
"""


class Question(NamedTuple):
    zone: str
    start_minutes: int
    at: datetime.datetime


def list_questions(zone: str) -> Iterator[Question]:
    """Yield instants around all that can matter: boundaries of days, and changes of the clock."""
    for year in range(FIRST.year + 1, LAST.year):
        # The turn of the year, and the end of a February that may be leap.
        for day in (datetime.date(year, 1, 1), datetime.date(year, 3, 1)):
            yield from list_instants_around(reward_day.boundary(day, zone, 0), zone, 0)
    for change in list_changes(zone):
        day = change.astimezone(clock.open_zone(zone)).date()
        for start_minutes in START_MINUTES:
            yield from list_instants_around(change, zone, start_minutes)
            for near in (day - DAY, day, day + DAY):
                opens_at = reward_day.boundary(near, zone, start_minutes)
                yield from list_instants_around(opens_at, zone, start_minutes)


def list_instants_around(
    moment: datetime.datetime, zone: str, start_minutes: int
) -> Iterator[Question]:
    """Yield the last second before `moment`, and `moment`."""
    yield Question(zone, start_minutes, moment - SECOND)
    yield Question(zone, start_minutes, moment)


def list_changes(zone: str) -> Iterator[datetime.datetime]:
    """Yield every instant in [FIRST, LAST) at which `zone` changes its offset."""
    tz = clock.open_zone(zone)
    # No zone has changed its offset twice within a week since 2000.
    step = 7 * DAY
    before = FIRST
    while before < LAST:
        if before.astimezone(tz).utcoffset() != (before + step).astimezone(tz).utcoffset():
            yield find_change(before, before + step, tz)
        before += step


def find_change(
    low: datetime.datetime, high: datetime.datetime, tz: datetime.tzinfo
) -> datetime.datetime:
    """Return the first second in (`low`, `high`] that has the offset of `high`."""
    while high - low > SECOND:
        middle = low + (high - low) // SECOND // 2 * SECOND
        if middle.astimezone(tz).utcoffset() == low.astimezone(tz).utcoffset():
            low = middle
        else:
            high = middle
    return high


def find_day(question: Question) -> datetime.date:
    window = ClaimWindow(
        start_minutes=question.start_minutes,
        duration_hours=24,
        anchor_strategy=AnchorStrategy.ANCHOR_TIMEZONE,
    )
    return reward_day.find_reward_day(at=question.at, time_zone=question.zone, window=window).day


# A warning that names the zones is all that can be done about the server's own data.
@pytest.mark.filterwarnings("default:the server's time-zone data differ:UserWarning")
def test_postgresql_finds_the_same_reward_days(empty_database: str) -> None:
    questions = [q for zone in sorted(clock.canonical_zones()) for q in list_questions(zone)]
    with psycopg.connect(empty_database) as conn:
        conn.execute(CREATE_QUESTIONS)
        with conn.cursor().copy("copy questions from stdin") as copy:
            for n, (zone, start_minutes, at) in enumerate(questions):
                utc_offset = at.astimezone(clock.open_zone(zone)).utcoffset()
                copy.write_row((n, zone, start_minutes, at, utc_offset))
        answers = conn.execute(FIND_DAYS).fetchall()

    zones_that_differ: set[str] = set()
    disagreements: list[tuple[Question, datetime.date]] = []
    for question, (_, day, is_comparable) in zip(questions, answers, strict=True):
        if not is_comparable:
            zones_that_differ.add(question.zone)
        elif find_day(question) != day:
            disagreements.append((question, day))
    assert disagreements == []
    assert len(zones_that_differ) <= MAX_ZONES_THAT_DIFFER, sorted(zones_that_differ)
    if zones_that_differ:
        named = ", ".join(sorted(zones_that_differ))
        warnings.warn(f"the server's time-zone data differ: {named}", stacklevel=1)
