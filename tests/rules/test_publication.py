"""What publishing, cancelling, rolling back and retiring do to the lives of a policy's versions."""

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
    LifeStep,
    PolicyAlreadyPublished,
    PolicyNotPublished,
    PolicyNotScheduled,
    PolicyStatus,
    PolicyUnknown,
    RollbackImpossible,
    VersionLife,
)
from emberkeep.xp.rules.publication import (
    cancel,
    check_effective_at,
    publish,
    retire,
    roll_back,
)

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


Shown = tuple[int, str, str, int | None, int | None]


def show(steps: Sequence[LifeStep]) -> list[Shown]:
    """Return (version, step, status, hour of beginning, hour of end)."""

    def hours(instant: datetime.datetime | None) -> int | None:
        return None if instant is None else int((instant - START).total_seconds() // 3600)

    return [
        (
            step.life.policy_version,
            step.step.value,
            step.life.status.value,
            hours(step.life.effective_at),
            hours(step.life.superseded_at),
        )
        for step in steps
    ]


# What there is; the version to publish, from when on, now; the steps, in the order of writing.
PUBLICATIONS = {
    "the first version": (
        [life(1, DRAFT)],
        (1, 5, 5),
        [(1, "published", "Published", 5, None)],
    ),
    "a successor ends its predecessor where it begins": (
        [life(1, PUBLISHED, 0), life(2, DRAFT)],
        (2, 9, 5),
        [(1, "superseded", "Archived", 0, 9), (2, "published", "Published", 9, None)],
    ),
    "a waiting publication is replaced, and was never in force": (
        [life(1, ARCHIVED, 0, 9), life(2, PUBLISHED, 9), life(3, DRAFT)],
        (3, 7, 5),
        [
            (2, "cancelled", "Archived", 9, 9),
            (1, "superseded", "Archived", 0, 7),
            (3, "published", "Published", 7, None),
        ],
    ),
    "a waiting first publication is replaced": (
        [life(1, PUBLISHED, 9), life(2, DRAFT)],
        (2, 7, 5),
        [(1, "cancelled", "Archived", 9, 9), (2, "published", "Published", 7, None)],
    ),
    "publishing the predecessor again takes a waiting publication back": (
        [life(1, ARCHIVED, 0, 9), life(2, PUBLISHED, 9)],
        (1, 5, 5),
        [(2, "cancelled", "Archived", 9, 9), (1, "resumed", "Published", 0, None)],
    ),
    "an archived version again": (
        [life(1, ARCHIVED, 0, 3), life(2, PUBLISHED, 3)],
        (1, 6, 5),
        [(2, "superseded", "Archived", 3, 6), (1, "published", "Published", 6, None)],
    ),
    "after a retirement": (
        [life(1, ARCHIVED, 0, 3), life(2, DRAFT)],
        (2, 6, 5),
        [(2, "published", "Published", 6, None)],
    ),
}


@pytest.mark.parametrize("case", PUBLICATIONS.values(), ids=PUBLICATIONS.keys())
def test_a_publication_moves_where_one_version_ends_and_the_next_begins(case: object) -> None:
    lives, (version, begins, now), expected = case  # type: ignore[misc]
    steps = publish(lives, policy_version=version, effective_at=at(begins), now=at(now))
    assert show(steps) == expected


# What there is; to which version, now; the steps.
ROLLBACKS = {
    "to the one before": (
        [life(1, ARCHIVED, 0, 3), life(2, ARCHIVED, 3, 4), life(3, PUBLISHED, 4)],
        (None, 5),
        [(3, "superseded", "Archived", 4, 5), (2, "rolled_back", "Published", 5, None)],
    ),
    "to the one that is named": (
        [life(1, ARCHIVED, 0, 3), life(2, ARCHIVED, 3, 4), life(3, PUBLISHED, 4)],
        (1, 5),
        [(3, "superseded", "Archived", 4, 5), (1, "rolled_back", "Published", 5, None)],
    ),
    "past a version that was never in force": (
        [life(1, ARCHIVED, 0, 4), life(2, ARCHIVED, 3, 3), life(3, PUBLISHED, 4)],
        (None, 5),
        [(3, "superseded", "Archived", 4, 5), (1, "rolled_back", "Published", 5, None)],
    ),
    "and a publication that waits is cancelled": (
        [life(1, ARCHIVED, 0, 3), life(2, ARCHIVED, 3, 9), life(3, PUBLISHED, 9)],
        (None, 5),
        [
            (3, "cancelled", "Archived", 9, 9),
            (2, "superseded", "Archived", 3, 5),
            (1, "rolled_back", "Published", 5, None),
        ],
    ),
    "to the one in force, which a waiting one would have ended": (
        [life(1, ARCHIVED, 0, 9), life(2, PUBLISHED, 9)],
        (1, 5),
        [(2, "cancelled", "Archived", 9, 9), (1, "resumed", "Published", 0, None)],
    ),
    "after a retirement, to the one that retired": (
        [life(1, ARCHIVED, 0, 2), life(2, ARCHIVED, 2, 3)],
        (None, 5),
        [(2, "rolled_back", "Published", 5, None)],
    ),
}


@pytest.mark.parametrize("case", ROLLBACKS.values(), ids=ROLLBACKS.keys())
def test_a_rollback_publishes_an_archived_version_again(case: object) -> None:
    lives, (to_version, now), expected = case  # type: ignore[misc]
    steps = roll_back(lives, to_version=to_version, effective_at=at(now), now=at(now))
    assert show(steps) == expected


@pytest.mark.parametrize(
    ("to_version", "refusal"),
    [
        (None, RollbackImpossible),
        (2, RollbackImpossible),
        (1, PolicyAlreadyPublished),
        (9, PolicyUnknown),
    ],
)
def test_there_is_no_way_back_to_what_was_never_in_force(
    to_version: int | None, refusal: type[Exception]
) -> None:
    lives = [life(1, PUBLISHED, 0), life(2, DRAFT)]
    with pytest.raises(refusal):
        roll_back(lives, to_version=to_version, effective_at=at(5), now=at(5))


RETIREMENTS = {
    "the version in force": ([life(1, PUBLISHED, 0)], (1, 5), [(1, "retired", "Archived", 0, 5)]),
    "one that waits gives way to what is in force": (
        [life(1, ARCHIVED, 0, 9), life(2, PUBLISHED, 9)],
        (2, 5),
        [(2, "cancelled", "Archived", 9, 9), (1, "resumed", "Published", 0, None)],
    ),
    "one that waits for nothing": (
        [life(1, PUBLISHED, 9)],
        (1, 5),
        [(1, "cancelled", "Archived", 9, 9)],
    ),
}


@pytest.mark.parametrize("case", RETIREMENTS.values(), ids=RETIREMENTS.keys())
def test_a_retirement_leaves_nothing_in_force_but_what_was(case: object) -> None:
    lives, (version, now), expected = case  # type: ignore[misc]
    assert show(retire(lives, policy_version=version, now=at(now))) == expected


def test_cancelling_is_for_what_waits_alone() -> None:
    lives = [life(1, ARCHIVED, 0, 9), life(2, PUBLISHED, 9), life(3, DRAFT)]
    waiting = cancel(lives, policy_version=2, now=at(5))
    assert waiting == retire(lives, policy_version=2, now=at(5))
    for version, now in ((1, 5), (3, 5), (2, 9)):
        with pytest.raises(PolicyNotScheduled):
            cancel(lives, policy_version=version, now=at(now))


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
            st.sampled_from(["publish", "retire", "roll_back"]),
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
            changed = [
                step.life for step in _take(action, lives, version, at(now + delay), at(now))
            ]
        except (PolicyAlreadyPublished, PolicyNotPublished, RollbackImpossible):
            continue
        lives |= {one.policy_version: one for one in changed}
        assert sum(one.status is PUBLISHED for one in lives.values()) <= 1
        for hour in range(now + 10):
            assert len(_list_in_force(lives, hour)) <= 1
        # The past is told as it was, but for a version that is in force anew.
        for hour, version_then in before.items():
            reborn = {one.policy_version for one in changed if one.status is PUBLISHED}
            assert _list_in_force(lives, hour) in (version_then, version_then - reborn)


def _take(
    action: str,
    lives: dict[int, VersionLife],
    version: int,
    effective_at: datetime.datetime,
    now: datetime.datetime,
) -> Sequence[LifeStep]:
    known = list(lives.values())
    if action == "retire":
        return retire(known, policy_version=version, now=now)
    if action == "publish":
        return publish(known, policy_version=version, effective_at=effective_at, now=now)
    return roll_back(known, to_version=None, effective_at=effective_at, now=now)


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
    taken_back = msgspec.structs.replace(
        step.life, status=DRAFT, effective_at=None, published_at=None
    )
    assert taken_back == draft


def test_the_version_in_force_cannot_be_scheduled_behind_the_one_that_waits() -> None:
    lives = (life(1, ARCHIVED, 0, 2), life(2, PUBLISHED, 2))
    with pytest.raises(PolicyAlreadyPublished):
        publish(lives, policy_version=1, effective_at=at(4), now=at(1))
