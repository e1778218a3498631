"""Which kind of failure becomes which HTTP answer. The only such table in the house."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, cast

import msgspec
from litestar.exceptions import HTTPException

from emberkeep.base import db
from emberkeep.base.db import DatabaseUnavailable
from emberkeep.base.errors import (
    Conflict,
    EmberkeepError,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
)
from emberkeep.base.etag import Stale

CONTENT_TYPE: Final = b"application/problem+json"
REFERENCE_PATH: Final = "/docs/reference/errors"
BUG_CODE: Final = "server.bug"


class Malformed(Invalid):
    """The request cannot be read at all, so nothing can be said about its fields."""

    code = "request.malformed"


class Unauthenticated(EmberkeepError):
    """The request carries no access token, and this call needs one."""

    code = "request.unauthenticated"


class TokenRejected(Unauthenticated):
    """The access token is expired, not ours, or not a token."""

    code = "request.token_rejected"


class RouteUnknown(NotFound):
    """There is nothing under this path."""

    code = "request.route_unknown"


class MethodRefused(EmberkeepError):
    """The path exists; it does not answer to this method."""

    code = "request.method_refused"


class NotAcceptable(EmberkeepError):
    """Nothing that this call answers with is among what the caller accepts."""

    code = "request.not_acceptable"


class BodyTooLarge(EmberkeepError):
    """The body is larger than this service reads."""

    code = "request.body_too_large"


class MediaTypeRefused(EmberkeepError):
    """The body is not of a type that this call reads."""

    code = "request.media_type_refused"


class RateLimited(EmberkeepError):
    """Too many requests of one player; `retry_after_s` says when the next one is let through."""

    code = "request.rate_limited"

    def __init__(
        self, message: str, *, headers: Sequence[tuple[bytes, bytes]] = (), **facts: object
    ) -> None:
        super().__init__(message, **facts)
        self.headers = tuple(headers)


# The nearest class in the error's ancestry decides.
STATUS_OF: Final[Mapping[type[EmberkeepError], HTTPStatus]] = {
    Malformed: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    MethodRefused: HTTPStatus.METHOD_NOT_ALLOWED,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    Conflict: HTTPStatus.CONFLICT,
    Stale: HTTPStatus.PRECONDITION_FAILED,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MediaTypeRefused: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}

# What the framework raises by itself, as one of ours.
_FRAMEWORK: Final[Mapping[int, tuple[type[EmberkeepError], str]]] = {
    400: (Malformed, "the request cannot be read"),
    404: (RouteUnknown, "there is nothing under this path"),
    405: (MethodRefused, "this path does not answer to this method"),
    406: (NotAcceptable, "nothing acceptable can be answered"),
    413: (BodyTooLarge, "the body is too large"),
    415: (MediaTypeRefused, "the body's media type is not read here"),
}

_UNAVAILABLE_RETRY_S: Final = 1
# The framework's own words for what is not there; it does not say so as validation.
_MISSING_PARAMETER: Final = re.compile(
    r"Missing required (?:query|header|cookie) parameter '(?P<name>[^']+)' for path"
)
_WORD_START: Final = re.compile(r"(?<!^)(?=[A-Z])")


class Problem(msgspec.Struct, frozen=True):
    """An answer of RFC 9457: status, headers in lower case, and the document's bytes."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    code: str


def translate(error: Exception) -> EmberkeepError | None:
    """Return the anticipated failure that `error` is or stands for; None if it is a bug."""
    if isinstance(error, EmberkeepError):
        return error
    if db.is_connection_lost(error):
        # In a statement, so before COMMIT: the transaction is gone, and with it every effect.
        return DatabaseUnavailable("the database connection was lost")
    if db.is_worth_retrying(error):
        return Unavailable("others were at work on the same rows; nothing was written")
    if not isinstance(error, HTTPException):
        return None
    fields = _field_errors(error)
    if fields:
        return Invalid("the request has values that cannot be accepted", fields)
    if error.status_code not in _FRAMEWORK:
        return None
    kind, message = _FRAMEWORK[error.status_code]
    return kind(message)


def find_status(error: type[EmberkeepError]) -> HTTPStatus:
    """Return the status of the nearest kind in the ancestry of `error`."""
    for cls in error.__mro__:
        if cls in STATUS_OF:
            return STATUS_OF[cls]
    raise AssertionError(f"{error.__name__} is of no kind that has a status")


def name_title(error: type[EmberkeepError]) -> str:
    """Return the title of a class of errors: WindowClosed becomes `Window closed`."""
    return _WORD_START.sub(" ", error.__name__).capitalize()


def describe(error: EmberkeepError, request_id: str) -> Problem:
    """Return the problem document of an anticipated failure."""
    status = find_status(type(error))
    document: dict[str, object] = {
        "type": f"{REFERENCE_PATH}#{error.code}",
        "title": name_title(type(error)),
        "status": int(status),
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
    }
    if isinstance(error, Invalid) and error.errors:
        document["errors"] = [{"path": e.path, "message": e.message} for e in error.errors]
    # A fact may add to the document, never replace what every problem has.
    document |= {name: fact for name, fact in error.facts.items() if name not in document}
    return Problem(int(status), _headers(error), _encode(document), error.code)


def describe_bug(request_id: str) -> Problem:
    """Return the problem document of anything that was not anticipated; it shows no internals."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    document = {
        "type": f"{REFERENCE_PATH}#{BUG_CODE}",
        "title": "Bug",
        "status": int(status),
        "detail": "this is our mistake; it was logged under the request id",
        "code": BUG_CODE,
        "request_id": request_id,
    }
    headers = ((b"content-type", CONTENT_TYPE),)
    return Problem(int(status), headers, _encode(document), BUG_CODE)


def _encode(document: Mapping[str, object]) -> bytes:
    # Facts are written by every slice; one that JSON does not know must not hide the failure.
    return msgspec.json.encode(document, enc_hook=str)


def _headers(error: EmberkeepError) -> tuple[tuple[bytes, bytes], ...]:
    content_type = (b"content-type", CONTENT_TYPE)
    match error:
        case TokenRejected():
            challenge = b'Bearer realm="emberkeep", error="invalid_token"'
            return content_type, (b"www-authenticate", challenge)
        case Unauthenticated():
            return content_type, (b"www-authenticate", b'Bearer realm="emberkeep"')
        case MethodRefused():
            allowed = cast("tuple[str, ...]", error.facts.get("allowed", ()))
            return content_type, (b"allow", ", ".join(allowed).encode())
        case RateLimited():
            return content_type, _retry_after(error), *error.headers
        case Unavailable():
            return content_type, _retry_after(error)
        case _:
            return (content_type,)


def _retry_after(error: EmberkeepError) -> tuple[bytes, bytes]:
    return b"retry-after", str(error.facts.get("retry_after_s", _UNAVAILABLE_RETRY_S)).encode()


def _field_errors(error: HTTPException) -> tuple[FieldError, ...]:
    """Return the fields that the framework's own validation names."""
    missing = _MISSING_PARAMETER.match(error.detail)
    if missing is not None:
        return (FieldError(missing["name"], "is required"),)
    if not isinstance(error.extra, list):
        return ()
    found = cast("list[dict[str, str]]", error.extra)
    return tuple(_name_field(e.get("key", ""), e.get("message", "is not valid")) for e in found)


def _name_field(key: str, message: str) -> FieldError:
    # Where there is no body at all, the framework misses the handler's argument: a KeyError's text.
    if (key, message) == ("data", "'data'"):
        return FieldError("", "a JSON body is required")
    return FieldError(key, message)
