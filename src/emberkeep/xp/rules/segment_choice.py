"""Which of a policy's overrides holds for a player: the first whose segment the player is in. Pure.

Overrides come in order of priority, the highest first; among equals the segment whose key sorts
first. A rule that fails before any of them holds decides for the version in force: who is owed the
special version cannot be told, and a claim is never refused for it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from emberkeep.xp.model import (
    Membership,
    Override,
    PlayerState,
    Segment,
    SegmentChoice,
    SegmentKey,
    SegmentReason,
)
from emberkeep.xp.rules.cel import Failure
from emberkeep.xp.rules.segment import Facts, RuleChain, ask


class SegmentDecider:
    """The overrides of one policy, ready to be asked for many players."""

    def __init__(
        self, overrides: Iterable[Override], segments: Mapping[SegmentKey, Segment]
    ) -> None:
        self.overrides = sort_overrides(overrides)
        self._places = {
            override.segment_key: place for place, override in enumerate(self.overrides)
        }
        ruled = [
            (place, segment.rule)
            for place, override in enumerate(self.overrides)
            if (segment := segments.get(override.segment_key)) is not None
            and segment.rule is not None
        ]
        # The places of the overrides whose segments have rules, in the order of the chain.
        self._ruled = [place for place, _ in ruled]
        self._chain = RuleChain([rule for _, rule in ruled])

    def choose(self, facts: Facts) -> SegmentChoice | None:
        """Return the override that holds, or the rule that failed before one did; None: neither."""
        player = facts.player
        carries_none = player.segment_key is None and not player.segment_keys
        named = None if carries_none else self._find_named(player)
        end = len(self._ruled) if named is None else bisect_left(self._ruled, named[0])
        if end:
            found = self._chain.find_first(facts, end=end)
            if found is not None:
                return self._to_choice(self._ruled[found[0]], SegmentReason.RULE, found[1])
        return None if named is None else self._to_choice(*named)

    def find_target(self, choice: SegmentChoice) -> int:
        """Return the version that `choice`, which is no failure, comes to."""
        return self.overrides[self._places[choice.segment]].policy_version

    def _find_named(self, player: PlayerState) -> tuple[int, SegmentReason] | None:
        """Return the first override that holds whatever the rules say."""
        found: tuple[int, SegmentReason] | None = None
        if player.segment_key is not None:
            place = self._places.get(player.segment_key)
            if place is not None:
                found = place, SegmentReason.SEGMENT_KEY
        for key in player.segment_keys:
            place = self._places.get(key)
            if place is not None and (found is None or place < found[0]):
                found = place, SegmentReason.MEMBER
        return found

    def _to_choice(
        self, place: int, reason: SegmentReason, failure: Failure | None = None
    ) -> SegmentChoice:
        override = self.overrides[place]
        return SegmentChoice(
            segment=override.segment_key,
            reason=reason if failure is None else SegmentReason.RULE_FAILED,
            priority=override.priority,
            failure=None if failure is None else failure.kind,
        )


def sort_overrides(overrides: Iterable[Override]) -> tuple[Override, ...]:
    """Return overrides in the order in which they are asked."""
    return tuple(sorted(overrides, key=lambda o: (-o.priority, o.segment_key)))


def find_membership(segment: Segment, facts: Facts) -> Membership | None:
    """Return why the player is in `segment`, or that its rule failed; None: they are not in it."""
    player = facts.player
    if player.segment_key == segment.segment_key:
        return Membership(segment_key=segment.segment_key, reason=SegmentReason.SEGMENT_KEY)
    if segment.segment_key in player.segment_keys:
        return Membership(segment_key=segment.segment_key, reason=SegmentReason.MEMBER)
    answer = segment.rule is not None and ask(segment.rule, facts)
    if isinstance(answer, Failure):
        return Membership(
            segment_key=segment.segment_key,
            reason=SegmentReason.RULE_FAILED,
            failure=answer.kind,
        )
    if answer:
        return Membership(segment_key=segment.segment_key, reason=SegmentReason.RULE)
    return None


def list_memberships(segments: Sequence[Segment], facts: Facts) -> tuple[Membership, ...]:
    """Return the segments that a player is in, by key; one that is kept nowhere too."""
    found = {
        membership.segment_key: membership
        for segment in segments
        if (membership := find_membership(segment, facts)) is not None
    }
    own = facts.player.segment_key
    if own is not None and own not in found:
        found[own] = Membership(segment_key=own, reason=SegmentReason.SEGMENT_KEY)
    return tuple(found[key] for key in sorted(found))
