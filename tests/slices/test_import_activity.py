"""A login history is replayed once, whatever its order and however often it is stopped."""

from __future__ import annotations

import contextlib
import datetime
import random
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emberkeep.xp.model import ActivityInvalid, PolicyUnknown
from emberkeep.xp.rules.activity import find_visits
from emberkeep.xp.service import history
from emberkeep.xp.service.history import ImportReport, import_activity
from tests.claiming import KEY, World, assert_clean, at, claim, make_policy, open_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from emberkeep.base.db import Connection

NOW = at(1000)


class Line(NamedTuple):
    """Something that player number `player` did, at an hour, by a clock ahead of UTC."""

    player: int
    hour: int
    ahead_minutes: int


lines = st.lists(
    st.builds(
        Line,
        player=st.integers(0, 3),
        hour=st.integers(0, 6 * 24),
        ahead_minutes=st.sampled_from([-660, -300, 0, 60, 840]),
    ),
    min_size=1,
    max_size=40,
)
checked = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_numbers = iter(range(10**9))


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


@pytest.fixture
def world(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A database with the plain policy, and batches of three; clean afterwards."""
    monkeypatch.setattr(history, "_VISITS_PER_BATCH", 3)
    world = World(database)
    world.publish(make_policy())
    yield world
    assert_clean(database)


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection like those that claims are written with."""
    async with open_writer(database) as conn:
        yield conn


async def replay(
    conn: Connection,
    lines: Sequence[Line],
    run: int,
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ImportReport:
    """Import `lines`, with players whom no other run has."""
    rows = [
        f"r{run}p{line.player},{at(0, line.hour).isoformat()},{line.ahead_minutes}"
        for line in lines
    ]
    return await import_activity(
        conn,
        lines=["player,occurred_at,utc_offset_minutes", *rows],
        policy_key=KEY,
        server_zone="UTC",
        now=NOW,
        on_progress=on_progress,
    )


def read_all(world: World, lines: Sequence[Line], run: int) -> list[object]:
    """Return what is stored of the players of a run, but for their receipts."""
    trails = [
        world.read_trail(f"r{run}p{player}") for player in sorted({li.player for li in lines})
    ]
    return [
        (
            [award[:2] for award in trail.awards],
            [amount for amount, _ in trail.ledger],
            trail.events,
            trail.balance,
            trail.streak,
        )
        for trail in trails
    ]


@checked
@given(lines=lines)
async def test_a_second_run_changes_nothing(
    world: World, conn: Connection, lines: list[Line]
) -> None:
    run = next(_numbers)
    first = await replay(conn, lines, run)
    before = read_all(world, lines, run)
    second = await replay(conn, lines, run)
    assert read_all(world, lines, run) == before
    assert (second.claims, second.xp) == (0, 0)
    assert second.skipped == first.claims + first.skipped


@checked
@given(lines=lines, stop_at=st.integers(0, 12))
async def test_stopped_anywhere_and_resumed_is_as_good_as_never_stopped(
    world: World, conn: Connection, lines: list[Line], stop_at: int
) -> None:
    calls = iter(range(10_000))

    def stop(_done: int, _total: int) -> None:
        if next(calls) == stop_at:
            raise Stopped

    whole, stopped = next(_numbers), next(_numbers)
    await replay(conn, lines, whole)
    try:
        await replay(conn, lines, stopped, on_progress=stop)
    except Stopped:
        await replay(conn, lines, stopped)
    assert read_all(world, lines, stopped) == read_all(world, lines, whole)


@checked
@given(lines=lines, seed=st.integers(0, 1000))
# At one instant it is two days: by the clock of this line the first, by that of the other the next.
@example(lines=[Line(0, 0, 840), Line(0, 0, -660)], seed=1)
async def test_the_order_of_the_lines_does_not_matter(
    world: World, conn: Connection, lines: list[Line], seed: int
) -> None:
    shuffled = random.Random(seed).sample(lines, len(lines))  # noqa: S311
    one, other, reverse = next(_numbers), next(_numbers), next(_numbers)
    reports = [
        await replay(conn, lines, one),
        await replay(conn, shuffled, other),
        await replay(conn, lines[::-1], reverse),
    ]
    assert read_all(world, lines, one) == read_all(world, lines, other)
    assert read_all(world, lines, one) == read_all(world, lines, reverse)
    assert reports[0] == reports[1] == reports[2]


async def test_a_replayed_player_claims_on_from_where_the_history_ends(
    world: World, conn: Connection
) -> None:
    report = await replay(conn, [Line(0, 0, 0), Line(0, 1, 0), Line(0, 24, 0)], 7_000)
    assert (report.players, report.claims, report.xp) == (1, 2, 200)
    receipt = await claim(conn, "r7000p0", at(2))
    assert (receipt.streak.current, receipt.balance.current) == (3, 300)


async def test_a_history_without_a_policy_is_refused_before_anything_is_written(
    world: World, conn: Connection
) -> None:
    with pytest.raises(PolicyUnknown):
        await import_activity(
            conn,
            lines=["player,occurred_at", "p,2026-03-01T00:00:00Z"],
            policy_key="unheard-of",
            server_zone="UTC",
            now=NOW,
            on_progress=lambda _done, _total: None,
        )
    assert world.execute("select * from xp.xp_users") == []


@pytest.mark.parametrize(("length", "is_taken"), [(255, True), (256, False)])
def test_a_player_has_an_id_that_the_calls_take_too(length: int, is_taken: bool) -> None:
    lines = ["player,occurred_at", f"{'p' * length},2026-03-01T00:00:00Z"]
    with contextlib.nullcontext() if is_taken else pytest.raises(ActivityInvalid):
        assert len(find_visits(lines, make_policy().claim_window, latest=at(10_000))) == 1


async def test_a_day_to_come_is_refused_before_anything_is_written(
    world: World, conn: Connection
) -> None:
    tomorrow = NOW + datetime.timedelta(days=1)
    lines = ["player,occurred_at", f"past,{at(0).isoformat()}", f"ahead,{tomorrow.isoformat()}"]
    with pytest.raises(ActivityInvalid) as refused:
        await import_activity(
            conn,
            lines=lines,
            policy_key=KEY,
            server_zone="UTC",
            now=NOW,
            on_progress=lambda _done, _total: None,
        )
    assert [(e.path, e.message) for e in refused.value.errors] == [
        ("line 3", "occurred_at lies in the future")
    ]
    assert world.execute("select count(*) from xp.xp_users") == [(0,)]
