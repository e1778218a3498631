"""The named statements of queries.sql, read once."""

from __future__ import annotations

from typing import Final

from emberkeep.base import sql

SQL: Final = sql.load("emberkeep.xp")
