"""Claims that meet: in one batch, in two, and a thousand at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep.base import db
from emberkeep.base.errors import EmberkeepError
from emberkeep.xp.model import (
    ClaimStatus,
    PlayerId,
    PlayerUnknown,
    PolicyUnknown,
    Receipt,
    WindowClosed,
)
from tests.claiming import (
    KEY,
    World,
    assert_clean,
    at,
    claim,
    claim_together,
    day_id,
    make_policy,
    make_request,
    open_desk,
    open_writer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from emberkeep.base.db import Connection

DEVICES = 1000


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A database with the plain policy and the players a, b, c and p; clean afterwards."""
    world = World(database)
    world.publish(make_policy())
    world.add_players("a", "b", "c", "p")
    yield world
    assert_clean(database)


@pytest.fixture
async def conn(database: str) -> AsyncIterator[Connection]:
    """A connection like those that claims are written with."""
    async with open_writer(database) as conn:
        yield conn


@pytest.fixture
async def other(database: str) -> AsyncIterator[Connection]:
    """A second one."""
    async with open_writer(database) as conn:
        yield conn


def list_statuses(answers: Iterable[object]) -> list[object]:
    return [a.status if isinstance(a, Receipt) else type(a) for a in answers]


# One batch


async def test_a_player_twice_in_a_batch_is_paid_once(world: World, conn: Connection) -> None:
    answers = await claim_together(conn, [make_request("p", at(0)), make_request("p", at(0, 13))])
    assert list_statuses(answers) == [ClaimStatus.NEW, ClaimStatus.ALREADY_CLAIMED]
    first, second = answers
    assert isinstance(first, Receipt)
    assert isinstance(second, Receipt)
    assert second.receipt_id == first.receipt_id
    assert second.balance == first.balance
    assert len(world.read_trail("p").awards) == 1


async def test_several_days_of_a_player_in_a_batch_are_answered_in_order(
    world: World, conn: Connection
) -> None:
    days = [0, 0, 1, 1, 0, 2, 5, 4]
    requests = [make_request("p", at(day)) for day in days]
    requests.insert(3, make_request("a", at(0)))
    answers = await claim_together(conn, requests)
    new, known = ClaimStatus.NEW, ClaimStatus.ALREADY_CLAIMED
    assert list_statuses(answers) == [new, known, new, new, known, known, new, new, known]
    mine = [a for a in answers if isinstance(a, Receipt) and a.player_id == "p"]
    assert [r.reward_day_id.isoformat() for r in mine] == [
        day_id(day) for day in (0, 0, 1, 1, 1, 2, 5, 5)
    ]
    assert [r.balance.current for r in mine] == [100, 100, 200, 200, 200, 300, 400, 400]
    trail = world.read_trail("p")
    assert [day for day, _, _ in trail.awards] == [day_id(day) for day in (0, 1, 2, 5)]
    assert [day for _, day in trail.events] == [day_id(day) for day in (0, 1, 2, 5)]
    assert trail.streak == (1, 3, 0, day_id(5))
    # What the batch left is what the next one reads.
    repeat = await claim(conn, "p", at(5, 20))
    assert (repeat.status, repeat.balance.current) == (known, 400)


async def test_refusals_stand_among_payments_in_the_order_of_the_requests(
    world: World, conn: Connection
) -> None:
    world.publish(make_policy(key="morning", window=(0, 1)))
    answers = await claim_together(
        conn,
        [
            make_request("nobody", at(0)),
            make_request("a", at(0)),
            make_request("b", at(0), key="morning"),
            make_request("c", at(0), key="unheard-of"),
            make_request("p", at(0)),
        ],
    )
    new = ClaimStatus.NEW
    assert list_statuses(answers) == [PlayerUnknown, new, WindowClosed, PolicyUnknown, new]
    assert world.read_trail("b").awards == []
    assert len(world.read_trail("p").awards) == 1


@pytest.mark.parametrize("poison", ["\0", "\ud800"], ids=["NUL", "half a surrogate pair"])
async def test_a_request_that_cannot_even_be_sent_fails_alone(world: World, poison: str) -> None:
    players = ["a", poison, "b", "c", poison, "p"]
    async with open_desk(world.dsn, connections=1) as desk:
        answers = await asyncio.gather(
            *(desk.claim(player_id=PlayerId(p), policy_key=KEY, now=at(0)) for p in players),
            return_exceptions=True,
        )
    assert [isinstance(a, Receipt) for a in answers] == [p != poison for p in players]


async def test_a_player_whose_event_cannot_be_told_fails_alone(world: World) -> None:
    world.execute(
        "insert into event_store.event_streams (stream_id, deleted_at) values ('player-b', now())"
    )
    async with open_desk(world.dsn, connections=1) as desk:
        answers = await asyncio.gather(
            *(desk.claim(player_id=PlayerId(p), policy_key=KEY, now=at(0)) for p in "abcp"),
            return_exceptions=True,
        )
    assert [isinstance(answer, Receipt) for answer in answers] == [True, False, True, True]
    assert world.read_trail("b").awards == []


# Two batches


async def test_a_batch_decided_from_what_has_moved_on_is_refused_whole(
    world: World, conn: Connection, other: Connection
) -> None:
    # Both have read the players before either writes: the second must not go through.
    requests = [make_request(p, at(0)) for p in "abp"]
    both = await asyncio.gather(
        claim_together(conn, requests),
        claim_together(other, list(reversed(requests))),
        return_exceptions=True,
    )
    failures = [answer for answer in both if isinstance(answer, BaseException)]
    assert all(db.is_worth_retrying(failure) for failure in failures)
    answers = [a for batch in both if not isinstance(batch, BaseException) for a in batch]
    assert Counter(list_statuses(answers))[ClaimStatus.NEW] == 3


async def test_batches_that_share_players_never_pay_twice_and_never_deadlock(world: World) -> None:
    players = [f"q{n}" for n in range(60)]
    world.add_players(*players)
    async with open_desk(world.dsn) as one, open_desk(world.dsn) as other:
        for day in range(3):
            answers = await asyncio.gather(
                *(
                    desk.claim(player_id=PlayerId(p), policy_key=KEY, now=at(day))
                    for desk, order in ((one, players), (other, players[::-1]))
                    for p in order
                )
            )
            assert Counter(list_statuses(answers)) == {
                ClaimStatus.NEW: 60,
                ClaimStatus.ALREADY_CLAIMED: 60,
            }
            assert len({answer.receipt_id for answer in answers}) == 60
    assert world.execute("select count(*) from xp.xp_awards") == [(180,)]


@pytest.mark.parametrize("cache", [0, 1000], ids=["without a cache", "with a cache"])
async def test_of_a_thousand_claims_at_once_one_is_new_and_all_have_its_receipt(
    world: World, cache: int
) -> None:
    async with (
        open_desk(world.dsn, cache=cache, batch=16) as one,
        open_desk(world.dsn, cache=cache, batch=16) as other,
    ):
        answers = await asyncio.gather(
            *(
                (one, other)[n % 2].claim(player_id=PlayerId("p"), policy_key=KEY, now=at(0))
                for n in range(DEVICES)
            )
        )
    assert Counter(list_statuses(answers)) == {
        ClaimStatus.NEW: 1,
        ClaimStatus.ALREADY_CLAIMED: DEVICES - 1,
    }
    figures = {(a.receipt_id, a.xp_awarded, a.streak, a.balance, a.explain) for a in answers}
    assert len(figures) == 1
    assert len(world.read_trail("p").awards) == 1


# A claim and a grant


async def test_a_claim_decided_before_a_grant_is_decided_again(
    world: World, conn: Connection
) -> None:
    await claim(conn, "p", at(0))
    with psycopg.connect(world.dsn) as granting:
        granting.execute(
            "insert into xp.xp_ledger (user_id, amount, reason, correlation_id, policy_key,"
            " policy_version) select user_id, 7, 'GRANT', gen_random_uuid(), 'none', 0"
            " from xp.xp_users where external_user_id = 'p'"
        )
        # The grant holds the balance: the claim has read the old one and waits to write.
        waiting = asyncio.create_task(claim(conn, "p", at(1)))
        await _await_lock(world)
        granting.commit()
    with pytest.raises(psycopg.errors.SerializationFailure) as stale:
        await waiting
    assert stale.value.diag.constraint_name == "xp_claims_stale"
    assert (await claim(conn, "p", at(1))).balance.current == 207


async def _await_lock(world: World) -> None:
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(10):
        while world.execute(query) == [(0,)]:
            await asyncio.sleep(0.01)


async def test_grants_that_race_claims_leave_every_receipt_true(world: World) -> None:
    players = [f"q{n}" for n in range(20)]
    world.add_players(*players)

    def grant_everybody() -> None:
        for n, player in enumerate(players * 3):
            world.grant(player, 1, number=n)

    async with open_desk(world.dsn, cache=0) as desk:
        granting = asyncio.create_task(asyncio.to_thread(grant_everybody))
        day = 0
        receipts: list[Receipt] = []
        while not granting.done() or day < 3:
            receipts += await asyncio.gather(
                *(desk.claim(player_id=PlayerId(p), policy_key=KEY, now=at(day)) for p in players)
            )
            day += 1
        await granting
    for player in players:
        mine = [r for r in receipts if r.player_id == player]
        assert [r.streak.current for r in mine] == list(range(1, day + 1))
        # A receipt shows the claims so far and those grants that came before it.
        granted = [r.balance.current - 100 * n for n, r in enumerate(mine, start=1)]
        assert granted == sorted(granted)
        assert set(granted) <= {0, 1, 2, 3}
        assert world.read_trail(player).balance.current == 100 * day + 3


async def test_an_error_is_an_answer_and_not_an_exception(world: World, conn: Connection) -> None:
    (answer,) = await claim_together(conn, [make_request("nobody", at(0))])
    assert isinstance(answer, EmberkeepError)
