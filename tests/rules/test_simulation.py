"""A simulation pays every claim what the engine pays it, whatever the policy and the history."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emberkeep.xp.model import (
    SCALE,
    Contender,
    CurveRow,
    DecayCurve,
    FreezeRule,
    Milestone,
    MilestoneMetaReward,
    PlateauCap,
    PlayerId,
    Policy,
    Refusals,
    Season,
    SeasonalBoost,
    SeasonId,
    SimulationSource,
    StreakState,
    Tier,
    TieredSeasonalReset,
    WeeklyCycleReset,
)
from emberkeep.xp.rules import protection, streak
from emberkeep.xp.rules.simulation import automaton, comparison, replay, simulator
from emberkeep.xp.rules.simulation.claims import Claims
from emberkeep.xp.rules.simulation.pays import to_microseconds
from emberkeep.xp.rules.simulation.replay import Replay
from emberkeep.xp.rules.simulation.simulator import Chunk, Simulator
from emberkeep.xp.rules.simulation.turns import Buffers, take_turns
from tests.claiming import FIRST_DAY, make_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emberkeep.xp.model import Comparison, Simulation, Step, VersionFigures

History = list[tuple[datetime.date, datetime.datetime, int]]
"""The claims of one player: the day of each, its instant, and how many days before are excused."""

UTC = datetime.UTC


class Case(NamedTuple):
    """A policy, a calendar, and the histories of some players."""

    policy: Policy
    seasons: list[Season]
    histories: list[History]


multipliers = st.sampled_from([1, 5_000, SCALE, 12_345, 30_000])
small = st.integers(1, 9)
milestones = st.lists(small, max_size=4, unique=True).map(
    lambda days: MilestoneMetaReward(
        milestones=tuple(Milestone(day=d, reward_type="badge", reward_value=f"b{d}") for d in days)
    )
)
tiers = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), multipliers), max_size=3).map(
    lambda spans: TieredSeasonalReset(tiers=tuple(_lay_out(spans)))
)
models = st.one_of(
    st.builds(PlateauCap, plateau_day=small, plateau_multiplier=multipliers),
    st.just(WeeklyCycleReset()),
    st.builds(
        DecayCurve,
        decay_percent=st.sampled_from([0, 1, 3_333, 9_999, SCALE]),
        grace_day=st.integers(0, 5),
    ),
    tiers,
    milestones,
)
graces = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda g: (min(g), max(g)))
freezes = st.none() | st.builds(
    FreezeRule, max_held=st.integers(1, 3), earned_every_days=st.integers(0, 4)
)
curves = st.lists(
    st.tuples(st.sampled_from([0, 9_999, SCALE, 15_000]), st.integers(0, 7), st.booleans()),
    min_size=1,
    max_size=6,
).map(
    lambda rows: tuple(
        CurveRow(day_index=i, multiplier=m, additive_bonus_xp=bonus, cap_next_day=cap)
        for i, (m, bonus, cap) in enumerate(rows)
    )
)
# Edges fall on the hours that claims are made at, and boosts may touch.
boosts = st.lists(st.integers(0, 40 * 4), max_size=6, unique=True).map(
    lambda edges: [
        SeasonalBoost(
            label="b",
            multiplier=SCALE + 2_500 * place,
            start_at=_at(start),
            end_at=_at(end),
        )
        for place, (start, end) in enumerate(zip(sorted(edges), sorted(edges)[1:], strict=False))
        if place % 3 != 2
    ]
)
gaps = st.one_of(st.integers(1, 3), st.integers(1, 9), st.sampled_from([400, 700_000]))
excused = st.sampled_from([0, 0, 0, 1, 2])
histories = st.lists(
    st.lists(st.tuples(gaps, st.integers(0, 4), excused), max_size=25).map(
        lambda steps: _walk(steps)
    ),
    min_size=1,
    max_size=6,
)
calendars = st.lists(st.integers(0, 60), max_size=4, unique=True).map(
    lambda ends: [
        Season(
            season_id=SeasonId(f"s{end}"),
            start_date=FIRST_DAY,
            end_date=FIRST_DAY + datetime.timedelta(days=end),
        )
        for end in ends
    ]
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    allowed, window = draw(graces)
    plain = make_policy(draw(models), grace=(allowed, window), boosts=draw(boosts))
    policy = msgspec.structs.replace(plain, streak_curve=draw(curves), freezes=draw(freezes))
    return Case(policy, draw(calendars), draw(histories))


def _lay_out(spans: Sequence[tuple[int, int, int]]) -> list[Tier]:
    day, tiers = 0, []
    for skipped, length, multiplier in spans:
        start = day + skipped
        day = start + length
        tiers.append(Tier(start_day=start, end_day=day, bonus_multiplier=multiplier))
    return tiers


def _at(quarter: int) -> datetime.datetime:
    return datetime.datetime.combine(FIRST_DAY, datetime.time(), UTC) + datetime.timedelta(
        hours=6 * quarter
    )


def _walk(steps: Sequence[tuple[int, int, int]]) -> History:
    history: History = []
    offset = -1
    for gap, quarter, excused_days in steps:
        offset += gap
        day = FIRST_DAY + datetime.timedelta(days=offset)
        if day.year > 9000:
            break
        history.append((day, _at(4 * offset + quarter), min(excused_days, gap - 1)))
    return history


def make_claims(histories: Sequence[History]) -> Claims:
    flat = [claim for history in histories for claim in history]
    return Claims(
        offsets=np.cumsum([0, *map(len, histories)], dtype=np.int64),
        days=np.array([day.toordinal() for day, _, _ in flat], np.int32),
        ats=np.array([to_microseconds(at) for _, at, _ in flat], np.int64),
        excused=np.array([days for *_, days in flat], np.int32),
    )


def ask_engine(case: Case) -> list[Step]:
    """Return what the engine makes of every claim, player by player."""
    steps: list[Step] = []
    for history in case.histories:
        state = StreakState()
        for day, at, excused_days in history:
            if excused_days and state.last_reward_day is not None:
                state = excuse(state, excused_days)
            has_ended = streak.has_season_ended(case.seasons, state.last_reward_day, day)
            step = streak.advance(case.policy, state, day=day, at=at, has_season_ended=has_ended)
            steps.append(step)
            state = step.state
    return steps


def excuse(state: StreakState, days: int) -> StreakState:
    """Excuse the first days that the player is away."""
    assert state.last_reward_day is not None
    first_day = state.last_reward_day + datetime.timedelta(days=1)
    last_day = state.last_reward_day + datetime.timedelta(days=days)
    model_state = protection.add_excused(state.model_state, first_day=first_day, last_day=last_day)
    return msgspec.structs.replace(state, model_state=model_state)


def decide(runner: Replay, case: Case) -> list[tuple[object, ...]]:
    """Return what the simulation makes of every claim, player by player."""
    claims, buffers = make_claims(case.histories), Buffers()
    turns = take_turns(claims, case.seasons, buffers)
    outcomes = runner.decide(claims, turns, buffers)
    found: dict[int, tuple[object, ...]] = {}
    for place, number, xp in zip(turns.places, outcomes.nodes, outcomes.xp, strict=True):
        node = outcomes.known[number]
        state = node.state
        found[int(place)] = (
            int(xp),
            node.change,
            state.current_streak,
            state.grace_used,
            dict(state.model_state),
            node.milestones,
            node.grace_days,
            node.freezes_used,
        )
    return [found[place] for place in range(claims.count)]


def expect(step: Step) -> tuple[object, ...]:
    return (
        step.xp_awarded,
        step.change,
        step.effective_day,
        step.state.grace_used,
        dict(step.state.model_state),
        step.milestones,
        step.missed_days - step.freezes_used if step.grace_applied else 0,
        step.freezes_used,
    )


@settings(deadline=None)
@given(case=cases(), again=histories)
def test_a_simulation_decides_every_claim_as_the_engine_does(
    case: Case, again: list[History]
) -> None:
    runner = Replay(case.policy)
    assert decide(runner, case) == [expect(step) for step in ask_engine(case)]
    # What was learnt from the first players must be as true of the next.
    others = case._replace(histories=again)
    assert decide(runner, others) == [expect(step) for step in ask_engine(others)]


@settings(max_examples=50, deadline=None)
@given(case=cases())
def test_it_does_so_too_where_its_table_has_no_room(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(automaton, "_MAX_CELLS", 16)
        assert decide(Replay(case.policy), case) == [expect(step) for step in ask_engine(case)]


@settings(max_examples=60, deadline=None)
@given(
    case=cases(),
    other=cases(),
    since=st.none() | st.integers(0, 20),
    until=st.none() | st.integers(0, 20),
    block=st.integers(1, 30),
)
def test_figures_add_up_to_what_the_engine_pays(
    case: Case, other: Case, since: int | None, until: int | None, block: int
) -> None:
    # Without days in a far future: every block would count all the days until then.
    case = case._replace(histories=[[c for c in h if c[0].year < 2040] for h in case.histories])
    first = None if since is None else FIRST_DAY + datetime.timedelta(days=since)
    last = None if until is None else FIRST_DAY + datetime.timedelta(days=until)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator, "_CLAIMS_PER_BLOCK", block)
        patch.setattr(replay, "_MAX_NODES", 5)
        patch.setattr(comparison, "LARGEST_SHOWN", 2)
        found = run_simulator([case.policy, other.policy], case, first, last)
    for policy, figures in zip((case.policy, other.policy), found.versions, strict=True):
        assert_figures(figures, case._replace(policy=policy), first, last)
    assert_comparison(found.comparisons[0], case, other.policy, first, last)


def run_simulator(
    policies: Sequence[Policy],
    case: Case,
    first: datetime.date | None,
    last: datetime.date | None,
) -> Simulation:
    contenders = [Contender(name=f"v{i}", policy=policy) for i, policy in enumerate(policies)]
    simulating = Simulator(contenders, case.seasons, from_day=first, to_day=last)
    # In two chunks, as a history that streams.
    for start, part in ((0, case.histories[:2]), (2, case.histories[2:])):
        claims = make_claims(part)
        simulating.feed(
            Chunk(
                players=[PlayerId(f"p{start + i}") for i in range(len(part))],
                claims=[claims] * len(policies),
                refused=[Refusals()] * len(policies),
            )
        )
    return simulating.conclude(source=SimulationSource.ACTIVITY)


def list_counted(
    case: Case, first: datetime.date | None, last: datetime.date | None
) -> list[list[Step]]:
    """Return the steps that count, by player."""
    return [
        [
            step
            for step in ask_engine(case._replace(histories=[history]))
            if (first is None or first <= _day_of(step)) and (last is None or _day_of(step) <= last)
        ]
        for history in case.histories
    ]


def _day_of(step: Step) -> datetime.date:
    assert step.state.last_reward_day is not None
    return step.state.last_reward_day


def assert_figures(
    figures: VersionFigures, case: Case, first: datetime.date | None, last: datetime.date | None
) -> None:
    by_player = list_counted(case, first, last)
    steps = [step for steps in by_player for step in steps]
    assert figures.claims == len(steps)
    assert figures.xp == sum(step.xp_awarded for step in steps)
    # A claim under these policies may pay nothing, which validation would refuse.
    assert figures.players == sum(any(s.xp_awarded for s in steps) for steps in by_player)
    assert figures.changes == Counter(step.change for step in steps)
    assert figures.freezes_used == sum(step.freezes_used for step in steps)
    assert figures.grace_days == sum(
        step.missed_days - step.freezes_used for step in steps if step.grace_applied
    )
    assert {c.effective_day: c.claims for c in figures.streaks} == Counter(
        step.effective_day for step in steps
    )
    assert {c.xp_awarded: c.claims for c in figures.awards} == Counter(
        step.xp_awarded for step in steps
    )
    assert {m.day: m.players for m in figures.milestones} == Counter(
        milestone.day for step in steps for milestone in step.milestones
    )
    daily = Counter[datetime.date]()
    for step in steps:
        daily[_day_of(step)] += step.xp_awarded
    assert {day.day: day.xp for day in figures.days} == daily


def assert_comparison(
    found: Comparison,
    case: Case,
    other: Policy,
    first: datetime.date | None,
    last: datetime.date | None,
) -> None:
    before, after = (
        [
            sum(step.xp_awarded for step in steps)
            for steps in list_counted(case._replace(policy=policy), first, last)
        ]
        for policy in (case.policy, other)
    )
    changes = sorted(
        ((b - a, f"p{i}", a, b) for i, (a, b) in enumerate(zip(before, after, strict=True))),
        key=lambda change: (-abs(change[0]), change[1]),
    )
    gains = [change for change in changes if change[0] > 0]
    losses = [change for change in changes if change[0] < 0]
    assert (found.players_gaining, found.players_losing) == (len(gains), len(losses))
    assert (found.xp_gained, found.xp_lost) == (
        sum(change[0] for change in gains),
        -sum(change[0] for change in losses),
    )
    for shown, all_ in ((found.largest_gains, gains), (found.largest_losses, losses)):
        assert [(c.change_xp, c.player_id, c.baseline_xp, c.xp) for c in shown] == all_[:2]
    assert sum(share.players for share in found.shares) == len(gains) + len(losses)
    for share in found.shares:
        inside = [
            change
            for change in (*gains, *losses)
            if (share.from_percent is None or change[0] * 100 >= share.from_percent * change[2])
            and (share.to_percent is None or change[0] * 100 < share.to_percent * change[2])
        ]
        assert share.players == len(inside)


@pytest.mark.parametrize(
    ("number", "by", "quotient"),
    [(1, 3, "0.33"), (2, 3, "0.67"), (-1, 200, "-0.01"), (-1, 1000, "0.00"), (5, 0, "0.00")],
)
def test_means_and_shares_are_rounded_half_up_by_their_size(
    number: int, by: int, quotient: str
) -> None:
    assert simulator._divide(number, by) == quotient
