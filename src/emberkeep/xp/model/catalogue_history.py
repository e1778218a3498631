"""What was done to segments, seasons and level curves."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping

from emberkeep.xp.model.noun import Noun


class CatalogueSubject(enum.StrEnum):
    """What of the catalogue, beside policies, has an audit of its own."""

    SEGMENT = "segment"
    SEASON = "season"
    LEVEL_CURVE = "level_curve"


class CatalogueStep(Noun, frozen=True, kw_only=True):
    """A step that somebody took; `details` hold what it changed."""

    audit_id: int
    step: str
    actor: str
    reason: str
    details: Mapping[str, object]
    at: datetime.datetime
