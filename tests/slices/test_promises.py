"""What the database itself refuses, whoever writes."""

from __future__ import annotations

import psycopg
import pytest

from tests.claiming import World, assert_clean, at, claim, make_policy, open_writer

HOSTILE = [
    "update xp.xp_ledger set amount = amount + 1",
    "delete from xp.xp_ledger",
    "truncate xp.xp_ledger",
    "update xp.xp_awards set xp_awarded = 1",
    "delete from xp.xp_awards",
    "truncate xp.xp_awards cascade",
    "update xp.xp_policy_audit set actor = 'nobody'",
    "delete from xp.xp_policy_audit",
    "truncate xp.xp_policy_audit",
    "update xp.xp_time_zone_changes set is_granted = false, effective_at = null",
    "delete from xp.xp_time_zone_changes",
    "truncate xp.xp_time_zone_changes",
    "update event_store.events set data = '{}'",
    "delete from event_store.events",
    "truncate event_store.events cascade",
    "update xp.xp_policy_versions set base_xp_amount = 999",
    "update xp.xp_policy_versions set status = 'Draft', effective_at = null, published_at = null",
    "update xp.xp_policy_versions set revision = revision + 1",
    "delete from xp.xp_policy_versions",
    "update xp.xp_policy_streak_curve set multiplier = 9",
    "insert into xp.xp_policy_streak_curve values ('daily-login', 1, 1, 9, 0, false)",
    "delete from xp.xp_policy_streak_curve",
    "insert into xp.xp_policy_seasonal_boosts"
    " (policy_key, policy_version, label, multiplier, start_utc, end_utc)"
    " values ('daily-login', 1, 'x', 2, '2026-01-01', '2027-01-01')",
    "delete from xp.xp_policies",
]

DRAFT = (
    "insert into xp.xp_policy_versions (policy_key, policy_version, status, display_name,"
    " base_xp_amount, currency, claim_window_start_minutes, claim_window_duration_hours,"
    " anchor_strategy, grace_allowed_misses, grace_window_days, streak_model_type, created_by)"
    " select policy_key, %s, 'Draft', display_name, base_xp_amount, currency, 0, 24,"
    " anchor_strategy, 0, 0, streak_model_type, created_by"
    " from xp.xp_policy_versions where policy_version = 1"
)
"""A draft of the policy that is published."""


@pytest.fixture
async def world(database: str) -> World:
    """A database in which everything has happened once."""
    world = World(database)
    world.publish(make_policy())
    world.add_players("p")
    world.execute(
        "insert into xp.xp_policy_audit (policy_key, policy_version, step, actor)"
        " values ('daily-login', 1, 'published', 'test')"
    )
    world.execute(
        "insert into xp.xp_time_zone_changes"
        " (user_id, old_reward_tz, new_reward_tz, is_granted, requested_at, effective_at, actor)"
        " select user_id, 'UTC', 'Asia/Tokyo', true, %s, %s, 'test' from xp.xp_users",
        at(0),
        at(1),
    )
    async with open_writer(database) as conn:
        await claim(conn, "p", at(0))
    return world


@pytest.mark.parametrize("statement", HOSTILE)
def test_what_was_written_stays_as_it_was(world: World, statement: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation):
        world.execute(statement)
    assert_clean(world.dsn)


def test_no_part_of_a_draft_is_moved_into_what_is_published(world: World) -> None:
    world.execute(DRAFT, 2)
    world.execute("insert into xp.xp_policy_streak_curve values ('daily-login', 2, 9, 1, 0, false)")
    with pytest.raises(psycopg.errors.RestrictViolation, match="version 1 of policy daily-login"):
        world.execute(
            "update xp.xp_policy_streak_curve set policy_version = 1 where policy_version = 2"
        )


def test_a_policy_goes_only_when_no_version_of_it_is_left(world: World) -> None:
    world.execute("insert into xp.xp_policies values ('other', 'x', '', now(), 'test')")
    world.execute(DRAFT.replace("select policy_key", "select 'other'"), 1)
    with pytest.raises(psycopg.errors.RestrictViolation, match="policy other has versions"):
        world.execute("delete from xp.xp_policies where policy_key = 'other'")
    world.execute("delete from xp.xp_policy_versions where policy_key = 'other'")
    world.execute("delete from xp.xp_policies where policy_key = 'other'")


def test_a_second_draft_of_a_policy_is_refused(world: World) -> None:
    world.execute(DRAFT, 2)
    with pytest.raises(psycopg.errors.UniqueViolation, match="xp_policy_versions_draft_uidx"):
        world.execute(DRAFT, 3)
    world.execute("delete from xp.xp_policy_versions where status = 'Draft'")


def test_a_second_published_version_is_refused(world: World) -> None:
    world.publish(make_policy(), version=2, effective_at=at(0))
    with pytest.raises(psycopg.errors.UniqueViolation, match="xp_policy_versions_published_uidx"):
        world.execute(
            "update xp.xp_policy_versions set status = 'Published' where policy_version = 1"
        )


@pytest.mark.parametrize("amount", [-101, 2**53 - 100])
def test_a_balance_outside_its_bounds_is_refused(world: World, amount: int) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        world.grant("p", amount)


def test_the_rows_of_a_player_go_with_the_player(world: World) -> None:
    world.execute("delete from xp.xp_users")
    for table in ("xp_ledger", "xp_awards", "xp_balance", "xp_streaks", "xp_time_zone_changes"):
        assert world.execute(f"select count(*) from xp.{table}") == [(0,)]  # noqa: S608
