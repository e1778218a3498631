"""What a grant may be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import GrantInvalid, GrantWish
from emberkeep.xp.rules.balance import MAX_TOTAL
from emberkeep.xp.rules.player import measure_json

MAX_AMOUNT: Final = MAX_TOTAL
"""No balance could take more."""

CLAIM_REASON: Final = "DAILY_LOGIN"
"""The reason of the rows that claims write, and nobody else."""

REVERSAL_REASON: Final = "REVERSAL"
"""The reason of the rows that take others back."""

_REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)
_MAX_METADATA_BYTES: Final = 16_384
AFFECTS_LIFETIME: Final = "affectsLifetime"
"""The metadata by which a debit lowers the lifetime XP, too."""


def check_grant(wish: GrantWish) -> None:
    """Let a grant pass that can be written; whether the player can pay it is seen then.

    :raises GrantInvalid: with everything that is wrong
    """
    errors = tuple(_list_errors(wish))
    if errors:
        raise GrantInvalid("the grant cannot be written like this", errors)


def _list_errors(wish: GrantWish) -> Iterator[FieldError]:
    if not 1 <= abs(wish.amount) <= MAX_AMOUNT:
        yield FieldError("amount", f"must be a whole number up to {MAX_AMOUNT}, up or down, not 0")
    if _REASON.fullmatch(wish.reason) is None:
        message = "must be up to 64 capitals, digits and underscores, beginning with a capital"
        yield FieldError("reason", message)
    if wish.reason == CLAIM_REASON:
        yield FieldError("reason", f"must not be {CLAIM_REASON}: only claims write that")
    if wish.reason == REVERSAL_REASON:
        yield FieldError("reason", f"must not be {REVERSAL_REASON}: only reversals write that")
    if not isinstance(wish.metadata.get(AFFECTS_LIFETIME, False), bool):
        yield FieldError(f"metadata.{AFFECTS_LIFETIME}", "must be true or false")
    yield from list_metadata_errors(wish.metadata)


def list_metadata_errors(metadata: Mapping[str, object]) -> Iterator[FieldError]:
    """Yield what is wrong with the metadata of any ledger row."""
    size = measure_json(metadata)
    if size > _MAX_METADATA_BYTES:
        message = f"takes {size} bytes as JSON; at most {_MAX_METADATA_BYTES} are kept"
        yield FieldError("metadata", message)
