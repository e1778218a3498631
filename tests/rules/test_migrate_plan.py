"""What is pending, in which order, and what forbids a next step."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.migrate.model import (
    Entry,
    HistoryRefused,
    Migration,
    MigrationSet,
    NoWayBack,
    RequirementUnmet,
    Script,
    SetsCircular,
    SetUnknown,
    State,
    VersionUnknown,
)
from emberkeep.migrate.rules import plan

NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


def on_disk(*versions: int, without_down: int = 0) -> tuple[Migration, ...]:
    return tuple(
        Migration(
            v,
            f"v{v}",
            Script(f"V{v:03d}__v{v}.sql", ""),
            None if v == without_down else Script(f"V{v:03d}__v{v}.down.sql", ""),
            f"sum{v}",
        )
        for v in versions
    )


def applied(*versions: int, dirty: int = 0, edited: int = 0) -> tuple[Entry, ...]:
    return tuple(
        Entry(
            v,
            f"v{v}",
            "other" if v == edited else f"sum{v}",
            State.DIRTY if v == dirty else State.CLEAN,
            NOW,
            "somebody",
            1,
        )
        for v in versions
    )


@pytest.mark.parametrize(
    ("files", "history", "to", "pending"),
    [
        (on_disk(1, 2, 3), (), None, [1, 2, 3]),
        (on_disk(1, 2, 3), applied(1), None, [2, 3]),
        (on_disk(1, 2, 3), applied(1), 2, [2]),
        (on_disk(1, 2, 3), applied(1, 2, 3), None, []),
        (on_disk(1, 2, 3), applied(1, 2), 1, []),
        (on_disk(1, 3), applied(1), None, [3]),
        ((), (), None, []),
    ],
)
def test_pending_is_what_is_on_disk_and_not_in_the_history(files, history, to, pending):
    assert [m.version for m in plan.decide_pending("shop", files, history, to=to)] == pending


@pytest.mark.parametrize(
    ("files", "history", "kind", "version"),
    [
        (on_disk(1, 2), applied(1, 2, dirty=2), "dirty", 2),
        (on_disk(1, 2), applied(1, edited=1), "edited", 1),
        (on_disk(1), applied(1, 2), "missing", 2),
        (on_disk(1, 2, 3), applied(1, 3), "out_of_order", 2),
    ],
)
def test_what_disagrees_is_refused_up_and_down_and_named(files, history, kind, version):
    for decide in (plan.decide_pending, plan.decide_undo):
        with pytest.raises(HistoryRefused) as caught:
            decide("shop", files, history, to=None)
        assert (caught.value.facts["kind"], caught.value.facts["version"]) == (kind, version)
    assert [s.state for s in plan.list_status("shop", files, history) if s.version == version] == [
        kind
    ]
    assert not plan.is_settled("shop", files, history, to=None)


@pytest.mark.parametrize(("to", "undone"), [(None, [3]), (1, [3, 2]), (0, [3, 2, 1]), (3, [])])
def test_down_takes_the_newest_back_first(to: int | None, undone: list[int]):
    files, history = on_disk(1, 2, 3), applied(1, 2, 3)
    assert [m.version for m in plan.decide_undo("shop", files, history, to=to)] == undone


def test_down_refuses_all_when_one_has_no_way_back():
    with pytest.raises(NoWayBack):
        plan.decide_undo("shop", on_disk(1, 2, without_down=1), applied(1, 2), to=0)


def test_sets_follow_what_they_require():
    a = MigrationSet("a", "a", "a", requires=(("b", 1), ("c", 2)))
    b = MigrationSet("b", "b", "b", requires=(("c", 1),))
    c = MigrationSet("c", "c", "c")
    d = MigrationSet("d", "d", "d")
    assert [s.name for s in plan.order_sets((a, b, c))] == ["c", "b", "a"]
    assert [s.name for s in plan.select_sets((d, a, b, c), "b")] == ["c", "b"]
    with pytest.raises(SetUnknown):
        plan.order_sets((a, b))
    with pytest.raises(SetUnknown):
        plan.select_sets((c,), "x")


def test_sets_that_require_each_other_are_refused():
    with pytest.raises(SetsCircular):
        plan.order_sets(
            (MigrationSet("a", "", "a", (("b", 1),)), MigrationSet("b", "", "b", (("a", 1),)))
        )


def test_a_set_waits_for_what_it_requires_and_holds_it_in_place():
    upper = MigrationSet("upper", "", "upper", (("lower", 2),))
    lower = MigrationSet("lower", "", "lower")
    plan.check_requirements(upper, {"lower": 2})
    with pytest.raises(RequirementUnmet):
        plan.check_requirements(upper, {"lower": 1})
    plan.refuse_orphans((lower, upper), "lower", 2, {"lower": 3, "upper": 1})
    plan.refuse_orphans((lower, upper), "lower", 0, {"lower": 3, "upper": 0})
    with pytest.raises(RequirementUnmet):
        plan.refuse_orphans((lower, upper), "lower", 1, {"lower": 3, "upper": 1})


def test_a_target_must_be_a_version():
    for to in (None, 0, 1, 2):
        plan.check_version("shop", on_disk(1, 2), to)
    with pytest.raises(VersionUnknown):
        plan.check_version("shop", on_disk(1, 2), 3)


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_schemas_have_two_locks_that_fit_a_bigint(a: str, b: str):
    try:
        keys = plan.compute_lock_key(a), plan.compute_lock_key(b)
    except UnicodeEncodeError:
        return
    assert (keys[0] == keys[1]) is (a == b)
    assert all(-(2**63) <= key < 2**63 for key in keys)


def test_backing_off_doubles_up_to_a_limit_and_spreads():
    assert [plan.compute_backoff_s(n, 0.5) for n in (1, 2, 3, 50)] == [0.1, 0.2, 0.4, 2.0]
    assert plan.compute_backoff_s(1, 0.0) == 0.05
