"""What the routes of XP share: strict bodies, and parameters with their bounds."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from emberkeep.base import page
from emberkeep.base.identity import Principal, acting_player
from emberkeep.xp.model import PlayerId


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request body; a field that is not known is refused."""


PlayerPath = Annotated[
    str, PathParameter(description="The player's id: the one that the platform gave.")
]
PolicyPath = Annotated[str, PathParameter(description="The policy's key, such as `daily-login`.")]
Priority = Annotated[int, msgspec.Meta(ge=-1000, le=1000)]
VersionPath = Annotated[
    int, PathParameter(ge=1, le=2**31 - 1, description="The number of the policy's version.")
]
Limit = Annotated[
    int,
    QueryParameter(ge=1, le=page.MAX_ITEMS, description="How many items a page has at most."),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The `ETag` of the document as it was read; none: overwrite whatever is there.",
    ),
]
ReasonQuery = Annotated[str, QueryParameter(description="Why, for the audit.")]
After = Annotated[
    str | None, QueryParameter(description="The `next` of the page before; none: the first page.")
]


def find_player(principal: Principal, player_id: str | None) -> PlayerId:
    """Return the player that the call is about; the errors are those of `acting_player`."""
    return PlayerId(acting_player(principal, player_id))
