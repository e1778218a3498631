"""The trigger on the ledger and `rules/balance.py` say the same, whoever writes the ledger."""

from __future__ import annotations

import datetime
import uuid
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emberkeep.base.clock import UTC
from emberkeep.xp.model import Balance, SeasonId
from emberkeep.xp.rules.balance import add_entry
from tests.claiming import World, assert_clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CROWD = 3
AT = datetime.datetime(2026, 3, 1, tzinfo=UTC)


INSERT_AWARD = b"""
    insert into xp.xp_awards (
        user_id, reward_day_id, xp_awarded, streak_day, policy_key, policy_version, receipt_id
    )
    select user_id, '2026-03-01', 1, 1, 'none', 0, gen_random_uuid() from xp.xp_users
"""


class Row(NamedTuple):
    """A ledger row that is to be written."""

    player: int
    amount: int
    season: str | None = None
    affects_lifetime: bool = False
    is_reversal: bool = False


rows = st.builds(
    Row,
    player=st.integers(0, CROWD - 1),
    amount=st.integers(-40, 100).filter(bool),
    season=st.sampled_from([None, "s1", "s2", "s3"]),
    affects_lifetime=st.booleans(),
    is_reversal=st.booleans(),
)
statements = st.lists(st.lists(rows, min_size=1, max_size=8), min_size=1, max_size=8)

_numbers = iter(range(10**9))


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A migrated database; clean afterwards."""
    yield World(database)
    assert_clean(database)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(statements=statements)
@example(statements=[[Row(0, 5, "s1"), Row(0, 7, "s2"), Row(0, 9, "s1"), Row(0, 1)]])
@example(statements=[[Row(0, 5, "s1")], [Row(0, 7, "s2"), Row(0, 9, "s1"), Row(0, -9, "s1")]])
@example(statements=[[Row(0, 5)], [Row(0, -6)], [Row(0, -5, affects_lifetime=True)]])
def test_the_trigger_and_the_rule_agree_on_every_ledger(
    world: World, statements: list[list[Row]]
) -> None:
    # What is reversed here was never written.
    world.execute("alter table xp.xp_ledger disable trigger xp_ledger_reverses_same")
    players = [f"q{next(_numbers)}" for _ in range(CROWD)]
    world.add_players(*players)
    balances = [Balance()] * CROWD
    for statement in statements:
        after = fold(balances, statement)
        is_covered = all(min(b.current, b.lifetime, b.seasonal) >= 0 for b in after)
        if is_covered:
            write(world, players, statement)
            balances = after
        else:
            with pytest.raises(psycopg.errors.CheckViolation, match="xp_balance_totals_chk"):
                write(world, players, statement)
        # Of a refused statement nothing is written.
        assert [world.read_trail(player).balance for player in players] == balances


def fold(balances: Sequence[Balance], statement: Sequence[Row]) -> list[Balance]:
    after = list(balances)
    for row in statement:
        after[row.player] = add_entry(
            after[row.player],
            amount=row.amount,
            season_id=SeasonId(row.season) if row.season else None,
            affects_lifetime=row.affects_lifetime,
            is_reversal=row.is_reversal,
        )
    return after


def write(world: World, players: Sequence[str], statement: Sequence[Row]) -> None:
    world.execute(
        "insert into xp.xp_ledger (user_id, amount, reason, correlation_id, policy_key,"
        " policy_version, season_id, metadata, reverses_ledger_id, created_at)"
        " select user_id, amount, 'GRANT', correlation_id, 'none', 0, season_id,"
        " case when affects then '{\"affectsLifetime\": true}'::jsonb else '{}' end,"
        " case when is_reversal then -ordinal - %s end, %s"
        " from unnest(%s::text[], %s::bigint[], %s::uuid[], %s::text[], %s::bool[], %s::bool[])"
        " with ordinality as row (id, amount, correlation_id, season_id, affects, is_reversal,"
        " ordinal)"
        " join xp.xp_users on external_user_id = id order by ordinal",
        next(_numbers) * 10,
        AT,
        [players[row.player] for row in statement],
        [row.amount for row in statement],
        [uuid.UUID(int=next(_numbers)) for _ in statement],
        [row.season for row in statement],
        [row.affects_lifetime for row in statement],
        [row.is_reversal for row in statement],
    )


@pytest.mark.parametrize(
    "statement",
    [
        "update xp.xp_ledger set amount = amount + 1",
        "delete from xp.xp_ledger",
        "truncate xp.xp_ledger",
        "update xp.xp_awards set xp_awarded = 1",
        "delete from xp.xp_awards",
        "truncate xp.xp_awards",
        "update event_store.events set data = '{}'",
        "delete from event_store.events",
        "truncate event_store.events cascade",
    ],
)
def test_what_was_written_stays_as_it_is(world: World, statement: str) -> None:
    world.add_players("p")
    world.grant("p", 5)
    with psycopg.connect(world.dsn) as conn:
        conn.execute(INSERT_AWARD)
        with pytest.raises(psycopg.errors.RestrictViolation):
            conn.execute(statement.encode())
        conn.rollback()


def test_a_day_is_awarded_once_whoever_writes(world: World) -> None:
    world.add_players("p")
    with psycopg.connect(world.dsn) as conn:
        conn.execute(INSERT_AWARD)
        with pytest.raises(psycopg.errors.UniqueViolation, match="xp_awards_user_day_uidx"):
            conn.execute(INSERT_AWARD)
        conn.rollback()


def test_one_cause_is_paid_once(world: World) -> None:
    world.add_players("p")
    world.grant("p", 5, number=1)
    with pytest.raises(psycopg.errors.UniqueViolation):
        world.grant("p", 5, number=1)
    assert world.read_trail("p").balance.current == 5


def test_a_player_who_is_erased_takes_everything_along(world: World) -> None:
    world.add_players("p")
    world.grant("p", 5)
    world.execute("delete from xp.xp_users")
    for table in ("xp_ledger", "xp_balance", "xp_streaks"):
        assert world.execute(f"select * from xp.{table}") == []  # noqa: S608


_RAW = (
    "insert into xp.xp_ledger (user_id, amount, reason, correlation_id, policy_key,"
    " policy_version, reverses_ledger_id) select user_id, %s, 'RAW', gen_random_uuid(), 'none', 0,"
    " %s from xp.xp_users where external_user_id = %s"
)


def test_the_service_need_not_know_the_balance(world: World) -> None:
    world.add_players("p")
    world.grant("p", 5)
    with psycopg.connect(world.dsn) as conn:
        conn.execute("set role emberkeep_service")
        conn.execute(_RAW, (7, None, "p"))
    assert world.execute("select balance_after from xp.xp_ledger order by ledger_id") == [
        (5,),
        (12,),
    ]


@pytest.mark.parametrize(("player", "amount"), [("q", -5), ("p", -4), ("p", 5)])
def test_a_reversal_is_of_the_same_player_and_amount(
    world: World, player: str, amount: int
) -> None:
    world.add_players("p", "q")
    world.grant("p", 5, number=1)
    ((ledger_id,),) = world.execute("select ledger_id from xp.xp_ledger")
    world.grant("q", 5, number=2)
    with psycopg.connect(world.dsn) as conn:
        with pytest.raises(psycopg.errors.RestrictViolation, match="takes back"):
            conn.execute(_RAW, (amount, ledger_id, player))
        conn.rollback()
        conn.execute(_RAW, (-5, ledger_id, "p"))
