"""What holds for every history: it is a fold, however it was cut into batches."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emberkeep.xp.model import (
    SCALE,
    Balance,
    ClaimStatus,
    DecayCurve,
    Milestone,
    MilestoneMetaReward,
    PlateauCap,
    Policy,
    Receipt,
    Season,
    SeasonId,
    StreakModel,
    StreakState,
    Tier,
    TieredSeasonalReset,
    WeeklyCycleReset,
)
from emberkeep.xp.rules.balance import add_entry
from emberkeep.xp.rules.streak import advance, has_season_ended
from emberkeep.xp.service.catalogue import load_catalogue
from tests.claiming import (
    FIRST_DAY,
    World,
    assert_clean,
    at,
    claim_together,
    day_id,
    make_policy,
    make_request,
    open_writer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from emberkeep.base.db import Connection

SEASONS = ((0, 4), (5, 9), (14, 20))
CROWD = 3

models: st.SearchStrategy[StreakModel] = st.one_of(
    st.builds(
        PlateauCap,
        plateau_day=st.integers(1, 9),
        plateau_multiplier=st.integers(SCALE, 3 * SCALE),
    ),
    st.just(WeeklyCycleReset()),
    st.builds(DecayCurve, decay_percent=st.integers(0, SCALE), grace_day=st.integers(0, 5)),
    st.just(
        TieredSeasonalReset(tiers=(Tier(start_day=2, end_day=4, bonus_multiplier=2 * SCALE),)),
    ),
    st.sets(st.integers(1, 8), max_size=4).map(
        lambda days: MilestoneMetaReward(
            milestones=tuple(
                Milestone(day=day, reward_type="badge", reward_value=f"d{day}") for day in days
            )
        )
    ),
)
graces = st.tuples(st.integers(0, 3), st.integers(0, 2)).map(lambda g: (g[0], g[0] + g[1]))


class Act(NamedTuple):
    """Player number `player` claims `days` days after the last act of anybody, or is granted XP."""

    player: int
    days: int
    grant: int = 0
    season: str | None = None


claims = st.builds(
    Act,
    player=st.integers(0, CROWD - 1),
    days=st.integers(0, 3),
    grant=st.just(0),
    season=st.none(),
)
grants = st.builds(
    Act,
    player=st.integers(0, CROWD - 1),
    days=st.just(0),
    grant=st.integers(1, 50),
    season=st.sampled_from([None, "s0", "s1", "s2"]),
)
histories = st.lists(st.one_of(claims, claims, claims, grants), min_size=1, max_size=40)

_numbers = iter(range(10**9))
checked = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with three seasons; clean afterwards."""
    world = World(database)
    for number, (first, last) in enumerate(SEASONS):
        world.add_season(f"s{number}", first, last)
    yield world
    assert_clean(database)


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection like those that claims are written with."""
    async with open_writer(database) as conn:
        yield conn


# The fold, in memory


def list_seasons() -> list[Season]:
    return [
        Season(
            season_id=SeasonId(f"s{number}"),
            start_date=datetime.date.fromisoformat(day_id(first)),
            end_date=datetime.date.fromisoformat(day_id(last)),
        )
        for number, (first, last) in enumerate(SEASONS)
    ]


def find_season_id(day: datetime.date) -> SeasonId | None:
    found = (s.season_id for s in list_seasons() if s.start_date <= day <= s.end_date)
    return next(found, None)


class Figures(NamedTuple):
    """What a claim is told, as far as it does not depend on who asks."""

    status: ClaimStatus
    day: datetime.date
    xp: int
    streak: tuple[int, int, int]
    balance: tuple[int, int, int]
    milestones: tuple[Milestone, ...]


class Account:
    """A player who exists in memory only."""

    def __init__(self) -> None:
        self.state = StreakState()
        self.balance = Balance()
        self.last: Figures | None = None

    def claim(self, policy: Policy, instant: datetime.datetime) -> Figures:
        day, last_day = instant.date(), self.state.last_reward_day
        if last_day is not None and day <= last_day:
            assert self.last is not None
            return self.last._replace(status=ClaimStatus.ALREADY_CLAIMED)
        step = advance(
            policy,
            self.state,
            day=day,
            at=instant,
            has_season_ended=has_season_ended(list_seasons(), last_day, day),
        )
        self.state = step.state
        self.add(step.xp_awarded, find_season_id(day))
        self.last = Figures(
            ClaimStatus.NEW,
            day,
            step.xp_awarded,
            (step.state.current_streak, step.state.longest_streak, step.state.grace_used),
            (self.balance.current, self.balance.lifetime, self.balance.seasonal),
            step.milestones,
        )
        return self.last

    def add(self, amount: int, season_id: SeasonId | None) -> None:
        self.balance = add_entry(
            self.balance,
            amount=amount,
            season_id=season_id,
            affects_lifetime=False,
            is_reversal=False,
        )


def fold(policy: Policy, history: Sequence[Act]) -> tuple[list[Figures], list[Account]]:
    """Return what every claim of `history` is told, and the players after it."""
    accounts = [Account() for _ in range(CROWD)]
    figures: list[Figures] = []
    day = 0
    for act in history:
        day += act.days
        account = accounts[act.player]
        if act.grant:
            account.add(act.grant, SeasonId(act.season) if act.season else None)
        else:
            figures.append(account.claim(policy, at(day)))
    return figures, accounts


# The same, in the database


async def run(
    conn: Connection,
    world: World,
    policy: Policy,
    history: Sequence[Act],
    *,
    cuts: set[int],
    now: datetime.datetime | None = None,
) -> tuple[list[Figures], list[str]]:
    """Do the same with new players, in batches that end at `cuts` and at every grant."""
    players = [f"q{next(_numbers)}" for _ in range(CROWD)]
    world.add_players(*players)
    catalogue = await load_catalogue(conn)
    figures: list[Figures] = []
    waiting = []
    day = 0
    for number, act in enumerate(history):
        day += act.days
        if waiting and (act.grant or number in cuts):
            figures += [to_figures(a) for a in await claim_together(conn, waiting, catalogue)]
            waiting = []
        if act.grant:
            world.grant(players[act.player], act.grant, number=next(_numbers), season_id=act.season)
        else:
            key = policy.policy_key
            waiting.append(make_request(players[act.player], at(day), key=key, now=now))
    if waiting:
        figures += [to_figures(a) for a in await claim_together(conn, waiting, catalogue)]
    return figures, players


def to_figures(answer: object) -> Figures:
    assert isinstance(answer, Receipt)
    streak, balance = answer.streak, answer.balance
    return Figures(
        answer.status,
        answer.reward_day_id,
        answer.xp_awarded,
        (streak.current, streak.longest, streak.grace_used),
        (balance.current, balance.lifetime, balance.seasonal),
        answer.milestones,
    )


def publish(world: World, model: StreakModel, grace: tuple[int, int]) -> Policy:
    policy = make_policy(
        model, grace=grace, key=f"k{next(_numbers)}", curve=[(SCALE, 0), (15_000, 3), (SCALE, 9)]
    )
    world.publish(policy)
    return policy


@checked
@given(model=models, grace=graces, history=histories, cuts=st.sets(st.integers(1, 40)))
@example(
    model=WeeklyCycleReset(),
    grace=(1, 1),
    history=[Act(0, 0), Act(0, 1), Act(1, 0), Act(0, 0, grant=5, season="s2"), Act(0, 2)] * 3,
    cuts=set(),
)
async def test_a_history_is_one_fold_however_it_is_cut_into_batches(
    world: World,
    conn: Connection,
    model: StreakModel,
    grace: tuple[int, int],
    history: list[Act],
    cuts: set[int],
) -> None:
    policy = publish(world, model, grace)
    expected, accounts = fold(policy, history)
    for where in (cuts, set(), set(range(41))):
        figures, players = await run(conn, world, policy, history, cuts=where)
        assert figures == expected
        for player, account in zip(players, accounts, strict=True):
            trail, state = world.read_trail(player), account.state
            assert trail.balance == account.balance
            assert trail.streak == (
                state.current_streak,
                state.longest_streak,
                state.grace_used,
                state.last_reward_day and state.last_reward_day.isoformat(),
            )


@checked
@given(model=models, grace=graces, history=histories, cuts=st.sets(st.integers(1, 40)))
async def test_a_replay_pays_what_live_claims_were_paid(
    world: World,
    conn: Connection,
    model: StreakModel,
    grace: tuple[int, int],
    history: list[Act],
    cuts: set[int],
) -> None:
    policy = publish(world, model, grace)
    live, _ = await run(conn, world, policy, history, cuts=cuts)
    replayed, _ = await run(conn, world, policy, history, cuts=set(), now=at(10_000))
    assert replayed == live


@checked
@given(model=models, grace=graces, history=histories)
async def test_a_streak_rebuilt_from_awards_is_the_one_that_is_stored(
    world: World,
    conn: Connection,
    model: StreakModel,
    grace: tuple[int, int],
    history: list[Act],
) -> None:
    policy = publish(world, model, grace)
    _, players = await run(conn, world, policy, history, cuts=set())
    for player in players:
        rebuilt = StreakState()
        for day_text, xp, _ in world.read_trail(player).awards:
            day = datetime.date.fromisoformat(day_text)
            step = advance(
                policy,
                rebuilt,
                day=day,
                at=at((day - FIRST_DAY).days),
                has_season_ended=has_season_ended(list_seasons(), rebuilt.last_reward_day, day),
            )
            assert step.xp_awarded == xp
            rebuilt = step.state
        ((current, longest, grace_used, last_day, model_state),) = world.execute(
            "select current_streak, longest_streak, grace_used, last_reward_day_id, model_state"
            " from xp.xp_streaks join xp.xp_users using (user_id) where external_user_id = %s",
            player,
        )
        assert rebuilt == StreakState(
            current_streak=current,
            longest_streak=longest,
            grace_used=grace_used,
            last_reward_day=last_day and datetime.date.fromisoformat(last_day),
            model_state=model_state,
        )
