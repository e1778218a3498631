"""The statements of queries.sql, for the store of one schema."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import LiteralString

from emberkeep.base import sql
from emberkeep.events.model import DEFAULT_SCHEMA


@functools.cache
def for_schema(schema: str) -> Mapping[str, LiteralString]:
    """Return the statements by name. `schema` is plain: `check_schema` has seen it."""
    return sql.load("emberkeep.events", schema=(DEFAULT_SCHEMA, f'"{schema}"'))
