"""What a slice tells a monitor of its state: figures that are true of the database, not of a process."""

from __future__ import annotations

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a gauge. The name has its unit at the end; `explains` is the same for all."""

    name: str
    explains: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
