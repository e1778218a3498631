"""What the routes of the event store share: strict bodies, and parameters with their bounds."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from litestar.params import PathParameter, QueryParameter

from emberkeep.base import page
from emberkeep.events import service
from emberkeep.events.model import Expected, ExpectedVersion, Source
from emberkeep.events.service.pages import MAX_ITEMS

# Numbers of JSON stop being exact there; a store never gets so far.
MAX_NUMBER: Final = 2**53


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request body; a field that is not known is refused."""


ExpectedBody: TypeAlias = (
    Literal["any", "no_stream", "stream_exists"] | Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
)
"""What a stream should be at; an integer is the version of its last event."""

StreamPath = Annotated[
    str, PathParameter(description="The stream's name, 1 to 512 characters, without a slash.")
]
SourcePath = Annotated[
    str, PathParameter(description="What the state was folded from: most often a stream.")
]
EventLimit = Annotated[
    int, QueryParameter(ge=1, le=MAX_ITEMS, description="How many events a page has at most.")
]
Limit = Annotated[
    int, QueryParameter(ge=1, le=page.MAX_ITEMS, description="How many items a page has at most.")
]
After = Annotated[
    str | None, QueryParameter(description="The `next` of the page before; none: the first page.")
]
SubscriptionPath = Annotated[
    str, PathParameter(description="The subscription's name, 1 to 255 characters, without a slash.")
]
SubscriptionSource = Annotated[
    str | None,
    QueryParameter(
        name="source",
        description="The `stream_id` of what it follows, where several have the name.",
    ),
]
Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]


def to_expected(value: str | int) -> ExpectedVersion:
    """Return the expectation that a body says."""
    return value if isinstance(value, int) else Expected(value)


def parse_source(name: str | None) -> Source | None:
    """Return what the query says a subscription follows.

    :raises SubscriptionInvalid: if nothing can have this name
    """
    return None if name is None else service.parse_source(name)
