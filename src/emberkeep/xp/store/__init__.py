"""Rows in, XP values out: one function per statement in queries.sql, in modules by subject."""

from emberkeep.xp.store.catalogue import (
    VersionRow,
    list_overrides,
    list_policy_versions,
    list_seasons,
    read_revision,
)
from emberkeep.xp.store.claims import (
    ClaimRow,
    insert_claims,
    insert_missing_players,
    read_awards,
    read_player_states,
)

__all__ = [
    "ClaimRow",
    "VersionRow",
    "insert_claims",
    "insert_missing_players",
    "list_overrides",
    "list_policy_versions",
    "list_seasons",
    "read_awards",
    "read_player_states",
    "read_revision",
]
