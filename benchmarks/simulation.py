"""Player-days a second of a simulation, next to one plain pass of numpy over the same arrays.

A player-day is a reward day that a player claimed; days without a claim cost nothing and do not
count. What is timed is everything from the arrays to the figures: turns, decisions, XP by day, by
award, by length of streak, and what each player gets. Seconds are those of the processor: there is
one thread, and it waits for nothing.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import itertools
import operator
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from benchmarks import report
from benchmarks.report import Figure
from emberkeep.base.clock import UTC
from emberkeep.xp.model import (
    SCALE,
    AnchorStrategy,
    ClaimWindow,
    Contender,
    CurveRow,
    DecayCurve,
    FreezeRule,
    Grace,
    Milestone,
    MilestoneMetaReward,
    PlateauCap,
    PlayerId,
    Policy,
    PolicyKey,
    Refusals,
    Season,
    SeasonalBoost,
    SeasonId,
    StreakModel,
    StreakState,
    Tier,
    TieredSeasonalReset,
    WeeklyCycleReset,
)
from emberkeep.xp.rules import streak
from emberkeep.xp.rules.simulation.claims import Claims
from emberkeep.xp.rules.simulation.simulator import Chunk, Simulator

DAYS: Final = 365
_CLAIMED: Final = 0.8
_ROUNDS: Final = 3
_PLAYERS: Final = 40_000
_PLAYERS_PER_CHUNK: Final = 10_000
_SCALAR_PLAYERS: Final = 100
_BLOCK: Final = 1_000_000
_FIRST_DAY: Final = datetime.date(2026, 1, 1)
_DAY_US: Final = 86_400 * 10**6

MODELS: Final[dict[str, StreakModel]] = {
    "PlateauCap": PlateauCap(plateau_day=7, plateau_multiplier=15_000),
    "WeeklyCycleReset": WeeklyCycleReset(),
    "DecayCurve": DecayCurve(decay_percent=2_000, grace_day=3),
    "TieredSeasonalReset": TieredSeasonalReset(
        tiers=tuple(
            Tier(start_day=10 * i + 1, end_day=10 * i + 10, bonus_multiplier=SCALE + 1_000 * i)
            for i in range(5)
        )
    ),
    "MilestoneMetaReward": MilestoneMetaReward(
        milestones=tuple(
            Milestone(day=day, reward_type="badge", reward_value=str(day))
            for day in (3, 7, 14, 30, 100)
        )
    ),
}
SEASONS: Final = tuple(
    Season(
        season_id=SeasonId(f"s{quarter}"),
        start_date=datetime.date(2026, 3 * quarter + 1, 1),
        end_date=datetime.date(2026, 3 * quarter + 3, 28),
    )
    for quarter in range(4)
)
BOOSTS: Final = tuple(
    SeasonalBoost(
        label=f"boost {month}",
        multiplier=20_000,
        start_at=datetime.datetime(2026, month, 1, tzinfo=UTC),
        end_at=datetime.datetime(2026, month, 8, tzinfo=UTC),
    )
    for month in (4, 8, 12)
)


def measure(*, scale: float) -> Iterator[Figure]:
    """Yield the figures of every model: the plain pass, then the simulation, then the engine."""
    chunk = make_chunk(max(1, round(_PLAYERS * scale)), seed=1)
    for name, model in MODELS.items():
        plain = make_policy(model)
        full = msgspec.structs.replace(
            plain, seasonal_boosts=BOOSTS, freezes=FreezeRule(max_held=2, earned_every_days=14)
        )
        members = (
            functools.partial(pass_plainly, chunk),
            functools.partial(simulate, chunk, plain, (), name),
            functools.partial(
                simulate, chunk, full, SEASONS, f"{name}, seasons, boosts and freezes"
            ),
            functools.partial(ask_engine, chunk, plain, f"{name}, rules/streak.advance"),
        )
        for figure in _take_turns(members):
            yield report.said(figure, "player-days")


def _take_turns(members: Sequence[Callable[[], Figure]]) -> list[Figure]:
    rounds = [[member() for member in members] for _ in range(_ROUNDS)]
    limit, *others = (
        functools.reduce(operator.add, figures) for figures in zip(*rounds, strict=True)
    )
    return [dataclasses.replace(limit, is_limit=True), *others]


def make_policy(model: StreakModel) -> Policy:
    """Return a policy that forgives two days and has a curve."""
    return Policy(
        policy_key=PolicyKey("daily-login"),
        display_name="Daily login",
        base_xp_amount=100,
        currency="XP",
        claim_window=ClaimWindow(
            start_minutes=0, duration_hours=24, anchor_strategy=AnchorStrategy.ANCHOR_TIMEZONE
        ),
        grace=Grace(allowed_misses=2, window_days=2),
        streak_model=model,
        streak_curve=tuple(
            CurveRow(day_index=index, multiplier=SCALE + 500 * index, additive_bonus_xp=index)
            for index in range(10)
        ),
    )


def make_chunk(players: int, *, seed: int) -> Chunk:
    """Return players who claim four days in five, at any time of the day."""
    chance = np.random.default_rng(seed)
    is_claimed = chance.random((players, DAYS), np.float32) < _CLAIMED
    offsets = np.zeros(players + 1, np.int64)
    np.cumsum(is_claimed.sum(axis=1), out=offsets[1:])
    days = np.nonzero(is_claimed)[1].astype(np.int32)
    days += _FIRST_DAY.toordinal()
    ats = (days.astype(np.int64) - datetime.date(1970, 1, 1).toordinal()) * _DAY_US
    ats += chance.integers(0, _DAY_US, len(days))
    return Chunk(
        players=[PlayerId(f"p{number}") for number in range(players)],
        claims=[Claims(offsets=offsets, days=days, ats=ats)],
        refused=[Refusals()],
    )


def pass_plainly(chunk: Chunk) -> Figure:
    """Look one number up for each claim and add them up: the least that anybody could do.

    In blocks, and in memory that is used again, as the simulation does.
    """
    claims = chunk.claims[0]
    xp = np.arange(100, 108, dtype=np.int64)
    gaps, paid = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64)
    started_at = time.process_time()
    total = 0
    for start in range(0, claims.count - 1, _BLOCK):
        after = claims.days[start + 1 : start + 1 + _BLOCK]
        size = len(after)
        np.subtract(after, claims.days[start : start + size], out=gaps[:size])
        xp.take(gaps[:size], out=paid[:size], mode="clip")
        total += int(paid[:size].sum())
    seconds = time.process_time() - started_at
    assert total > 0
    return Figure(name="plain pass: gaps, look-up, sum", count=claims.count, seconds=seconds)


def simulate(chunk: Chunk, policy: Policy, seasons: Sequence[Season], name: str) -> Figure:
    """Simulate one policy from the arrays to the figures; what it learns is part of it."""
    started_at = time.process_time()
    simulator = _make_simulator(policy, seasons)
    simulator.feed(chunk)
    seconds = time.process_time() - started_at
    return Figure(name=name, count=chunk.claims[0].count, seconds=seconds)


def _make_simulator(policy: Policy, seasons: Sequence[Season]) -> Simulator:
    contender = Contender(name="bench", policy=policy)
    return Simulator([contender], seasons, from_day=None, to_day=None)


def ask_engine(chunk: Chunk, policy: Policy, name: str) -> Figure:
    """Decide the claims of the first players one by one."""
    claims = chunk.claims[0].select(0, min(_SCALAR_PLAYERS, len(chunk.players)))
    days = [datetime.date.fromordinal(day) for day in claims.days.tolist()]
    offsets = claims.offsets.tolist()
    at = datetime.datetime(2026, 1, 1, tzinfo=UTC)
    started_at = time.process_time()
    for start, end in itertools.pairwise(offsets):
        state = StreakState()
        for day in days[start:end]:
            step = streak.advance(policy, state, day=day, at=at, has_season_ended=False)
            state = step.state
    return Figure(name=name, count=claims.count, seconds=time.process_time() - started_at)


def compare_with_engine(figures: Sequence[Figure]) -> str:
    """Say how many times as fast as the engine each model is; the groups are those of `measure`."""
    simulated, engine = figures[1::4], figures[3::4]
    times = (
        f"{figure.name} {figure.per_second / asked.per_second:.0f}"
        for figure, asked in zip(simulated, engine, strict=True)
    )
    return f"times rules/streak.advance: {', '.join(times)}"


def measure_memory(*, players: int) -> tuple[Figure, int]:
    """Return how fast so many players over a year are, streamed, and the peak of memory in MB.

    In a process of its own, because a peak never goes down.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.simulation", str(players)],
        check=True,
        capture_output=True,
        text=True,
    )
    count, seconds, peak_mb = ran.stdout.split()
    figure = Figure(
        name=f"{players:,} players x {DAYS} days", count=int(count), seconds=float(seconds)
    )
    return figure, int(peak_mb)


def _stream(players: int) -> None:
    simulator = _make_simulator(make_policy(MODELS["PlateauCap"]), SEASONS)
    count, seconds = 0, 0.0
    for first in range(0, players, _PLAYERS_PER_CHUNK):
        chunk = make_chunk(min(_PLAYERS_PER_CHUNK, players - first), seed=first)
        started_at = time.process_time()
        simulator.feed(chunk)
        seconds += time.process_time() - started_at
        count += chunk.claims[0].count
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(count, seconds, peak_mb)


if __name__ == "__main__":
    _stream(int(sys.argv[1]))
