"""Whatever is granted and taken, and for whichever season: the balance is the ledger's fold."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberkeep.base.db import connect
from emberkeep.base.errors import Conflict
from emberkeep.xp.model import (
    Balance,
    BalanceLimit,
    GrantWish,
    InsufficientBalance,
    PlayerId,
    SeasonId,
)
from emberkeep.xp.rules.balance import add_entry
from emberkeep.xp.service import ledger
from tests.claiming import World, assert_clean, at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from emberkeep.base.db import Connection

MOST = 2**53 - 1

_AMOUNTS = st.one_of(
    st.integers(-30, 30).filter(bool), st.sampled_from([-MOST, -1, 1, MOST // 2, MOST])
)
_GRANTS = st.lists(
    st.tuples(_AMOUNTS, st.sampled_from([None, "s-0", "s-1"]), st.booleans()), max_size=12
)


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection to a database with two seasons; clean afterwards."""
    world = World(database)
    world.add_season("s-0", 0, 9)
    world.add_season("s-1", 10, 19)
    async with await connect(database) as conn:
        yield conn
    assert_clean(database)


@given(grants=_GRANTS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_the_balance_is_the_fold_of_the_ledger(
    conn: Connection, grants: list[tuple[int, str | None, bool]]
) -> None:
    player_id = PlayerId(str(uuid.uuid4()))  # noqa: TID251 - a player that no other example has.
    await conn.execute(
        "insert into xp.xp_users (external_user_id, reward_tz) values (%s, 'UTC')", (player_id,)
    )
    balance = Balance()
    for number, (amount, season, affects_lifetime) in enumerate(grants):
        season_id = None if season is None else SeasonId(season)
        wish = GrantWish(
            player_id=player_id,
            amount=amount,
            reason="QUEST",
            metadata={"affectsLifetime": True} if affects_lifetime else {},
            season_id=season_id,
        )
        after = add_entry(
            balance,
            amount=amount,
            season_id=season_id,
            affects_lifetime=affects_lifetime,
            is_reversal=False,
        )
        call = ledger.grant(
            conn,
            wish=wish,
            correlation_id=uuid.uuid4(),  # noqa: TID251 - as the edge would make it.
            version=None,
            level_curve=None,
            actor="test",
            now=at(0, number / 60),
        )
        refusal = _find_refusal(after)
        if refusal is None:
            assert (await call).balance == after
            balance = after
        else:
            with pytest.raises(refusal) as refused:
                await call
            assert refused.value.facts["balance"] == balance
    standing = await ledger.read_xp(conn, player_id=player_id)
    assert standing.balance == balance


def _find_refusal(after: Balance) -> type[Conflict] | None:
    figures = (after.current, after.lifetime, after.seasonal)
    if min(figures) < 0:
        return InsufficientBalance
    return BalanceLimit if max(figures) > MOST else None
