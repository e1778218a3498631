"""Rules of segments that failed while a claim was decided: counted, and told now and then."""

from __future__ import annotations

import datetime
from typing import Final

import structlog
from prometheus_client import Counter

from emberkeep.xp.model import ClaimStatus, Receipt, SegmentKey, SegmentReason

# A rule that fails for one player may fail for a million; one line a minute tells as much.
_QUIET: Final = datetime.timedelta(minutes=1)

_log = structlog.get_logger(__name__)


class RuleFailures:
    """What failed in this process. Nothing that is told here says anything of a player."""

    def __init__(self) -> None:
        # In no registry yet: the front adds it to those it shows, and tests make many of these.
        self.counter = Counter(
            "emberkeep_segment_rule_failures",
            "Claims for which the rule of a segment failed, so that the version in force decided.",
            ("segment",),
            registry=None,
        )
        self._untold: dict[SegmentKey, int] = {}
        self._told_at: dict[SegmentKey, datetime.datetime] = {}

    def note(self, receipt: Receipt, *, now: datetime.datetime) -> None:
        """Take in a receipt, which mostly has no failure in it."""
        choice = receipt.explain.chosen_by
        if choice is None or choice.reason is not SegmentReason.RULE_FAILED:
            return
        if receipt.status is not ClaimStatus.NEW:
            return
        segment = choice.segment
        self.counter.labels(segment).inc()
        self._untold[segment] = self._untold.get(segment, 0) + 1
        told_at = self._told_at.get(segment)
        if told_at is None or now - told_at >= _QUIET:
            self._told_at[segment] = now
            claims = self._untold.pop(segment)
            _log.warning(
                "segment_rule_failed", segment=segment, failure=choice.failure, claims=claims
            )
