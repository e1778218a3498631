"""What publishing and retiring do to the lives of a policy's versions."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.base.clock import UTC
from emberkeep.xp.model import (
    EffectiveAtInvalid,
    PolicyAlreadyPublished,
    PolicyNotPublished,
    PolicyStatus,
    PolicyUnknown,
    VersionLife,
)
from emberkeep.xp.rules.publication import check_effective_at, publish, retire

if TYPE_CHECKING:
    from collections.abc import Sequence

DRAFT, PUBLISHED, ARCHIVED = PolicyStatus.DRAFT, PolicyStatus.PUBLISHED, PolicyStatus.ARCHIVED
START = datetime.datetime(2026, 3, 1, tzinfo=UTC)


def at(hour: int) -> datetime.datetime:
    return START + datetime.timedelta(hours=hour)


def life(
    version: int, status: PolicyStatus, begins: int | None = None, ends: int | None = None
) -> VersionLife:
    return VersionLife(
        policy_version=version,
        status=status,
        revision=1,
        effective_at=None if begins is None else at(begins),
        superseded_at=None if ends is None else at(ends),
        published_at=None if begins is None else START,
    )


def show(lives: Sequence[VersionLife]) -> list[tuple[int, str, int | None, int | None]]:
    """Return (version, status, hour of beginning, hour of end)."""

    def hours(instant: datetime.datetime | None) -> int | None:
        return None if instant is None else int((instant - START).total_seconds() // 3600)

    return [
        (one.policy_version, one.status.value, hours(one.effective_at), hours(one.superseded_at))
        for one in lives
    ]


# What there is; the version to publish, from when on, now; the steps, in the order of writing.
PUBLICATIONS = {
    "the first version": (
        [life(1, DRAFT)],
        (1, 5, 5),
        [(1, "Published", 5, None)],
    ),
    "a successor ends its predecessor where it begins": (
        [life(1, PUBLISHED, 0), life(2, DRAFT)],
        (2, 9, 5),
        [(1, "Archived", 0, 9), (2, "Published", 9, None)],
    ),
    "a waiting publication is replaced, and was never in force": (
        [life(1, ARCHIVED, 0, 9), life(2, PUBLISHED, 9), life(3, DRAFT)],
        (3, 7, 5),
        [(2, "Archived", 9, 9), (1, "Archived", 0, 7), (3, "Published", 7, None)],
    ),
    "a waiting first publication is replaced": (
        [life(1, PUBLISHED, 9), life(2, DRAFT)],
        (2, 7, 5),
        [(1, "Archived", 9, 9), (2, "Published", 7, None)],
    ),
    "publishing the predecessor again takes a waiting publication back": (
        [life(1, ARCHIVED, 0, 9), life(2, PUBLISHED, 9)],
        (1, 5, 5),
        [(2, "Archived", 9, 9), (1, "Published", 0, None)],
    ),
    "a rollback": (
        [life(1, ARCHIVED, 0, 3), life(2, PUBLISHED, 3)],
        (1, 6, 5),
        [(2, "Archived", 3, 6), (1, "Published", 6, None)],
    ),
    "after a retirement": (
        [life(1, ARCHIVED, 0, 3), life(2, DRAFT)],
        (2, 6, 5),
        [(2, "Published", 6, None)],
    ),
}


@pytest.mark.parametrize("case", PUBLICATIONS.values(), ids=PUBLICATIONS.keys())
def test_a_publication_moves_where_one_version_ends_and_the_next_begins(case: object) -> None:
    lives, (version, begins, now), expected = case  # type: ignore[misc]
    steps = publish(lives, policy_version=version, effective_at=at(begins), now=at(now))
    assert show(steps) == expected


RETIREMENTS = {
    "the version in force": ([life(1, PUBLISHED, 0)], (1, 5), [(1, "Archived", 0, 5)]),
    "one that waits gives way to what is in force": (
        [life(1, ARCHIVED, 0, 9), life(2, PUBLISHED, 9)],
        (2, 5),
        [(2, "Archived", 9, 9), (1, "Published", 0, None)],
    ),
    "one that waits for nothing": ([life(1, PUBLISHED, 9)], (1, 5), [(1, "Archived", 9, 9)]),
}


@pytest.mark.parametrize("case", RETIREMENTS.values(), ids=RETIREMENTS.keys())
def test_a_retirement_leaves_nothing_in_force_but_what_was(case: object) -> None:
    lives, (version, now), expected = case  # type: ignore[misc]
    assert show(retire(lives, policy_version=version, now=at(now))) == expected


def test_what_is_published_is_not_published_again() -> None:
    with pytest.raises(PolicyAlreadyPublished):
        publish([life(1, PUBLISHED, 0)], policy_version=1, effective_at=at(5), now=at(5))


@pytest.mark.parametrize("status", [DRAFT, ARCHIVED])
def test_only_the_published_version_retires(status: PolicyStatus) -> None:
    with pytest.raises(PolicyNotPublished):
        retire([life(1, status)], policy_version=1, now=at(5))


def test_a_version_that_is_not_there_is_unknown() -> None:
    with pytest.raises(PolicyUnknown):
        retire([], policy_version=1, now=at(5))


@pytest.mark.parametrize("hours", [-1, 24 * 3650 + 1])
def test_a_publication_takes_effect_neither_in_the_past_nor_beyond_all_plans(hours: int) -> None:
    with pytest.raises(EffectiveAtInvalid):
        check_effective_at(at(hours), now=at(0))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["publish", "retire"]),
            st.integers(1, 4),
            st.integers(0, 5),
            st.integers(0, 3),
        ),
        max_size=12,
    )
)
def test_whatever_operators_do_one_version_at_most_is_published_and_in_force(
    steps: list[tuple[str, int, int, int]],
) -> None:
    lives = {number: life(number, DRAFT) for number in range(1, 5)}
    now = 0
    for action, version, delay, passed in steps:
        now += passed
        before = {hour: _list_in_force(lives, hour) for hour in range(now)}
        try:
            known = list(lives.values())
            changed = (
                publish(known, policy_version=version, effective_at=at(now + delay), now=at(now))
                if action == "publish"
                else retire(known, policy_version=version, now=at(now))
            )
        except (PolicyAlreadyPublished, PolicyNotPublished):
            continue
        lives |= {one.policy_version: one for one in changed}
        assert sum(one.status is PUBLISHED for one in lives.values()) <= 1
        for hour in range(now + 10):
            assert len(_list_in_force(lives, hour)) <= 1
        # The past is told as it was, but for a version that is in force anew.
        for hour, version_then in before.items():
            reborn = {one.policy_version for one in changed if one.status is PUBLISHED}
            assert _list_in_force(lives, hour) in (version_then, version_then - reborn)


def _list_in_force(lives: dict[int, VersionLife], hour: int) -> set[int]:
    return {
        one.policy_version
        for one in lives.values()
        if one.effective_at is not None
        and one.effective_at <= at(hour)
        and (one.superseded_at is None or at(hour) < one.superseded_at)
    }


def test_a_step_changes_nothing_but_the_life() -> None:
    draft = life(2, DRAFT)
    (step,) = publish([draft], policy_version=2, effective_at=at(1), now=at(1))
    assert (
        msgspec.structs.replace(step, status=DRAFT, effective_at=None, published_at=None) == draft
    )
