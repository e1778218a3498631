"""What the other nouns are made of: ids, exact numbers with their bounds, and frozen values."""

from __future__ import annotations

from typing import Annotated, Final, NewType

import msgspec

PlayerId = NewType("PlayerId", str)
"""The caller's own id of a player: `xp_users.external_user_id`."""

UserId = NewType("UserId", int)
"""Our surrogate for it: `xp_users.user_id`. It never leaves the house."""

PolicyKey = NewType("PolicyKey", str)
SegmentKey = NewType("SegmentKey", str)
SeasonId = NewType("SeasonId", str)

SCALE: Final = 10_000
"""Multipliers are whole ten-thousandths: 1.5 is 15_000. XP never meets a binary float."""

# What a policy document may hold is said once, on the fields: `rules/document.py` reads documents
# by these bounds and finds in `extra` what they cannot say.
_MAX_INT4: Final = 2**31 - 1
_SCALED: Final = {"is_scaled": True}
_MAX_MULTIPLIER: Final = 10_000 * SCALE - 1

Count = Annotated[int, msgspec.Meta(ge=0, le=_MAX_INT4)]
PositiveCount = Annotated[int, msgspec.Meta(ge=1, le=_MAX_INT4)]
Multiplier = Annotated[int, msgspec.Meta(ge=0, le=_MAX_MULTIPLIER, extra=_SCALED)]
PositiveMultiplier = Annotated[int, msgspec.Meta(ge=1, le=_MAX_MULTIPLIER, extra=_SCALED)]
BoostMultiplier = Annotated[int, msgspec.Meta(ge=SCALE, le=_MAX_MULTIPLIER, extra=_SCALED)]
Share = Annotated[int, msgspec.Meta(ge=0, le=SCALE, extra=_SCALED)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
SLUG: Final = msgspec.Meta(
    pattern="^[a-z0-9]+(-[a-z0-9]+)*$",
    max_length=64,
    extra={"must": "be a lower-case slug, such as daily-login, of at most 64 characters"},
)
Currency = Annotated[
    str, msgspec.Meta(pattern="^[A-Z]{2,8}$", extra={"must": "be 2 to 8 capital letters"})
]


class Noun(msgspec.Struct, frozen=True, gc=False):
    """A frozen value. Made ten times as fast as a dataclass, and the claim path counts.

    The garbage collector passes it over: frozen values cannot form cycles, and a walk over the
    receipts that a process remembers would hold up every claim meanwhile.
    """
