"""What differs between two documents: all of it, nothing else, and each value at its own path."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.xp.rules.difference import diff_documents


def _boost(label: str, multiplier: str = "2.0000") -> dict[str, object]:
    return {"label": label, "multiplier": multiplier}


def _row(day_index: int, bonus: int = 0) -> dict[str, object]:
    return {"day_index": day_index, "additive_bonus_xp": bonus}


def _model(kind: str, **parameters: object) -> dict[str, object]:
    return {"streak_model": {"type": kind, "parameters": parameters}}


# Before, after, and (path, from, to) of each change.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, object, object]]]] = {
    "nothing": ({"a": [1]}, {"a": [1]}, []),
    "a plain value": ({"a": 1, "b": 2}, {"a": 1, "b": 3}, [("b", 2, 3)]),
    "a value in an object": (
        {"grace": {"allowed_misses": 1, "window_days": 1}},
        {"grace": {"allowed_misses": 1, "window_days": 2}},
        [("grace.window_days", 1, 2)],
    ),
    "an object that was not there": (
        {"pause": None},
        {"pause": {"max_days": 3}},
        [("pause", None, {"max_days": 3})],
    ),
    "a row taken away": (
        {"streak_curve": [_row(0), _row(1)]},
        {"streak_curve": [_row(0)]},
        [("streak_curve[1]", _row(1), None)],
    ),
    "a boost put before another": (
        {"seasonal_boosts": [_boost("b")]},
        {"seasonal_boosts": [_boost("a"), _boost("b", "3.0000")]},
        [
            ('seasonal_boosts["b"].multiplier', "2.0000", "3.0000"),
            ('seasonal_boosts["a"]', None, _boost("a")),
        ],
    ),
    "the second of two boosts of one name": (
        {"seasonal_boosts": [_boost("a"), _boost("a")]},
        {"seasonal_boosts": [_boost("a"), _boost("a", "3.0000")]},
        [('seasonal_boosts["a"#2].multiplier', "2.0000", "3.0000")],
    ),
    "a tier": (
        _model("T", tiers=[{"start_day": 5, "end_day": 6}]),
        _model("T", tiers=[{"start_day": 1, "end_day": 2}, {"start_day": 5, "end_day": 7}]),
        [
            ("streak_model.parameters.tiers[5].end_day", 6, 7),
            ("streak_model.parameters.tiers[1]", None, {"start_day": 1, "end_day": 2}),
        ],
    ),
    "another model": (
        _model("P", plateau_day=3),
        _model("M", milestones=[]),
        [
            ("streak_model.type", "P", "M"),
            ("streak_model.parameters.plateau_day", 3, None),
            ("streak_model.parameters.milestones", None, []),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_change_is_told_at_the_path_of_what_changed(
    case: tuple[dict[str, Any], dict[str, Any], list[tuple[str, object, object]]],
) -> None:
    before, after, expected = case
    changes = diff_documents(before, after)
    assert [(change.path, change.before, change.after) for change in changes] == expected


values = st.integers(0, 2) | st.sampled_from(["1.0000", "x", None])
documents = st.fixed_dictionaries(
    {
        "base_xp_amount": st.integers(1, 3),
        "grace": st.fixed_dictionaries({"allowed_misses": st.integers(0, 2)}),
        "streak_curve": st.integers(0, 4).flatmap(
            lambda count: st.tuples(*(st.builds(_row, st.just(i), values) for i in range(count)))
        ),
        "seasonal_boosts": st.lists(
            st.builds(_boost, st.sampled_from(["a", "b", 'a"#2', "a]"]), st.sampled_from("23")),
            max_size=3,
        ),
    }
).map(lambda document: document | {"streak_curve": list(document["streak_curve"])})


@given(documents, documents)
def test_a_difference_is_all_that_differs_and_reads_the_same_backwards(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    kept = copy.deepcopy((before, after))
    changes = diff_documents(before, after)
    assert (before, after) == kept
    # The order of boosts says nothing: they are kept by when they begin.
    is_same = _sorted(before) == _sorted(after)
    assert (changes == ()) or not is_same
    assert len({change.path for change in changes}) == len(changes)
    assert all(change.before != change.after for change in changes)
    back = diff_documents(after, before)
    assert {(c.path, repr(c.after), repr(c.before)) for c in back} == {
        (c.path, repr(c.before), repr(c.after)) for c in changes
    }
    assert _list_leaves(before, after) <= {change.path for change in changes}


def _sorted(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"seasonal_boosts": sorted(document["seasonal_boosts"], key=repr)}


def _list_leaves(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Return the paths that must be told, found in another way: place by place."""
    told = set[str]()
    if before["base_xp_amount"] != after["base_xp_amount"]:
        told.add("base_xp_amount")
    if before["grace"] != after["grace"]:
        told.add("grace.allowed_misses")
    old, new = before["streak_curve"], after["streak_curve"]
    for index in range(max(len(old), len(new))):
        if index >= min(len(old), len(new)):
            told.add(f"streak_curve[{index}]")
        elif old[index] != new[index]:
            told.add(f"streak_curve[{index}].additive_bonus_xp")
    return told
