"""What taking back a ledger row means: everything it did to the balance is undone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import LedgerEntry, ReversalInvalid, ReversalOfReversal, ReversalWish
from emberkeep.xp.rules.grant import AFFECTS_LIFETIME, list_metadata_errors
from emberkeep.xp.rules.reason import MAX_REASON_CHARACTERS


def check_reversal(wish: ReversalWish) -> None:
    """Let a reversal pass whose words can be kept; whether the row can be reversed is seen then.

    :raises ReversalInvalid: with everything that is wrong
    """
    errors = tuple(_list_errors(wish))
    if errors:
        raise ReversalInvalid("the reversal cannot be written like this", errors)


def _list_errors(wish: ReversalWish) -> Iterator[FieldError]:
    if wish.reason is not None and not (
        1 <= len(wish.reason) <= MAX_REASON_CHARACTERS and wish.reason.isprintable()
    ):
        message = f"must be 1 to {MAX_REASON_CHARACTERS} characters that can be printed"
        yield FieldError("reason", message)
    for name in (AFFECTS_LIFETIME, "reason"):
        if name in wish.metadata:
            yield FieldError(f"metadata.{name}", "is what the reversal itself says")
    yield from list_metadata_errors(wish.metadata)


def make_metadata(original: LedgerEntry, wish: ReversalWish) -> dict[str, object]:
    """Return the metadata of the row that takes `original` back.

    It counts for life where `original` did: a credit that takes back a debit gives back the
    lifetime XP that the debit took, and no more.

    :raises ReversalOfReversal: when `original` takes another row back itself
    """
    if original.reverses_ledger_id is not None:
        raise ReversalOfReversal(
            "the row takes another one back itself", reverses=original.reverses_ledger_id
        )
    metadata = dict(wish.metadata)
    if wish.reason is not None:
        metadata["reason"] = wish.reason
    if counts_for_life(original):
        metadata[AFFECTS_LIFETIME] = True
    return metadata


def counts_for_life(entry: LedgerEntry) -> bool:
    """Say whether the row moved the lifetime XP."""
    return entry.amount > 0 or entry.metadata.get(AFFECTS_LIFETIME) is True
