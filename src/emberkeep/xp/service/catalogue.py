"""Policies, segments and seasons, loaded when they change and shared by all claims of a process.

The database counts changes in one row. Every batch of claims reads that number with its players, so
that no claim is ever decided by a policy that was replaced before the claim was read.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from emberkeep.base.db import Connection
from emberkeep.xp import store
from emberkeep.xp.model import Policy, PolicyInvalid, PolicyKey, PolicyVersion
from emberkeep.xp.rules import policy
from emberkeep.xp.rules.catalogue import Catalogue, make_catalogue
from emberkeep.xp.rules.streak_history import Policies
from emberkeep.xp.store import VersionRow

# What is in the tables was validated on its way in, perhaps under a higher cap than today's.
_ANY_AWARD = 2**62


async def load_catalogue(conn: Connection) -> Catalogue:
    """Return all policies, segments and seasons as they stand now.

    The revision is read first: should something change in between, the number is too low and the
    next batch loads again.
    """
    revision = await store.read_revision(conn)
    return make_catalogue(
        revision=revision,
        versions=[to_version(row) for row in await store.list_policy_versions(conn)],
        overrides=await store.list_segment_overrides(conn),
        segments=await store.list_segments(conn),
        seasons=await store.list_seasons(conn),
        level_curves=await store.list_level_curves(conn),
    )


async def refresh_catalogue(conn: Connection, catalogue: Catalogue) -> Catalogue:
    """Return `catalogue` if nothing has changed since it was loaded, else the present one."""
    if await store.read_revision(conn) == catalogue.revision:
        return catalogue
    return await load_catalogue(conn)


def to_version(row: VersionRow) -> PolicyVersion:
    """Return the version that `row` holds, its document parsed as one from outside would be."""
    return PolicyVersion(
        policy=policy.parse_policy(row.document, max_award_xp=_ANY_AWARD),
        policy_version=row.policy_version,
        status=row.status,
        effective_at=row.effective_at,
        superseded_at=row.superseded_at,
        published_at=row.published_at,
        created_at=row.created_at,
        created_by=row.created_by,
        revision=row.revision,
    )


def read_policies(rows: Sequence[VersionRow]) -> tuple[Policies, dict[str, str]]:
    """Return every version that can be read, and of the others, by name, why not."""
    policies: dict[tuple[PolicyKey, int], Policy] = {}
    broken: dict[str, str] = {}
    for row in rows:
        try:
            version = to_version(row)
        except (PolicyInvalid, msgspec.ValidationError) as e:
            broken[name_version(row)] = str(e)
        else:
            policies[version.policy.policy_key, version.policy_version] = version.policy
    return policies, broken


def name_version(row: VersionRow) -> str:
    """Return how a version is called where something is wrong with it."""
    return f"{row.document['policy_key']} version {row.policy_version}"
