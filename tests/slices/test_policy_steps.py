"""Steps in the life of a policy: whole with their audit or not at all, within the service's rights."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from emberkeep.base.db import connect
from emberkeep.xp.model import PolicyKey, SegmentKey
from emberkeep.xp.rules.policy import render_policy
from emberkeep.xp.service import policies
from tests.claiming import KEY, World, at, make_policy

if TYPE_CHECKING:
    from emberkeep.base.db import Connection

OTHER = PolicyKey("other")


def _document(key: str, base_xp: int) -> bytes:
    return json.dumps(render_policy(make_policy(key=key, base_xp=base_xp))).encode()


async def _create(conn: Connection, **step: Any) -> object:
    document = _document(KEY, 300)
    return await policies.create_version(conn, document=document, max_award_xp=5000, **step)


async def _edit(conn: Connection, **step: Any) -> object:
    return await policies.edit_draft(
        conn,
        policy_version=1,
        document=_document(OTHER, 200),
        expected_revision=1,
        max_award_xp=5000,
        **step,
    )


async def _delete(conn: Connection, **step: Any) -> object:
    return await policies.delete_draft(conn, policy_version=1, expected_revision=1, **step)


async def _publish(conn: Connection, **step: Any) -> object:
    overrides = {SegmentKey("vip"): 1}
    return await policies.publish_version(
        conn, policy_version=1, effective_at=None, overrides=overrides, **step
    )


async def _roll_back(conn: Connection, **step: Any) -> object:
    return await policies.roll_back_policy(conn, to_version=None, effective_at=None, **step)


async def _retire(conn: Connection, **step: Any) -> object:
    return await policies.retire_version(conn, policy_version=3, **step)


async def _cancel(conn: Connection, **step: Any) -> object:
    return await policies.cancel_version(conn, policy_version=3, **step)


async def _override(conn: Connection, **step: Any) -> object:
    overrides = {SegmentKey("vip"): 2}
    return await policies.put_overrides(conn, overrides=overrides, **step)


STEPS: dict[str, tuple[PolicyKey, Callable[..., Awaitable[object]]]] = {
    "create": (KEY, _create),
    "edit": (OTHER, _edit),
    "delete": (OTHER, _delete),
    "publish": (OTHER, _publish),
    "roll back": (KEY, _roll_back),
    "retire": (KEY, _retire),
    "cancel": (KEY, _cancel),
    "override": (KEY, _override),
}


@pytest.fixture
def world(database: str) -> World:
    """A policy whose third version waits for its instant, and another that is a draft."""
    world = World(database)
    world.publish(make_policy(), effective_at=at(0))
    world.publish(make_policy(base_xp=200), version=2, effective_at=at(1))
    world.publish(make_policy(base_xp=300), version=3, effective_at=at(9))
    world.draft(make_policy(key=OTHER))
    return world


def _read_all(world: World) -> list[Any]:
    return [
        world.execute(f"select * from xp.{table} order by 1, 2, 3")  # noqa: S608
        for table in (
            "xp_policies",
            "xp_policy_versions",
            "xp_policy_streak_curve",
            "xp_policy_segment_overrides",
            "xp_policy_audit",
        )
    ]


@pytest.mark.parametrize("case", STEPS.values(), ids=STEPS.keys())
async def test_a_step_that_cannot_be_audited_is_not_taken(
    world: World, case: tuple[PolicyKey, Callable[..., Awaitable[object]]]
) -> None:
    key, take = case
    before = _read_all(world)
    world.execute("alter table xp.xp_policy_audit add constraint shut check (false) not valid")
    async with await connect(world.dsn) as conn:
        with pytest.raises(psycopg.errors.CheckViolation, match="shut"):
            await take(conn, policy_key=key, actor="olga", reason="why", now=at(5))
        assert _read_all(world) == before
        world.execute("alter table xp.xp_policy_audit drop constraint shut")
        # As the service: every step is within its rights.
        await conn.execute("set role emberkeep_service")
        await take(conn, policy_key=key, actor="olga", reason="why", now=at(5))
    audited = world.execute("select distinct actor, reason, created_at from xp.xp_policy_audit")
    assert audited == [("olga", "why", at(5))]
    assert _read_all(world)[:4] != before[:4]
