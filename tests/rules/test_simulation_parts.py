"""What a simulation is made of: which visits are paid, what is kept, and who gains the most."""

from __future__ import annotations

import datetime

import msgspec
import numpy as np
import pytest

from emberkeep.xp.model import ClaimWindow, PlayerId, Refusals
from emberkeep.xp.rules.simulation.admission import admit_visits
from emberkeep.xp.rules.simulation.claims import Claims
from emberkeep.xp.rules.simulation.comparison import Comparing
from emberkeep.xp.rules.simulation.visits import read_chunks
from tests.claiming import at, make_policy

HOUR = 3_600_000_000
WINDOW = make_policy(cooldown_hours=9).claim_window


def make_visits(*visits: tuple[int, int], excused: tuple[int, ...] | None = None) -> Claims:
    """Return one player's visits: (day, hour)."""
    return Claims(
        offsets=np.array([0, len(visits)], np.int64),
        days=np.array([day for day, _ in visits], np.int32),
        ats=np.array([hour * HOUR for _, hour in visits], np.int64),
        excused=None if excused is None else np.array(excused, np.int32),
    )


@pytest.mark.parametrize(
    ("visits", "closed", "paid", "refused"),
    [
        pytest.param([(1, 0), (2, 9)], [], [1, 2], Refusals(), id="rested to the hour"),
        pytest.param([(1, 0), (2, 8)], [], [1], Refusals(cooldown=1), id="too soon"),
        # The second visit was not paid, so nobody has to rest from it.
        pytest.param([(1, 0), (2, 7), (3, 13)], [], [1, 3], Refusals(cooldown=1), id="both rest"),
        pytest.param([(2, 0), (1, 40)], [], [2], Refusals(day_passed=1), id="back over the line"),
        # What is refused does not use its day up: a day before it can still be claimed.
        pytest.param([(2, 0), (1, 40)], [0], [1], Refusals(window_closed=1), id="closed"),
    ],
)
def test_visits_are_paid_in_the_order_of_the_claim_path(
    visits: list[tuple[int, int]], closed: list[int], paid: list[int], refused: Refusals
) -> None:
    is_open = np.array([place not in closed for place in range(len(visits))])
    admitted, why = admit_visits(make_visits(*visits), is_open, WINDOW)
    assert (admitted.days.tolist(), why) == (paid, refused)
    assert admitted.offsets.tolist() == [0, len(paid)]


def test_excused_days_before_a_claim_that_is_left_out_count_for_the_next() -> None:
    visits = make_visits((1, 0), (5, 0), (9, 0), excused=(0, 3, 2))
    kept = visits.keep(np.array([True, False, True]))
    assert kept.excused is not None
    assert kept.excused.tolist() == [0, 5]


def compare(changes: list[int], *, blocks: int = 1) -> Comparing:
    comparing = Comparing("other")
    baseline = np.full(len(changes), 1_000, np.int64)
    players = [PlayerId(f"p{number:02}") for number in range(len(changes))]
    for part in np.array_split(np.arange(len(changes)), blocks):
        other = baseline[part] + np.array(changes, np.int64)[part]
        comparing.add(baseline[part], other, [players[place] for place in part])
    return comparing


@pytest.mark.parametrize("blocks", [1, 2, 7])
def test_the_largest_changes_do_not_depend_on_the_blocks(blocks: int) -> None:
    # 30 players; the 8 to 12 of them who gain 5 are equals, of whom the first by name are shown.
    changes = [5] * 5 + list(range(-8, 0)) + [0] * 3 + [5] * 7 + [9] * 7
    found = compare(changes, blocks=blocks).conclude()
    gains = [(change.player_id, change.change_xp) for change in found.largest_gains]
    assert gains == [(f"p{n}", 9) for n in range(23, 30)] + [(f"p{n:02}", 5) for n in range(3)]
    assert [change.change_xp for change in found.largest_losses] == list(range(-8, 0))
    assert (found.players_gaining, found.players_losing, found.players_unchanged) == (19, 8, 3)


def test_a_player_who_is_paid_under_neither_version_is_nobody_unchanged() -> None:
    comparing = Comparing("other")
    comparing.add(np.array([0, 7]), np.array([0, 7]), [PlayerId("a"), PlayerId("b")])
    assert comparing.conclude().players_unchanged == 1


@pytest.mark.parametrize("clocks", [("0", "-60"), ("-60", "0")])
def test_of_two_visits_at_one_instant_the_order_of_the_lines_has_no_say(
    clocks: tuple[str, str],
) -> None:
    # Both are the same reward day, whose window is still open by one of the clocks only.
    window = ClaimWindow(start_minutes=0, duration_hours=12, anchor_strategy=WINDOW.anchor_strategy)
    lines = [f"p,{at(0, 12.5).isoformat()},{clock}" for clock in clocks]
    (chunk,) = read_chunks(
        ["player,occurred_at,utc_offset_minutes", *lines],
        [window, msgspec.structs.replace(window, duration_hours=24)],
        latest=at(1),
        on_line=lambda _line: None,
    )
    assert [claims.count for claims in chunk.claims] == [1, 1]
    assert chunk.claims[0].days.tolist() == [datetime.date(2026, 3, 1).toordinal()]
