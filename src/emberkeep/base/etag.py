"""Entity tags: a document is overwritten only by someone who has seen what is there."""

from __future__ import annotations

import re

from emberkeep.base.errors import Conflict, FieldError, Invalid

_TAG = re.compile(r'"([0-9]{1,18})"')


class Stale(Conflict):
    """Someone else changed the document since it was read; read it again and repeat the change."""

    code = "request.stale"


class TagInvalid(Invalid):
    """`If-Match` does not hold one entity tag as this service gives them out."""

    code = "request.if_match_invalid"


def format_etag(revision: int) -> str:
    """Return the `ETag` of a document at `revision`."""
    return f'"{revision}"'


def parse_if_match(header: str | None) -> int | None:
    """Return the revision that `If-Match` names; None where there is none, or `*`.

    :raises TagInvalid: if the header is there and cannot be read
    """
    if header is None or header == "*":
        return None
    match = _TAG.fullmatch(header)
    if match is None:
        message = 'is not one quoted revision such as "3"'
        raise TagInvalid("the header If-Match cannot be read", (FieldError("If-Match", message),))
    return int(match[1])
