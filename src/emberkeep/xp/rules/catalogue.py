"""Which policy version and which season hold at an instant or on a day."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from emberkeep.xp.model import (
    ClaimWindow,
    LevelCurve,
    Noun,
    Override,
    PolicyKey,
    PolicyNotInForce,
    PolicyStatus,
    PolicyUnknown,
    PolicyVersion,
    Season,
    Segment,
    SegmentChoice,
    SegmentReason,
)
from emberkeep.xp.rules.segment import Facts
from emberkeep.xp.rules.segment_choice import SegmentDecider


class Catalogue(Noun, frozen=True, kw_only=True):
    """All policies and seasons as they stood at one revision. Small, and shared by all claims.

    `segment_windows` are those of the versions that segments could choose, by policy.
    """

    revision: int = 0
    versions: Mapping[PolicyKey, tuple[PolicyVersion, ...]] = msgspec.field(
        default_factory=dict[PolicyKey, tuple[PolicyVersion, ...]]
    )
    deciders: Mapping[PolicyKey, SegmentDecider] = msgspec.field(
        default_factory=dict[PolicyKey, SegmentDecider]
    )
    segment_windows: Mapping[PolicyKey, frozenset[ClaimWindow]] = msgspec.field(
        default_factory=dict[PolicyKey, frozenset[ClaimWindow]]
    )
    segments: tuple[Segment, ...] = ()
    seasons: tuple[Season, ...] = ()
    level_curves: Mapping[PolicyKey, LevelCurve] = msgspec.field(
        default_factory=dict[PolicyKey, LevelCurve]
    )


def make_catalogue(
    *,
    revision: int,
    versions: Iterable[PolicyVersion],
    overrides: Mapping[PolicyKey, Sequence[Override]],
    segments: Sequence[Segment] = (),
    seasons: Iterable[Season],
    level_curves: Iterable[LevelCurve] = (),
) -> Catalogue:
    """Return the catalogue of everything that was ever published; drafts decide nothing."""
    by_segment = {segment.segment_key: segment for segment in segments}
    by_key: dict[PolicyKey, list[PolicyVersion]] = {}
    for version in versions:
        if version.status is not PolicyStatus.DRAFT:
            by_key.setdefault(version.policy.policy_key, []).append(version)
    usable = {key: _list_usable(found, by_key.get(key, ())) for key, found in overrides.items()}
    return Catalogue(
        revision=revision,
        versions={key: tuple(found) for key, found in by_key.items()},
        deciders={key: SegmentDecider(found, by_segment) for key, found in usable.items()},
        segment_windows={
            key: _list_windows(found, by_key.get(key, ())) for key, found in usable.items()
        },
        segments=tuple(segments),
        seasons=tuple(sorted(seasons, key=lambda season: season.start_date)),
        level_curves={curve.policy_key: curve for curve in level_curves},
    )


def _list_usable(
    overrides: Iterable[Override], versions: Sequence[PolicyVersion]
) -> list[Override]:
    published = {version.policy_version for version in versions}
    return [override for override in overrides if override.policy_version in published]


def _list_windows(
    overrides: Iterable[Override], versions: Sequence[PolicyVersion]
) -> frozenset[ClaimWindow]:
    chosen = {override.policy_version for override in overrides}
    return frozenset(v.policy.claim_window for v in versions if v.policy_version in chosen)


def make_trial(catalogue: Catalogue, version: PolicyVersion) -> Catalogue:
    """Return `catalogue` as it would be if `version`, a draft perhaps, were always in force."""
    begins_at = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    trial = msgspec.structs.replace(version, effective_at=begins_at, superseded_at=None)
    return Catalogue(
        versions={version.policy.policy_key: (trial,)},
        seasons=catalogue.seasons,
        level_curves=catalogue.level_curves,
    )


def find_version(
    catalogue: Catalogue,
    *,
    policy_key: PolicyKey,
    facts: Facts | None,
    at: datetime.datetime,
) -> tuple[PolicyVersion, SegmentChoice | None]:
    """Return the version that decides a claim at `at`, and the segment that chose it, if one did.

    :param facts: the player that claims; None for anybody who is in no segment
    :raises PolicyUnknown: when nothing was ever published under `policy_key`
    :raises PolicyNotInForce: when no version of it is in force at `at`
    """
    versions = catalogue.versions.get(policy_key)
    if versions is None:
        raise PolicyUnknown("no policy of this key was ever published", policy_key=policy_key)
    in_force = _find_in_force(versions, at)
    if in_force is None:
        raise PolicyNotInForce("no version of this policy is in force now", policy_key=policy_key)
    decider = catalogue.deciders.get(policy_key)
    if decider is None or facts is None:
        return in_force, None
    choice = decider.choose(facts)
    if choice is None or choice.reason is SegmentReason.RULE_FAILED:
        return in_force, choice
    target = decider.find_target(choice)
    return next(version for version in versions if version.policy_version == target), choice


def _find_in_force(
    versions: Sequence[PolicyVersion], at: datetime.datetime
) -> PolicyVersion | None:
    for version in versions:
        begins, ends = version.effective_at, version.superseded_at
        if begins is not None and begins <= at and (ends is None or at < ends):
            return version
    return None


def find_default_version(
    catalogue: Catalogue, *, policy_key: PolicyKey, at: datetime.datetime
) -> PolicyVersion | None:
    """Return the version of `policy_key` in force at `at` for players of no segment, if any is."""
    return _find_in_force(catalogue.versions.get(policy_key, ()), at)


def find_next_switch(
    catalogue: Catalogue, *, policy_key: PolicyKey, at: datetime.datetime
) -> datetime.datetime | None:
    """Return the first instant after `at` at which another version takes over, if one is set."""
    instants = (
        instant
        for version in catalogue.versions.get(policy_key, ())
        # A publication that was cancelled ends where it would have begun.
        if version.effective_at != version.superseded_at
        for instant in (version.effective_at, version.superseded_at)
        if instant is not None and instant > at
    )
    return min(instants, default=None)


def has_one_window(catalogue: Catalogue, *, policy_key: PolicyKey, at: datetime.datetime) -> bool:
    """Say whether days open alike at `at` for all players, whatever segment they are in or enter."""
    windows = catalogue.segment_windows.get(policy_key)
    if not windows:
        return True
    in_force = find_default_version(catalogue, policy_key=policy_key, at=at)
    return in_force is not None and windows <= {in_force.policy.claim_window}


def find_season(seasons: Sequence[Season], *, day: datetime.date) -> Season | None:
    """Return the season that `day` belongs to, if any. Seasons never overlap."""
    for season in seasons:
        if season.start_date <= day <= season.end_date:
            return season
    return None
