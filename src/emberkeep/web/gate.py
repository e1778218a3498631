"""Who may pass: token, then rate, then role. Both lanes go through here."""

from __future__ import annotations

from emberkeep.base import identity
from emberkeep.base.identity import Permission, Principal
from emberkeep.web.auth import Authenticator
from emberkeep.web.errors import MediaTypeRefused, Unauthenticated
from emberkeep.web.exchange import Exchange
from emberkeep.web.limits import RateLimit


class Gate:
    """Holds what one process knows of its callers."""

    def __init__(self, authenticator: Authenticator, rate_limit: RateLimit) -> None:
        self._authenticator = authenticator
        self._rate_limit = rate_limit

    def admit(self, exchange: Exchange, permission: Permission) -> Principal | None:
        """Let the request pass and note who it comes from; None where anybody may call.

        :raises Unauthenticated: without a token that holds
        :raises RateLimited: if this player called too often
        :raises RoleRefused: if the role may not do this
        """
        if permission is Permission.PUBLIC:
            return None
        principal = self._authenticator.authenticate(exchange.authorization, now=exchange.now)
        exchange.principal = principal
        # Counted before the role is looked at: refused calls cost something too.
        exchange.limit_headers = self._rate_limit.admit(principal, at_s=exchange.started_s)
        identity.require(principal, permission)
        return principal


def require_principal(exchange: Exchange) -> Principal:
    """Return the caller that the gate noted.

    :raises Unauthenticated: on a public route, which knows no caller
    """
    if exchange.principal is None:
        raise Unauthenticated("this call needs an access token: Authorization: Bearer …")
    return exchange.principal


def require_json(exchange: Exchange) -> None:
    """Let a body pass that is, or does not say that it is not, JSON.

    :raises MediaTypeRefused: if it says that it is something else
    """
    if exchange.content_type is None or not exchange.body:
        return
    media_type = exchange.content_type.split(b";", 1)[0].strip().lower()
    if media_type != b"application/json" and not media_type.endswith(b"+json"):
        raise MediaTypeRefused("this call reads application/json")
