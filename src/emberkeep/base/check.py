"""What `emberkeep verify` says of one invariant: how much was looked at, and what breaks it."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_EXAMPLES: Final = 5
"""So many violations are named; the others are only counted."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One invariant, checked: `name` is what must hold, such as `xp: balances equal the ledger`."""

    name: str
    checked: int
    violations: int
    examples: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether the invariant holds."""
        return self.violations == 0


class Tally:
    """A check under way, for invariants that are found out row by row."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._checked = 0
        self._violations = 0
        self._examples: list[str] = []

    def count(self, violation: str | None) -> None:
        """Take in one more thing that was looked at, and what is wrong with it, if anything is."""
        self._checked += 1
        if violation is None:
            return
        self._violations += 1
        if len(self._examples) < MAX_EXAMPLES:
            self._examples.append(violation)

    def conclude(self) -> Check:
        """Return what was found."""
        return Check(
            name=self._name,
            checked=self._checked,
            violations=self._violations,
            examples=tuple(self._examples),
        )
