"""A policy document is refused with every error at once, or it pays within its bounds for ever."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from emberkeep.xp.model import PlateauCap, PolicyInvalid, WeeklyCycleReset
from emberkeep.xp.rules.policy import format_scaled, parse_policy, render_policy

# The document of the specification, word for word.
EXAMPLE = """
{"policy_key": "daily-login", "display_name": "Daily login", "description": "",
 "base_xp_amount": 100, "currency": "XP",
 "claim_window": {"start_minutes": 300, "duration_hours": 24, "anchor_strategy": "AnchorTimezone"},
 "grace": {"allowed_misses": 1, "window_days": 2},
 "streak_model": {"type": "PlateauCap",
                  "parameters": {"plateau_day": 7, "plateau_multiplier": "1.5"}},
 "streak_curve": [{"day_index": 0, "multiplier": "1.0000", "additive_bonus_xp": 0,
                   "cap_next_day": false}],
 "seasonal_boosts": [{"label": "Winter", "multiplier": "2.0000",
                      "start_utc": "2026-12-20T00:00:00Z", "end_utc": "2027-01-03T00:00:00Z"}],
 "preview": {"sample_window_days": 14, "default_segment": null}}
"""

MISSING = object()


def make_document(**changes: object) -> dict[str, Any]:
    """Return the example with the value at each path (`grace__window_days`) replaced."""
    document = json.loads(EXAMPLE)
    for path, value in changes.items():
        *parents, last = (int(part) if part.isdecimal() else part for part in path.split("__"))
        target = document
        for parent in parents:
            target = target[parent]
        if value is MISSING:
            del target[last]
        else:
            target[last] = value
    return document


def list_errors(raw: object, **settings: Any) -> dict[str, str]:
    """Return the messages by path with which `raw` is refused; none if it is not."""
    try:
        parse_policy(raw, **settings)
    except PolicyInvalid as refusal:
        return {error.path: error.message for error in refusal.errors}
    return {}


def make_model(name: str, **parameters: object) -> dict[str, object]:
    return {"type": name, "parameters": parameters}


def make_tiers(*tiers: tuple[int, int, str]) -> dict[str, object]:
    names = ("start_day", "end_day", "bonus_multiplier")
    return make_model(
        "TieredSeasonalReset", tiers=[dict(zip(names, tier, strict=True)) for tier in tiers]
    )


def make_milestones(*days: int) -> dict[str, object]:
    return make_model(
        "MilestoneMetaReward",
        milestones=[{"day": d, "reward_type": "badge", "reward_value": "x"} for d in days],
    )


def make_row(day_index: int = 0, multiplier: object = "1", bonus: int = 0) -> dict[str, object]:
    return {"day_index": day_index, "multiplier": multiplier, "additive_bonus_xp": bonus}


def make_boost(start: str, end: str, multiplier: object = "2") -> dict[str, object]:
    return {"label": "Winter", "multiplier": multiplier, "start_utc": start, "end_utc": end}


def test_the_example_of_the_specification_is_a_policy() -> None:
    policy = parse_policy(EXAMPLE)
    assert policy.policy_key == "daily-login"
    assert policy.streak_model == PlateauCap(plateau_day=7, plateau_multiplier=15_000)
    (boost,) = policy.seasonal_boosts
    assert boost.end_at == datetime.datetime(2027, 1, 3, tzinfo=datetime.UTC)


def test_bytes_text_and_a_decoded_document_are_the_same_policy() -> None:
    policy = parse_policy(EXAMPLE)
    assert policy == parse_policy(EXAMPLE.encode()) == parse_policy(json.loads(EXAMPLE))


def test_a_policy_is_rendered_in_the_shape_it_was_read_in() -> None:
    rendered = render_policy(parse_policy(EXAMPLE))
    expected = make_document(streak_model__parameters__plateau_multiplier="1.5000")
    expected["claim_window"]["min_cooldown_hours"] = None
    assert rendered == expected


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"description": MISSING}, id="a description"),
        pytest.param({"seasonal_boosts": MISSING}, id="boosts"),
        pytest.param({"preview": MISSING}, id="the preview"),
        pytest.param({"streak_curve__0__cap_next_day": MISSING}, id="a cap"),
        pytest.param({"streak_model": {"type": "WeeklyCycleReset"}}, id="no parameters"),
        pytest.param({"claim_window__min_cooldown_hours": None}, id="no cooldown"),
        pytest.param({"claim_window__min_cooldown_hours": 24}, id="or one of a day"),
        pytest.param({"preview__default_segment": "vip"}, id="a segment"),
        pytest.param({"seasonal_boosts": []}, id="an empty list of boosts"),
        pytest.param({"streak_model": make_tiers((1, 5, "1"), (6, 6, "0.1"))}, id="tiers touch"),
        pytest.param({"streak_model": make_milestones(7, 3)}, id="milestones in any order"),
        pytest.param({"policy_key": "a" * 64}, id="a key of 64 letters"),
        pytest.param({"display_name": "Täglich 🎁\n"}, id="any text for a name"),
        pytest.param(
            {
                "seasonal_boosts": [
                    make_boost("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
                    make_boost("2026-01-01T00:00:00Z", "2026-02-01T01:00:00+01:00"),
                ]
            },
            id="boosts that touch, in any order",
        ),
    ],
)
def test_what_may_be_left_out_or_varied(changes: dict[str, object]) -> None:
    assert list_errors(make_document(**changes)) == {}


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        pytest.param({"colour": 1}, "colour", "not a field", id="an unknown field"),
        pytest.param({"grace__colour": 1}, "grace.colour", "not a field", id="an unknown field below"),
        pytest.param({"streak_model__parameters__colour": 1}, "streak_model.parameters.colour", "not a field", id="an unknown parameter"),
        pytest.param({"streak_model__colour": 1}, "streak_model.colour", "not a field", id="an unknown field of the model"),
        pytest.param({"streak_curve__0__colour": 1}, "streak_curve[0].colour", "not a field", id="an unknown field of a row"),
        pytest.param({"seasonal_boosts__0__start_at": 1}, "seasonal_boosts[0].start_at", "not a field", id="our own name of a field is not the document's"),
        pytest.param({"currency": MISSING}, "currency", "is missing", id="a missing field"),
        pytest.param({"grace": MISSING}, "grace", "is missing", id="a missing object"),
        pytest.param({"streak_curve__0__day_index": MISSING}, "streak_curve[0].day_index", "is missing", id="a missing field of a row"),
        pytest.param({"streak_model__type": MISSING}, "streak_model.type", "is missing", id="a model without a type"),
        pytest.param({"streak_model__parameters": MISSING}, "streak_model.parameters.plateau_day", "is missing", id="a model without its parameters"),
        pytest.param({"policy_key": "Daily"}, "policy_key", "slug", id="a capital in a key"),
        pytest.param({"policy_key": "a--b"}, "policy_key", "slug", id="two dashes in a key"),
        pytest.param({"policy_key": "daily\n"}, "policy_key", "slug", id="a line break after a key"),
        pytest.param({"policy_key": "a" * 65}, "policy_key", "64", id="a key that is too long"),
        pytest.param({"policy_key": "ä"}, "policy_key", "slug", id="a letter beyond ASCII in a key"),
        pytest.param({"display_name": ""}, "display_name", "1 to 200", id="no name"),
        pytest.param({"display_name": "x" * 201}, "display_name", "1 to 200", id="a name that is too long"),
        pytest.param({"display_name": "a\0b"}, "display_name", "NUL", id="NUL in a name"),
        pytest.param({"description": "\ud800"}, "description", "surrogate", id="half a surrogate pair"),
        pytest.param({"description": 1}, "description", "text", id="a number for a text"),
        pytest.param({"base_xp_amount": 0}, "base_xp_amount", "from 1 to 2147483647", id="nothing to pay"),
        pytest.param({"base_xp_amount": 2**53 + 1}, "base_xp_amount", "from 1 to 2147483647", id="beyond what JSON can count"),
        pytest.param({"base_xp_amount": True}, "base_xp_amount", "whole number", id="a truth is no number"),
        pytest.param({"base_xp_amount": "100"}, "base_xp_amount", "whole number", id="nor is a text"),
        pytest.param({"base_xp_amount": 100.0}, "base_xp_amount", "whole number", id="nor is a fraction"),
        pytest.param({"base_xp_amount": None}, "base_xp_amount", "whole number", id="nor is null"),
        pytest.param({"currency": "X"}, "currency", "capital letters", id="a currency that is too short"),
        pytest.param({"currency": "XPXPXPXPX"}, "currency", "capital letters", id="a currency that is too long"),
        pytest.param({"currency": "xpp"}, "currency", "capital letters", id="small letters in a currency"),
        pytest.param({"claim_window": []}, "claim_window", "object", id="a list for an object"),
        pytest.param({"claim_window__start_minutes": -1}, "claim_window.start_minutes", "0 to 1439", id="before midnight"),
        pytest.param({"claim_window__start_minutes": 1440}, "claim_window.start_minutes", "0 to 1439", id="a day after midnight"),
        pytest.param({"claim_window__duration_hours": 0}, "claim_window.duration_hours", "1 to 24", id="no time at all"),
        pytest.param({"claim_window__duration_hours": 25}, "claim_window.duration_hours", "1 to 24", id="more than a day"),
        pytest.param({"claim_window__anchor_strategy": "Mars"}, "claim_window.anchor_strategy", "AnchorTimezone", id="nobody's clock"),
        pytest.param({"claim_window__min_cooldown_hours": 0}, "claim_window.min_cooldown_hours", "1 to 24", id="a cooldown of nothing"),
        pytest.param({"grace__allowed_misses": -1}, "grace.allowed_misses", "from 0", id="less than no grace"),
        pytest.param({"grace__allowed_misses": 3}, "grace.window_days", "at least allowed_misses, which is 3", id="a window below what is allowed"),
        pytest.param({"streak_model": "PlateauCap"}, "streak_model", "object", id="a name for a model"),
        pytest.param({"streak_model__type": "Random"}, "streak_model.type", "PlateauCap, WeeklyCycleReset", id="an unknown model"),
        pytest.param({"streak_model__type": ["PlateauCap"]}, "streak_model.type", "one of", id="a list for a model's type"),
        pytest.param({"streak_model__parameters": None}, "streak_model.parameters", "object", id="null for parameters"),
        pytest.param({"streak_model__parameters__plateau_day": 0}, "streak_model.parameters.plateau_day", "from 1", id="a plateau before the first day"),
        pytest.param({"streak_model__parameters__plateau_multiplier": "0"}, "streak_model.parameters.plateau_multiplier", "from 0.0001", id="a plateau that pays nothing"),
        pytest.param({"streak_model": make_model("DecayCurve", decay_percent="1.0001", grace_day=0)}, "streak_model.parameters.decay_percent", "from 0.0000 to 1.0000", id="more than all decays"),
        pytest.param({"streak_model": make_model("DecayCurve", decay_percent="0.5", grace_day=-1)}, "streak_model.parameters.grace_day", "from 0", id="a grace day before the first"),
        pytest.param({"streak_model": make_tiers((5, 4, "1"))}, "streak_model.parameters.tiers[0].end_day", "not be before", id="a tier that ends before it starts"),
        pytest.param({"streak_model": make_tiers((0, 4, "1"))}, "streak_model.parameters.tiers[0].start_day", "from 1", id="a tier before the first day"),
        pytest.param({"streak_model": make_tiers((1, 4, "0"))}, "streak_model.parameters.tiers[0].bonus_multiplier", "from 0.0001", id="a tier that pays nothing"),
        pytest.param({"streak_model": make_tiers((4, 9, "1"), (1, 4, "1"))}, "streak_model.parameters.tiers[0]", "overlaps tiers[1]", id="tiers that share a day"),
        pytest.param({"streak_model": make_tiers((1, 9, "1"), (2, 3, "1"), (5, 5, "1"))}, "streak_model.parameters.tiers[2]", "overlaps tiers[0]", id="a tier inside another, two tiers on"),
        pytest.param({"streak_model": make_milestones(3, 5, 3)}, "streak_model.parameters.milestones[2].day", "already", id="two milestones on one day"),
        pytest.param({"streak_model": make_milestones(0)}, "streak_model.parameters.milestones[0].day", "from 1", id="a milestone before the first day"),
        pytest.param({"streak_curve": []}, "streak_curve", "at least 1", id="a curve without rows"),
        pytest.param({"streak_curve": {}}, "streak_curve", "list", id="an object for a curve"),
        pytest.param({"streak_curve": [make_row()] * 1001}, "streak_curve", "at most 1000", id="too many rows"),
        pytest.param({"streak_curve": [make_row(1)]}, "streak_curve[0].day_index", "must be 0", id="rows that begin at 1"),
        pytest.param({"streak_curve": [make_row(0), make_row(2)]}, "streak_curve[1].day_index", "must be 1", id="a gap in the rows"),
        pytest.param({"streak_curve": [make_row(0), make_row(0)]}, "streak_curve[1].day_index", "must be 1", id="a row twice"),
        pytest.param({"streak_curve__0__additive_bonus_xp": -1}, "streak_curve[0].additive_bonus_xp", "from 0", id="a bonus that takes"),
        pytest.param({"streak_curve__0__cap_next_day": 0}, "streak_curve[0].cap_next_day", "true or false", id="a number for a truth"),
        pytest.param({"seasonal_boosts__0__multiplier": "0.9999"}, "seasonal_boosts[0].multiplier", "from 1.0000", id="a boost that takes"),
        pytest.param({"seasonal_boosts__0__end_utc": "2026-12-20T00:00:00Z"}, "seasonal_boosts[0].end_utc", "later", id="a boost without length"),
        pytest.param({"seasonal_boosts__0__label": ""}, "seasonal_boosts[0].label", "1 to 200", id="a boost without a label"),
        pytest.param({"seasonal_boosts": [make_boost("2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z"), make_boost("2026-02-28T23:59:59Z", "2026-04-01T00:00:00Z")]}, "seasonal_boosts[1]", "overlaps seasonal_boosts[0]", id="boosts that overlap by a second"),
        pytest.param({"preview__sample_window_days": 0}, "preview.sample_window_days", "from 1", id="a preview of no days"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_where_it_stands(
    changes: dict[str, object], path: str, says: str
) -> None:
    assert says in list_errors(make_document(**changes))[path]


@pytest.mark.parametrize(
    "instant",
    [
        "2026-12-20T00:00:00",
        "2026-12-20",
        "2026-12-20 00:00:00Z",
        "2026-12-20T24:00:00Z",
        "2026-12-20T23:59:60Z",
        "2026-02-30T00:00:00Z",
        "2026-12-20T00:00:00.1234567Z",
        "0001-01-01T00:00:00+14:00",
        "٢٠٢٦-12-20T00:00:00Z",
        "2026-12-20T00:00:00Z\n",
        1_797_724_800,
        None,
    ],
)
def test_an_instant_is_rfc_3339_with_its_offset(instant: object) -> None:
    errors = list_errors(make_document(seasonal_boosts__0__start_utc=instant))
    assert "RFC 3339" in errors["seasonal_boosts[0].start_utc"]


@pytest.mark.parametrize(
    ("written", "scaled"),
    [
        pytest.param('"1.5"', 15_000, id="a text"),
        pytest.param("1.5", 15_000, id="a number"),
        pytest.param("2", 20_000, id="a whole number"),
        pytest.param("0.0001", 1, id="the smallest"),
        pytest.param("1.1000", 11_000, id="zeros behind"),
        pytest.param('"1.0001"', 10_001, id="four places"),
        pytest.param("4.35", 43_500, id="a number that binary floats miss"),
    ],
)
def test_a_multiplier_is_read_as_it_is_written(written: str, scaled: int) -> None:
    # The bonus keeps the smallest award at 1 whatever the multiplier.
    text = EXAMPLE.replace('"additive_bonus_xp": 0', '"additive_bonus_xp": 1')
    policy = parse_policy(text.replace('"1.5"', written))
    assert isinstance(policy.streak_model, PlateauCap)
    assert policy.streak_model.plateau_multiplier == scaled


@pytest.mark.parametrize(
    "written",
    [
        "NaN", "Infinity", "-Infinity", "1e400", "1e2", "1E0", "1.00001", "-1.5", "-0.5", "10000",
        "1.0000000000000000001", "9" * 5_000, "0." + "0" * 5_000 + "1",
        '"1e2"', '"NaN"', '"+1.5"', '"-1.5"', '" 1.5"', '"1.5 "', '"1,5"', '"1."', '".5"', '"01"',
        '"1.50000"', '"10000"', '"٣"', '"1_0"', '"0x1"', '""', "true", "null", "[]", "{}",
    ],
)  # fmt: skip
def test_what_is_no_decimal_of_four_places_is_no_multiplier(written: str) -> None:
    errors = list_errors(EXAMPLE.replace('"1.5"', written))
    assert "decimal" in errors["streak_model.parameters.plateau_multiplier"]


def test_a_binary_float_is_refused_because_its_digits_are_lost() -> None:
    errors = list_errors(make_document(streak_model__parameters__plateau_multiplier=1.5))
    assert "binary float" in errors["streak_model.parameters.plateau_multiplier"]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("", id="nothing"),
        pytest.param("{", id="half an object"),
        pytest.param(EXAMPLE + "{}", id="two documents"),
        pytest.param(b"\xff\xfe\xfd", id="no text"),
        pytest.param(b'{"a": "\xff"}', id="a byte that is no UTF-8"),
        pytest.param("[" * 10_000, id="ten thousand levels"),
        pytest.param('{"a":' * 10_000 + "1" + "}" * 10_000, id="ten thousand objects"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param("9" * 1_000_000, id="a million digits"),
        pytest.param(None, id="nothing that was decoded"),
    ],
)
def test_what_is_no_json_object_is_refused_as_a_whole(raw: object) -> None:
    assert list(list_errors(raw)) == ["$"]


def test_a_deeply_nested_field_is_refused_like_any_other() -> None:
    nested: object = []
    for _ in range(10_000):
        nested = [nested]
    assert list_errors(make_document(grace=nested)) == {"grace": "must be an object"}


def test_a_key_that_is_given_twice_is_refused() -> None:
    twice = EXAMPLE.replace('"allowed_misses": 1', '"allowed_misses": 1, "allowed_misses": 2')
    assert list_errors(twice) == {"grace.allowed_misses": "occurs more than once"}


def test_every_error_is_named_at_once() -> None:
    document = make_document(
        colour=1,
        policy_key="NO",
        currency=MISSING,
        grace={"allowed_misses": 2, "window_days": 1},
        streak_model=make_tiers((3, 2, "1"), (5, 9, "x"), (7, 8, "1")),
        streak_curve=[make_row(3, "x"), make_row(1, "1", -1)],
        seasonal_boosts=[make_boost("2026-03-01T00:00:00Z", "2026-01-01T00:00:00Z", "0.5")],
    )
    assert set(list_errors(document)) == {
        "colour",
        "policy_key",
        "currency",
        "grace.window_days",
        "streak_model.parameters.tiers[0].end_day",
        "streak_model.parameters.tiers[1].bonus_multiplier",
        "streak_model.parameters.tiers[2]",
        "streak_curve[0].day_index",
        "streak_curve[0].multiplier",
        "streak_curve[1].additive_bonus_xp",
        "seasonal_boosts[0].multiplier",
        "seasonal_boosts[0].end_utc",
    }


def test_a_hostile_document_is_answered_briefly() -> None:
    strangers = {f"\x1b\n{index}{'x' * 1000}": 1 for index in range(5000)}
    errors = list_errors(json.dumps(strangers))
    assert len(errors) <= 1000
    assert all(len(path) < 300 and path.isprintable() for path in errors)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"base_xp_amount": 1667}, "streak_curve[0]", id="a plateau and a boost"),
        pytest.param({"streak_curve__0__additive_bonus_xp": 4701}, "streak_curve[0]", id="a bonus"),
        pytest.param({"streak_curve": [make_row(0), make_row(1, "16.6684")]}, "streak_curve[1]", id="a row of the curve"),
        pytest.param({"streak_model": make_tiers((90, 99, "25.01"))}, "streak_curve[0]", id="a tier that starts late"),
    ],
)  # fmt: skip
def test_a_policy_that_could_pay_more_than_the_cap_is_refused(
    changes: dict[str, object], path: str
) -> None:
    assert "largest award is 5000" in list_errors(make_document(**changes))[path]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"streak_curve": [make_row(0)] + [make_row(i, "99") for i in range(1, 9)], "streak_model": make_model("PlateauCap", plateau_day=1, plateau_multiplier="1")}, id="rows after the plateau"),
        pytest.param({"streak_curve": [make_row(i) for i in range(7)] + [make_row(7, "99")], "streak_model": {"type": "WeeklyCycleReset"}}, id="rows after the week"),
        pytest.param({"streak_curve": [{**make_row(0), "cap_next_day": True}, make_row(1, "99"), make_row(2, "0")]}, id="rows after a cap"),
    ],
)  # fmt: skip
def test_what_no_streak_can_reach_does_not_count(changes: dict[str, object]) -> None:
    assert list_errors(make_document(**changes)) == {}


def test_the_cap_is_a_setting_and_exact() -> None:
    # 100 XP, half more on the plateau, doubled in winter.
    assert list_errors(EXAMPLE, max_award_xp=300) == {}
    assert list_errors(EXAMPLE, max_award_xp=299).keys() == {"streak_curve[0]"}


def test_a_policy_that_could_pay_nothing_is_refused() -> None:
    document = make_document(streak_curve=[make_row(0), make_row(1, "0.0049")])
    assert "smallest award is 1" in list_errors(document)["streak_curve[1]"]


def test_half_a_point_is_rounded_to_one_and_so_is_enough() -> None:
    assert list_errors(make_document(streak_curve=[make_row(0), make_row(1, "0.005")])) == {}


def test_parameters_may_be_left_out_where_there_are_none() -> None:
    policy = parse_policy(make_document(streak_model={"type": "WeeklyCycleReset"}))
    assert policy.streak_model == WeeklyCycleReset()


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (15_000, 4, "1.5000"),
        (0, 4, "0.0000"),
        (1, 4, "0.0001"),
        (99_999_999, 4, "9999.9999"),
        (1_500_000_000_000, 12, "1.5000"),
        (1_000_000_000_001, 12, "1.000000000001"),
        (1_234_567_800_000, 12, "1.2345678"),
        (10**24, 12, "1000000000000.0000"),
    ],
)
def test_scaled_decimals_are_written_exactly(value: int, digits: int, text: str) -> None:
    assert format_scaled(value, digits) == text
