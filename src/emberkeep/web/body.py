"""Read a request body and decode it: bounded in size and depth, and of plain JSON values only."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar, cast

import msgspec
from litestar.types import HTTPScope, Receive

from emberkeep.base.errors import FieldError, Invalid
from emberkeep.web.errors import BodyTooLarge, Malformed

MAX_BODY_BYTES: Final = 1_048_576
_MAX_DEPTH: Final = 100
_MAX_WHOLE: Final = 2**53

# Whatever this finds is looked at closely; nearly every body holds nothing of the kind: an escaped
# NUL, half of a surrogate pair, or a number that may pass 2^53.
_SUSPICIOUS: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|[0-9]{16}")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEP: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
# msgspec ends its messages with ` - at `$.a.b[0]``.
_PATH: Final = re.compile(
    r"^(?P<message>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*)`)?$", re.DOTALL
)
_NAMED_FIELD: Final = re.compile(
    r"Object (?P<fault>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL
)

_ANYTHING: Final = msgspec.json.Decoder()

T = TypeVar("T")


class Disconnected(Exception):
    """The client went away before its request was complete; there is nobody to answer."""


async def read_body(scope: HTTPScope, receive: Receive, *, max_bytes: int) -> bytes:
    """Return the whole body.

    :raises BodyTooLarge: as soon as the header or the bytes say so
    :raises Disconnected: if the client goes away first
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body = message["body"]
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    parts: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        parts.append(message["body"])
        size += len(message["body"])
        if size > max_bytes or _declared_size(scope) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise Disconnected


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return what `body` says, as the decoder's type.

    :raises Malformed: if it is not JSON, or nested too deep
    :raises Invalid: if it is JSON of another shape, or holds a value that no call accepts
    """
    _refuse_deep(body)
    if _SUSPICIOUS.search(body) is not None:
        _refuse_values(body)
    try:
        return _parse(decoder, body)
    except msgspec.ValidationError as e:
        _refuse_malformed(body)
        match = _PATH.match(str(e))
        assert match is not None
        error = _name_field(match["path"] or "", match["message"])
        raise Invalid("the body does not have the expected shape", (error,)) from e


def _name_field(path: str, message: str) -> FieldError:
    """Return the error with the path of the field, which the decoder names in its message only."""
    match = _NAMED_FIELD.fullmatch(message)
    if match is None:
        return FieldError(path, message)
    what = "is unknown" if match["fault"] == "contains unknown" else "is missing"
    return FieldError(f"{path}.{match['name']}" if path else match["name"], what)


def _parse(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise Malformed(f"the body is not JSON: {e}") from e
    except RecursionError as e:
        raise _too_deep() from e


def _refuse_malformed(body: bytes) -> None:
    """Refuse what is not JSON at all; a typed decoder stops at the first wrong type before it."""
    with contextlib.suppress(msgspec.ValidationError):
        _parse(_ANYTHING, body)


def _declared_size(scope: HTTPScope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _refuse_deep(body: bytes) -> None:
    # Counting is enough for nearly every body; strings may hold brackets, so a hit is not proof.
    if body.count(b"[") + body.count(b"{") <= _MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", body).translate(None, _NOT_BRACKETS)
    depths = itertools.accumulate(map(_STEP.__getitem__, brackets))
    if max(depths, default=0) > _MAX_DEPTH:
        raise _too_deep()


def _refuse_values(body: bytes) -> None:
    try:
        # The standard library's parser, because it lets through what msgspec does not name.
        document = json.loads(body)
    except (ValueError, RecursionError):
        return  # Not JSON: the decoder says so better.
    errors = tuple(_list_refused(document, ""))
    if errors:
        raise Invalid("the body has values that cannot be accepted", errors)


def _list_refused(value: Any, path: str) -> Iterator[FieldError]:
    match value:
        case str():
            yield from _list_refused_characters(value, path)
        case bool() | None:
            return
        case int() | float():
            if abs(value) > _MAX_WHOLE and isinstance(value, int):
                yield FieldError(path, "is beyond 2^53, where JSON numbers stop being exact")
        case list():
            for index, item in enumerate(cast("list[Any]", value)):
                yield from _list_refused(item, f"{path}[{index}]")
        case dict():
            for key, item in cast("dict[str, Any]", value).items():
                yield from _list_refused_characters(key, path)
                yield from _list_refused(item, f"{path}.{key}" if path else key)
        case _:
            raise AssertionError(f"JSON has no {type(value).__name__}")


def _list_refused_characters(text: str, path: str) -> Iterator[FieldError]:
    if "\0" in text:
        yield FieldError(path, "holds the character NUL")
    if any("\ud800" <= character <= "\udfff" for character in text):
        yield FieldError(path, "holds half of a surrogate pair")


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {max_bytes} bytes", max_bytes=max_bytes)


def _too_deep() -> Malformed:
    return Malformed(f"the body is nested deeper than {_MAX_DEPTH} levels")
