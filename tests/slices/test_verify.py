"""`verify` finds whatever is wrong: each kind of damage is done past the triggers, and is found."""

# ruff: noqa: S608 -- the damage is put together from constants.

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from emberkeep import wiring
from emberkeep.base.db import connect
from emberkeep.base.place import Place
from emberkeep.events.service import verify_events
from emberkeep.migrate.model import SchemaBehind
from emberkeep.wiring import ModuleUnknown
from emberkeep.xp.model import Milestone, MilestoneMetaReward
from emberkeep.xp.service.verify import verify_xp
from tests.acting import Operator
from tests.claiming import World, at, claim, make_policy, open_writer

if TYPE_CHECKING:
    from emberkeep.base.check import Check

BALANCES = "xp: balances equal the ledger"
LEFT = "xp: ledger rows say the balance that they left"
SEASONS = "xp: seasons' totals equal the ledger"
PAID = "xp: awards and ledger rows pair up"
TOLD = "xp: every award has its event"
LEVELS = "xp: levels are announced once each"
STREAKS = "xp: streaks equal their history"
REBUILT = "xp: awards are what their policy pays"
ORDERED = "xp: reward days increase with time"
PARSED = "xp: policies can be read"
HOLDS = "xp: one version of a policy holds at a time"
GAPS = "events: streams have no gaps"
LINKED = "events: links lead to events"
ONE_ORDER = "events: positions have one order"
CHECKPOINTS = "events: checkpoints lie within the store"
PARKED = "events: parked events can be replayed"

_OF_P = "user_id = (select user_id from xp.xp_users where external_user_id = 'p')"
_OF_Q = "user_id = (select user_id from xp.xp_users where external_user_id = 'q')"
_LAST = f"{_OF_P} and reward_day_id = '2026-03-05'"

DAMAGES = {
    "a balance too high": (
        f"update xp.xp_balance set current_balance = current_balance + 1 where {_OF_P}",
        {BALANCES},
    ),
    "lifetime too low": (
        f"update xp.xp_balance set lifetime_xp = lifetime_xp - 1 where {_OF_P}",
        {BALANCES},
    ),
    "seasonal of another season": (
        f"update xp.xp_balance set season_id = 'other' where {_OF_P}",
        {BALANCES, SEASONS},
    ),
    "more from the season than there was": (
        f"update xp.xp_balance set season_before = 1 where {_OF_P}",
        {SEASONS},
    ),
    "a season that brought nothing": (
        "insert into xp.xp_season_results select user_id, 'x', 1, now() from xp.xp_users"
        " where external_user_id = 'p'",
        {SEASONS},
    ),
    "no balance at all": (f"delete from xp.xp_balance where {_OF_P}", {BALANCES, LEVELS, SEASONS}),
    "an amount changed in the ledger": (
        f"update xp.xp_ledger set amount = 7 where {_OF_P} and reason = 'GRANT'",
        {BALANCES, LEFT, SEASONS},
    ),
    "a ledger row that says it left another balance": (
        "update xp.xp_ledger set balance_after = balance_after + 1"
        f" where {_OF_P} and reason = 'GRANT' and amount > 0",
        {LEFT},
    ),
    "a claim's ledger row lost": (
        f"delete from xp.xp_ledger where ledger_id = (select min(ledger_id) from xp.xp_ledger"
        f" where {_OF_P} and reason = 'DAILY_LOGIN')",
        {BALANCES, LEFT, PAID},
    ),
    "a claim's ledger row of another amount": (
        "update xp.xp_ledger set amount = amount + 1 where ledger_id = ("
        f"select min(ledger_id) from xp.xp_ledger where {_OF_P} and reason = 'DAILY_LOGIN')",
        {BALANCES, LEFT, PAID},
    ),
    "a ledger row that claims to be a login": (
        f"update xp.xp_ledger set reason = 'DAILY_LOGIN' where {_OF_P} and reason = 'GRANT'",
        {PAID},
    ),
    "an award lost": (
        f"delete from xp.xp_awards where {_OF_P} and reward_day_id = '2026-03-01'",
        {PAID, REBUILT, STREAKS},
    ),
    "the last award lost": (f"delete from xp.xp_awards where {_LAST}", {PAID, STREAKS}),
    "an award of another amount": (
        f"update xp.xp_awards set xp_awarded = xp_awarded + 1 where {_LAST}",
        {PAID, REBUILT},
    ),
    "an award of another streak day": (
        f"update xp.xp_awards set streak_day = 9 where {_LAST}",
        {REBUILT},
    ),
    "an award's grace": (
        "update xp.xp_awards set model_state_snapshot = jsonb_set(model_state_snapshot,"
        f" '{{streak,grace_used}}', '5') where {_LAST}",
        {REBUILT},
    ),
    "an award that shows another streak": (
        "update xp.xp_awards set model_state_snapshot = jsonb_set(model_state_snapshot,"
        f" '{{streak,current}}', '5') where {_LAST}",
        {REBUILT},
    ),
    "an award that shows a milestone": (
        "update xp.xp_awards set model_state_snapshot = jsonb_set(model_state_snapshot,"
        ' \'{milestones}\', \'[{"day": 1, "reward_type": "badge", "reward_value": "x"}]\')'
        f" where {_LAST}",
        {REBUILT},
    ),
    "an award that explains itself otherwise": (
        "update xp.xp_awards set model_state_snapshot = jsonb_set(model_state_snapshot,"
        f" '{{explain,curve_multiplier}}', '\"9.0000\"') where {_LAST}",
        {REBUILT},
    ),
    "an award of a policy that is not there": (
        f"update xp.xp_awards set policy_version = 9 where {_LAST}",
        {PAID, REBUILT, STREAKS},
    ),
    "an award of no day": (
        f"update xp.xp_awards set reward_day_id = 'zzz' where {_LAST}",
        {STREAKS, REBUILT},
    ),
    "an award made before the one before it": (
        f"update xp.xp_awards set created_at = '2026-01-01' where {_LAST}",
        {ORDERED},
    ),
    "two awards of one receipt": (
        "update xp.xp_awards set receipt_id = (select receipt_id from xp.xp_awards"
        f" where {_OF_P} and reward_day_id = '2026-03-01') where {_LAST}",
        {PAID, TOLD},
    ),
    "an event lost": (
        "delete from event_store.events where stream_id = 'player-p' and stream_version = 2",
        {TOLD, GAPS},
    ),
    "the last event lost": (
        "delete from event_store.events where stream_id = 'player-p' and event_type ="
        " 'DailyLoginClaimed' and stream_version = (select max(stream_version)"
        " from event_store.events where stream_id = 'player-p')",
        {TOLD, GAPS},
    ),
    "an event on another stream": (
        "update event_store.events set stream_id = 'player-q', stream_version = 99"
        " where stream_id = 'player-p' and stream_version = 1",
        {TOLD, GAPS},
    ),
    "a stream that has counted too far": (
        "update event_store.event_streams set stream_version = stream_version + 1"
        " where stream_id = 'player-p'",
        {GAPS},
    ),
    "a level told twice": (
        "update event_store.events set data = jsonb_set(data, '{level}', '2')"
        " where stream_id = 'player-p' and event_type = 'LevelReached' and data ->> 'level' = '3'",
        {LEVELS},
    ),
    "a level told to somebody else": (
        "update event_store.events set stream_id = 'player-q', stream_version = 99"
        " where stream_id = 'player-p' and event_type = 'LevelReached' and data ->> 'level' = '3'",
        {LEVELS, GAPS},
    ),
    "a level that nobody was told of": (
        f"update xp.xp_balance set highest_levels = '{{\"daily-login\": 4}}' where {_OF_P}",
        {LEVELS},
    ),
    "levels forgotten": (
        f"update xp.xp_balance set highest_levels = '{{}}' where {_OF_P}",
        {LEVELS},
    ),
    "a streak too long": (
        f"update xp.xp_streaks set current_streak = 99 where {_OF_P}",
        {STREAKS},
    ),
    "a longest streak too short": (
        f"update xp.xp_streaks set longest_streak = 1 where {_OF_P}",
        {STREAKS},
    ),
    "grace forgotten": (f"update xp.xp_streaks set grace_used = 0 where {_OF_P}", {STREAKS}),
    "a last day too late": (
        f"update xp.xp_streaks set last_reward_day_id = '2026-03-09' where {_OF_P}",
        {STREAKS},
    ),
    "a milestone forgotten": (
        f"update xp.xp_streaks set model_state = '{{}}' where {_OF_P}",
        {STREAKS},
    ),
    "a streak of someone who never claimed": (
        "update xp.xp_streaks set current_streak = 1, longest_streak = 1 where user_id ="
        " (select user_id from xp.xp_users where external_user_id = 'idle')",
        {STREAKS},
    ),
    "an action that the streak does not show": (
        f"delete from xp.xp_streak_actions where {_OF_Q}",
        {STREAKS},
    ),
    "an action of another number of freezes": (
        f"update xp.xp_streak_actions set freezes = 2 where {_OF_Q}",
        {STREAKS},
    ),
    "an action behind another claim": (
        f"update xp.xp_streak_actions set after_reward_day_id = null where {_OF_Q}",
        {REBUILT, STREAKS},
    ),
    "an action that is not counted": (
        f"update xp.xp_streaks set action_count = 0 where {_OF_Q}",
        {STREAKS},
    ),
    "an award that shows another model state": (
        "update xp.xp_awards set model_state_snapshot = jsonb_set(model_state_snapshot,"
        f" '{{model_state,freezes}}', '7') where {_LAST}",
        {REBUILT},
    ),
    "a model state that is no object": (
        f"update xp.xp_streaks set model_state = '[]' where {_OF_P}",
        {STREAKS},
    ),
    "levels that are no object": (
        f"update xp.xp_balance set highest_levels = '[]' where {_OF_P}",
        {LEVELS},
    ),
    "a level that is no number": (
        f'update xp.xp_balance set highest_levels = \'{{"daily-login": "x"}}\' where {_OF_P}',
        {LEVELS},
    ),
    "no streak at all": (f"delete from xp.xp_streaks where {_OF_P}", {STREAKS}),
    "a published policy that was changed": (
        "update xp.xp_policy_versions set base_xp_amount = 101",
        {REBUILT},
    ),
    "a policy that cannot be read": (
        "update xp.xp_policy_versions set streak_model_type = 'Unheard'",
        {PARSED, REBUILT, STREAKS},
    ),
    "two versions in force": (
        "insert into xp.xp_policy_versions select (version).* from (select"
        ' jsonb_populate_record(version, \'{"policy_version": 2, "status": "Archived"}\')'
        " as version from xp.xp_policy_versions as version) as copy",
        {HOLDS, PARSED},
    ),
}


@pytest.fixture
async def world(database: str) -> World:
    """Two players with a history: grace, a milestone, a freeze, a season, grants; and one without."""
    world = World(database)
    milestones = (Milestone(day=2, reward_type="badge", reward_value="two"),)
    model = MilestoneMetaReward(milestones=milestones)
    world.publish(make_policy(model, grace=(2, 2), freezes=(3, 0)))
    world.add_players("p", "q", "idle")
    world.add_season("s", 2, 9)
    world.add_levels(150, 300, 9000)
    async with open_writer(database) as conn:
        for player_id in ("p", "q"):
            for day in (0, 1, 2, 4):
                await claim(conn, player_id, at(day))
        await Operator(conn).grant("q", 1, at(4))
    world.grant("p", 50, number=1, season_id="s")
    world.grant("p", -20, number=2)
    world.grant("p", -10, number=3, metadata={"affectsLifetime": True})
    return world


async def _verify(dsn: str) -> list[Check]:
    async with await connect(dsn) as conn:
        return [*await verify_events(conn), *await verify_xp(conn)]


async def test_what_the_services_wrote_is_clean_and_all_of_it_was_looked_at(world: World) -> None:
    checks = await _verify(world.dsn)
    assert [check for check in checks if not check.is_clean] == []
    assert {check.name: check.checked for check in checks} == {
        GAPS: 2,
        LINKED: 0,
        ONE_ORDER: 3,
        CHECKPOINTS: 0,
        PARKED: 0,
        BALANCES: 3,
        LEFT: 11,
        SEASONS: 2,
        PAID: 8,
        TOLD: 8,
        LEVELS: 2,
        STREAKS: 3,
        REBUILT: 8,
        ORDERED: 8,
        PARSED: 1,
        HOLDS: 1,
    }


async def test_an_empty_database_is_clean(database: str) -> None:
    assert all(check.is_clean for check in await _verify(database))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_damage_is_found_and_named(world: World, damage: tuple[str, set[str]]) -> None:
    statement, broken = damage
    with psycopg.connect(world.dsn) as conn:
        # As a restore or a careless hand would: no trigger fires, no constraint is looked at.
        conn.execute("set session_replication_role = replica")
        assert conn.execute(statement.encode()).rowcount > 0
    checks = await _verify(world.dsn)
    assert {check.name for check in checks if not check.is_clean} == broken
    assert all(check.examples for check in checks if not check.is_clean)


async def test_verifying_changes_nothing_and_waits_for_nobody(world: World) -> None:
    with psycopg.connect(world.dsn) as conn:
        conn.execute("lock table xp.xp_ledger, xp.xp_awards, xp.xp_users in exclusive mode")
        assert all(check.is_clean for check in await _verify(world.dsn))


async def test_a_module_is_verified_alone(world: World) -> None:
    place = Place(world.dsn, world.dsn, None)
    checks = await wiring.verify(place, module="events")
    assert {check.name for check in checks} == {
        GAPS,
        LINKED,
        ONE_ORDER,
        CHECKPOINTS,
        PARKED,
    }
    with pytest.raises(ModuleUnknown):
        await wiring.verify(place, module="nothing")


async def test_a_schema_of_another_version_is_not_verified(empty_database: str) -> None:
    with pytest.raises(SchemaBehind):
        await wiring.verify(Place(empty_database, empty_database, None))
