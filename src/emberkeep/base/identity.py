"""Who calls, and what each role may do. Deny by default: a permission that is not listed is refused."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import msgspec

from emberkeep.base.errors import FieldError, Forbidden, Invalid


class Role(enum.StrEnum):
    """What kind of caller a token was made for."""

    PLAYER = "player"
    OPERATOR = "operator"
    SERVICE = "service"
    ADMIN = "admin"


class Permission(enum.StrEnum):
    """What a route asks of its caller. Every route names exactly one."""

    PUBLIC = "public"
    CLAIM = "daily-login:claim"
    READ_PLAYER = "players:read"
    WRITE_PLAYER = "players:write"
    CHANGE_TIME_ZONE = "players:change-time-zone"
    GRANT_XP = "xp:grant"
    REBUILD_XP = "xp:rebuild"
    GRANT_FREEZES = "streaks:grant-freezes"
    PAUSE_STREAK = "streaks:pause"
    REPAIR_STREAK = "streaks:repair"
    READ_CATALOGUE = "catalogue:read"
    READ_POLICIES = "policies:read"
    WRITE_POLICIES = "policies:write"
    WRITE_SEASONS = "seasons:write"
    READ_EVENTS = "events:read"
    APPEND_EVENTS = "events:append"
    DELETE_STREAMS = "streams:delete"
    ERASE_STREAMS = "streams:erase"
    MANAGE_SUBSCRIPTIONS = "subscriptions:manage"


# A player acts on itself only: `acting_player` holds that, not this table.
PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.PLAYER: frozenset(
        {
            Permission.PUBLIC,
            Permission.CLAIM,
            Permission.READ_PLAYER,
            Permission.CHANGE_TIME_ZONE,
            Permission.PAUSE_STREAK,
            Permission.READ_CATALOGUE,
        }
    ),
    Role.SERVICE: frozenset(
        {
            Permission.PUBLIC,
            Permission.CLAIM,
            Permission.READ_PLAYER,
            Permission.WRITE_PLAYER,
            Permission.CHANGE_TIME_ZONE,
            Permission.GRANT_XP,
            Permission.GRANT_FREEZES,
            Permission.PAUSE_STREAK,
            Permission.READ_CATALOGUE,
            Permission.READ_POLICIES,
            Permission.READ_EVENTS,
            Permission.APPEND_EVENTS,
        }
    ),
    Role.OPERATOR: frozenset(
        {
            Permission.PUBLIC,
            Permission.READ_PLAYER,
            Permission.GRANT_XP,
            Permission.REBUILD_XP,
            Permission.GRANT_FREEZES,
            Permission.PAUSE_STREAK,
            Permission.REPAIR_STREAK,
            Permission.READ_CATALOGUE,
            Permission.READ_POLICIES,
            Permission.WRITE_POLICIES,
            Permission.WRITE_SEASONS,
            Permission.READ_EVENTS,
            Permission.DELETE_STREAMS,
            Permission.MANAGE_SUBSCRIPTIONS,
        }
    ),
    Role.ADMIN: frozenset(Permission),
}


class Principal(msgspec.Struct, frozen=True):
    """The caller of one request. A player's `subject` is the player's id."""

    subject: str
    role: Role


class RoleRefused(Forbidden):
    """The caller's role may not do this."""

    code = "request.role_refused"


class NotYourself(Forbidden):
    """A player's token acts on that player only."""

    code = "request.not_yourself"


class PlayerRequired(Invalid):
    """The caller is not a player, so the request must say which player it is about."""

    code = "request.player_required"


def require(principal: Principal, permission: Permission) -> None:
    """Let the call pass if the caller's role has `permission`.

    :raises RoleRefused: if it has not
    """
    if permission not in PERMISSIONS[principal.role]:
        raise RoleRefused(
            f"the role {principal.role} may not do this",
            role=principal.role,
            permission=permission,
        )


def acting_player(principal: Principal, player_id: str | None) -> str:
    """Return the player that the call is about: a player's own, or the one that is named.

    :raises NotYourself: if a player names another player
    :raises PlayerRequired: if anybody else names none
    """
    if principal.role is Role.PLAYER:
        if player_id not in (None, principal.subject):
            raise NotYourself("a player acts on itself only")
        return principal.subject
    if player_id is None:
        raise PlayerRequired(
            f"the role {principal.role} must name the player",
            (FieldError("player_id", "is required"),),
        )
    return player_id
