"""Access tokens: signed here, read here, and remembered so that the claim path pays once for each.

A token is a JWT signed with HS256 and the service's secret key. The algorithm is pinned: what the
token's own header asks for is never followed.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from emberkeep.base.config import Secret
from emberkeep.base.identity import Principal, Role
from emberkeep.web.errors import TokenRejected, Unauthenticated

ISSUER: Final = "emberkeep"
_ALGORITHM: Final = "HS256"
_CLOCK_SKEW_S: Final = 30
# The last day of the calendar, so that the skew can be added.
_LATEST_EXPIRY: Final = 253_402_214_400
# A token takes about 600 bytes here, so a full cache stays below 40 MB.
_MAX_CACHED_TOKENS: Final = 65_536
_MAX_TOKEN_BYTES: Final = 4_096
_SCHEME: Final = b"bearer "


class _Claims(msgspec.Struct, frozen=True):
    """What a token of ours must say. A subject that is no text could not be written anywhere."""

    iss: str
    sub: Annotated[
        str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\0\ud800-\udfff]+$")
    ]
    role: Role
    iat: int
    exp: Annotated[int, msgspec.Meta(le=_LATEST_EXPIRY)]
    jti: str


class Keys:
    """The key that signs, and those that are accepted."""

    def __init__(self, current: Secret, previous: Secret | None = None) -> None:
        self.signing = OctKey.import_key(current.reveal)
        older = (previous,) if previous is not None else ()
        self.accepted = (self.signing, *(OctKey.import_key(key.reveal) for key in older))


def make_token(
    keys: Keys,
    principal: Principal,
    *,
    token_id: str,
    ttl: datetime.timedelta,
    now: datetime.datetime,
) -> str:
    """Return a token that stands for `principal` from `now` until `now + ttl`."""
    issued_at = int(now.timestamp())
    claims = {
        "iss": ISSUER,
        "sub": principal.subject,
        "role": principal.role.value,
        "iat": issued_at,
        "exp": issued_at + int(ttl.total_seconds()),
        "jti": token_id,
    }
    return jwt.encode({"alg": _ALGORITHM}, claims, keys.signing, algorithms=[_ALGORITHM])


def read_token(
    keys: Keys, token: str, *, now: datetime.datetime
) -> tuple[Principal, datetime.datetime]:
    """Return whom `token` stands for, and until when.

    :raises TokenRejected: if it is not a token of ours that holds at `now`
    """
    claims = _convert(_verify(keys, token))
    at = now.timestamp()
    if claims.iss != ISSUER:
        raise TokenRejected("the access token was issued by somebody else")
    if claims.exp + _CLOCK_SKEW_S <= at:
        raise TokenRejected("the access token has expired")
    if claims.iat - _CLOCK_SKEW_S > at:
        raise TokenRejected("the access token is from the future; compare the clocks")
    expires_at = datetime.datetime.fromtimestamp(claims.exp + _CLOCK_SKEW_S, datetime.UTC)
    return Principal(claims.sub, claims.role), expires_at


def _verify(keys: Keys, token: str) -> object:
    for key in keys.accepted:
        try:
            return jwt.decode(token, key, algorithms=[_ALGORITHM]).claims
        except (JoseError, ValueError, RecursionError):
            # Nothing is trusted before the signature holds, so how it fails to be one is no news.
            continue
    raise TokenRejected("the access token is not signed by this service")


def _convert(claims: object) -> _Claims:
    try:
        return msgspec.convert(claims, _Claims)
    except msgspec.ValidationError as e:
        raise TokenRejected("the access token lacks a claim that this service needs") from e


class Authenticator:
    """Turns the `Authorization` header into a caller; remembers those that were verified."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._verified: dict[bytes, tuple[Principal, datetime.datetime]] = {}

    def authenticate(self, authorization: bytes | None, *, now: datetime.datetime) -> Principal:
        """Return the caller.

        :raises Unauthenticated: if the header is missing or of another scheme
        :raises TokenRejected: if the token does not hold
        """
        if authorization is None:
            raise Unauthenticated("this call needs an access token: Authorization: Bearer …")
        verified = self._verified.get(authorization)
        if verified is None:
            verified = self._remember(authorization, now)
        principal, expires_at = verified
        if expires_at <= now:
            del self._verified[authorization]
            raise TokenRejected("the access token has expired")
        return principal

    def _remember(
        self, authorization: bytes, now: datetime.datetime
    ) -> tuple[Principal, datetime.datetime]:
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthenticated("this call needs an access token: Authorization: Bearer …")
        token = authorization[len(_SCHEME) :].strip()
        if len(token) > _MAX_TOKEN_BYTES or not token.isascii():
            raise TokenRejected("the access token is not a token")
        verified = read_token(self._keys, token.decode("ascii"), now=now)
        if len(self._verified) >= _MAX_CACHED_TOKENS:
            # The oldest goes first; it is verified anew if it comes again.
            del self._verified[next(iter(self._verified))]
        self._verified[authorization] = verified
        return verified
