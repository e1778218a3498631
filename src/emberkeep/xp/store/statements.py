"""The named statements of queries/, read once; and how a JSON column is read."""

from __future__ import annotations

from typing import Final

import msgspec

from emberkeep.base import sql

SQL: Final = sql.load("emberkeep.xp")

decode_object = msgspec.json.Decoder(dict[str, object]).decode
"""Return the JSON object in a text."""
