"""A segment's rule is CEL over what is known of a player; each row is facts, a rule and its answer."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emberkeep.xp.model import (
    Balance,
    Override,
    PlayerId,
    PlayerState,
    Segment,
    SegmentInvalid,
    SegmentKey,
    SegmentReason,
    SegmentWish,
    StreakState,
    UserId,
)
from emberkeep.xp.rules import segment as rules
from emberkeep.xp.rules.cel import Failure
from emberkeep.xp.rules.estimate import estimate_size
from emberkeep.xp.rules.segment import FACTS, Facts, RuleChain, ask, check_rule, check_wish
from emberkeep.xp.rules.segment_choice import SegmentDecider, list_memberships

if TYPE_CHECKING:
    from collections.abc import Sequence

UTC = datetime.UTC
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "segment-players.md"
NOW = datetime.datetime(2026, 3, 10, 22, 30, tzinfo=UTC)


def make_facts(
    *,
    zone: str = "Europe/Berlin",
    age_days: float = 40,
    last_day: str | None = "2026-03-08",
    segment: str | None = None,
    members: Sequence[str] = (),
    attributes: dict[str, Any] | None = None,
    next_zone: tuple[str, datetime.datetime] | None = None,
) -> Facts:
    """Return a player of 5 days' streak and 700 XP, at 23:30 in Berlin."""
    streak = StreakState(
        current_streak=5,
        longest_streak=12,
        last_reward_day=None if last_day is None else datetime.date.fromisoformat(last_day),
    )
    balance = Balance(current=700, lifetime=900, seasonal=30, season_id=None)
    player = PlayerState(
        user_id=UserId(1),
        player_id=PlayerId("p-1"),
        reward_tz=zone,
        next_reward_tz=None if next_zone is None else next_zone[0],
        next_reward_tz_at=None if next_zone is None else next_zone[1],
        segment_key=None if segment is None else SegmentKey(segment),
        segment_keys=tuple(SegmentKey(key) for key in members),
        attributes_json=json.dumps(attributes or {}),
        created_at=NOW - datetime.timedelta(days=age_days),
        streak=streak,
        balance=balance,
    )
    return Facts(player, streak, balance, NOW)


VIP: Final = {
    "vip": True,
    "spent": 120,
    "share": 0.5,
    "tags": ["a", "b"],
    "country": "DE",
    "no": None,
}


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        # What there is to ask.
        ('player.id == "p-1"', True),
        ('player.time_zone == "Europe/Berlin" && player.region == "Europe"', True),
        ('player.segment == ""', True),
        ("account_age_days == 40", True),
        ("days_since_last_claim == 2", True),
        ("streak.current == 5 && streak.longest == 12", True),
        ("balance.current == 700 && balance.lifetime == 900 && balance.seasonal == 30", True),
        ('now == timestamp("2026-03-10T22:30:00Z")', True),
        ('local_day == "2026-03-10"', True),
        # What is not known of a player.
        ("has(player.attributes.vip)", True),
        ("has(player.attributes.other)", False),
        ('"vip" in player.attributes', True),
        ("player.attributes.no == null", True),
        ("player.attributes.other == 1", "not_found"),
        ("has(player.attributes.other) && player.attributes.other == 1", False),
        # Whatever fails is of no account where the rest decides.
        ("player.attributes.other == 1 || true", True),
        ("player.attributes.other == 1 && false", False),
        ("player.attributes.other == 1 || false", "not_found"),
        ("player.attributes.other == 1 && true", "not_found"),
        ("account_age_days > 3 ? true : player.attributes.other == 1", True),
        # Precedence and numbers.
        ("true || false && false", True),
        ("!false && false", False),
        ("1 + 2 * 3 == 7 && 2 - 1 - 1 == 0", True),
        ("-7 / 2 == -3 && -7 % 3 == -1", True),
        ("player.attributes.spent == 120.0 && player.attributes.spent > 100", True),
        ("player.attributes.share > 0", True),
        ("player.attributes.spent == true", False),
        ("1 / (account_age_days - 40) == 1", "invalid_argument"),
        ("9223372036854775807 + account_age_days > 0", "out_of_range"),
        ("player.attributes.country > 3", "unknown"),
        # Text, time, lists, and loops over them.
        ('player.attributes.country in ["DE", "AT", "CH"]', True),
        ('local_day.startsWith("2026-") && local_day.endsWith("10")', True),
        ('player.id.matches("^p-[0-9]+$") && size("é") == 1', True),
        ('now - timestamp("2026-03-10T00:00:00Z") > duration("22h")', True),
        ("now.getFullYear() == 2026 && now.getMonth() == 2", True),
        ('now.getHours("Europe/Berlin") == 23 && now.getDayOfWeek() == 2', True),
        ('player.attributes.tags.exists(t, t == "b")', True),
        ('player.attributes.tags.all(t, t == "b")', False),
        ("player.attributes.tags.filter(t, t > 'a').size() == 1", True),
        ('player.attributes.filter(k, k == "vip") == ["vip"]', True),
        ('player.attributes.map(k, k < "t", k + "!").size() == 4', True),
        ('player.attributes.tags.all(t, t in ["a", player.id] || size(local_day) == 10)', True),
        ("account_age_days == 40 // a remark", True),
        (" account_age_days\n  == 40 ", True),
        ("player . attributes . vip == true", True),
        ('player.attributes["v" + "ip"] == true', True),
    ],
)
def test_a_rule_answers(rule: str, answer: bool | str) -> None:
    facts = make_facts(attributes=VIP)
    expected = Failure(answer) if isinstance(answer, str) else answer
    check_rule(rule)
    assert ask(rule, facts) == expected
    # The same in a chain, behind one that does not hold.
    found = RuleChain(["streak.current == 99", rule]).find_first(facts, end=2)
    if expected is False:
        assert found is None
    else:
        assert found == (1, expected if isinstance(expected, Failure) else None)


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (make_facts(last_day=None), "days_since_last_claim == -1"),
        (make_facts(last_day="2026-03-11"), "days_since_last_claim == 0"),
        (make_facts(zone="Pacific/Kiritimati"), 'local_day == "2026-03-11"'),
        (make_facts(zone="UTC"), 'player.region == "UTC"'),
        (make_facts(age_days=0.999), "account_age_days == 0"),
        (make_facts(age_days=-3), "account_age_days == 0"),
        (make_facts(segment="whales"), 'player.segment == "whales"'),
        (make_facts(next_zone=("Asia/Tokyo", NOW)), 'player.region == "Asia"'),
        (
            make_facts(next_zone=("Asia/Tokyo", NOW + datetime.timedelta(seconds=1))),
            'player.region == "Europe"',
        ),
    ],
)
def test_facts_are_those_of_the_instant(facts: Facts, rule: str) -> None:
    assert ask(rule, facts) is True


def test_attributes_that_cannot_be_read_fail_a_rule_and_nothing_else() -> None:
    facts = make_facts()
    player = msgspec.structs.replace(facts.player, attributes_json='{"vip": 1e999}')
    broken = msgspec.structs.replace(facts, player=player)
    assert ask("player.attributes.vip == 1", broken) == Failure("attributes_unreadable")
    chain = RuleChain(["streak.current == 5", "has(player.attributes.vip)"])
    assert chain.find_first(broken, end=2) == (0, None)


def test_an_attribute_too_large_for_a_rule_fails_those_that_read_it() -> None:
    facts = make_facts(attributes={"huge": 2**70, "vip": True, "class": "mage"})
    assert ask("player.attributes.huge > 1", facts) == Failure("invalid_argument")
    assert ask('player.attributes.vip == true && player.attributes.class == "mage"', facts) is True
    assert ask("player.attributes.vip == true && size(player.attributes) > 1", facts) == Failure(
        "invalid_argument"
    )


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("account_age_day < 3", "line 1, column 1: undeclared reference to 'account_age_day'"),
        ("true &&\n lower(player.id) == 'x'", "line 2, column 7: undeclared reference to 'lower'"),
        ("player.name == 'x'", "line 1, column 7: undeclared reference to 'player.name'"),
        ("account_age_days == 'x'", "line 1, column 18: found no matching overload"),
        ("account_age_days ==", "line 1, column 20: Syntax error"),
        ("true) || (true", "line 1, column 5: Syntax error"),
        ("", "line 1, column 1: Syntax error"),
        ("account_age_days", "must be true or false, not int"),
        ("player.attributes.vip", "must be true or false, not dyn"),
        ("'x' + local_day", "must be true or false, not string"),
        ("(" * 99 + "true" + ")" * 99, "recursion"),
        ("true" + " || true" * 200, "at most 1000 characters"),
        ("'\0' == ''", "must not hold NUL"),
        ("'\ud800' == ''", "must not hold NUL"),
        ("[1].all(x, [2].exists(y, x < y))", "has a loop within a loop"),
        ("{'a': [1].map(x, [2].map(y, y))} == {}", "has a loop within a loop"),
        ("['a'].map(x, x + x).map(x, x + x).size() == 1", "has a loop within a loop"),
        ("[1].all(x, player.attributes == player.attributes)", "asks for player.attributes in the"),
        ("[1].all(x, x in player.attributes.tags)", "asks for player.attributes in the"),
    ],
)
def test_a_rule_with_a_mistake_is_refused_with_its_position(rule: str, said: str) -> None:
    with pytest.raises(SegmentInvalid) as refused:
        check_rule(rule)
    assert said in refused.value.errors[0].message
    assert {error.path for error in refused.value.errors} == {"rule"}
    # And should it stand in the tables all the same, it fails and harms no other.
    facts = make_facts()
    assert ask(rule, facts) == Failure("unreadable")
    chain = RuleChain(["streak.current == 5", rule])
    assert chain.find_first(facts, end=2) == (0, None)
    chain = RuleChain(["streak.current == 6", rule, "true"])
    assert chain.find_first(facts, end=3) == (1, Failure("unreadable"))


def test_a_segment_is_refused_with_everything_that_is_wrong() -> None:
    wish = SegmentWish(
        segment_key=SegmentKey("New"), display_name="", description="x" * 4001, rule="a + b"
    )
    with pytest.raises(SegmentInvalid) as refused:
        check_wish(wish)
    paths = [error.path for error in refused.value.errors]
    assert paths == ["segment_key", "display_name", "description", "rule", "rule"]


def test_a_loop_ends_however_much_there_is_to_go_through() -> None:
    facts = make_facts(attributes={f"k{number}": number for number in range(12_000)})
    assert ask("player.attributes.all(k, k != '')", facts) == Failure("internal")


ATOMS: Final = (
    "true",
    "false",
    "streak.current == 5",
    "account_age_days < 3",
    'player.region == "Asia"',
    "has(player.attributes.vip)",
    "player.attributes.other == 1",
    "[1].all(x, x == 1)",
    "(" * 6 + "balance.current > 1" + ")" * 6,
)


@given(
    st.lists(
        st.lists(st.sampled_from(ATOMS), min_size=1, max_size=3).map(" && ".join), max_size=45
    ),
    st.data(),
)
def test_a_chain_answers_as_its_rules_do_one_by_one(texts: list[str], data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(texts)))
    facts = make_facts(attributes={"vip": True} if data.draw(st.booleans()) else {})
    answers = ((index, ask(text, facts)) for index, text in enumerate(texts[:end]))
    expected = next(
        (
            (index, answer if isinstance(answer, Failure) else None)
            for index, answer in answers
            if answer is not False
        ),
        None,
    )
    assert RuleChain(texts).find_first(facts, end=end) == expected


def make_segment(key: str, rule: str | None) -> Segment:
    """Return a segment as it stands in the tables."""
    return Segment(
        segment_key=SegmentKey(key),
        display_name=key,
        description="",
        rule=rule,
        revision=1,
        created_at=NOW,
        created_by="test",
        updated_at=NOW,
        updated_by="test",
    )


KEYS: Final = tuple("abcdefgh")


@example(priorities={"a": 0}, holds={}, own="a", members={"a"})
@given(
    priorities=st.dictionaries(st.sampled_from(KEYS), st.integers(-2, 2)),
    holds=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["true", "false", "fails", None])),
    own=st.sampled_from([*KEYS, None]),
    members=st.sets(st.sampled_from(KEYS)),
)
def test_the_highest_priority_wins_and_ties_go_by_key(
    priorities: dict[str, int],
    holds: dict[str, str | None],
    own: str | None,
    members: set[str],
) -> None:
    texts = {"true": "streak.current == 5", "false": "false", "fails": "player.attributes.x == 1"}
    segments = {
        SegmentKey(key): make_segment(key, None if text is None else texts[text])
        for key, text in holds.items()
    }
    decider = SegmentDecider(
        [
            Override(segment_key=SegmentKey(key), policy_version=number, priority=priority)
            for number, (key, priority) in enumerate(priorities.items(), start=1)
        ],
        segments,
    )
    choice = decider.choose(make_facts(segment=own, members=sorted(members)))

    expected: tuple[str, SegmentReason] | None = None
    for key in sorted(priorities, key=lambda key: (-priorities[key], key)):
        if key == own:
            expected = key, SegmentReason.SEGMENT_KEY
        elif key in members:
            expected = key, SegmentReason.MEMBER
        elif holds.get(key) == "true":
            expected = key, SegmentReason.RULE
        elif holds.get(key) == "fails":
            expected = key, SegmentReason.RULE_FAILED
        if expected is not None:
            break
    if expected is None:
        assert choice is None
        return
    assert choice is not None
    assert (choice.segment, choice.reason) == expected
    assert choice.priority == priorities[expected[0]]
    assert (choice.failure is None) == (choice.reason is not SegmentReason.RULE_FAILED)
    if choice.failure is None:
        assert decider.find_target(choice) == list(priorities).index(expected[0]) + 1


def test_a_player_is_listed_with_every_segment_and_why() -> None:
    segments = [
        make_segment("by-hand", None),
        make_segment("broken", "player.attributes.x == 1"),
        make_segment("many", "streak.current > 1"),
        make_segment("none", "streak.current > 99"),
    ]
    found = list_memberships(segments, make_facts(segment="own", members=["by-hand"]))
    assert [(m.segment_key, m.reason.value, m.failure) for m in found] == [
        ("broken", "rule_failed", "not_found"),
        ("by-hand", "member", None),
        ("many", "rule", None),
        ("own", "segment_key", None),
    ]


def test_facts_are_read_only_where_a_rule_asks() -> None:
    facts = make_facts()
    broken = Facts(facts.player, facts.streak, facts.balance, "no instant")  # pyright: ignore
    assert ask("streak.current == 5", broken) is True
    with pytest.raises((TypeError, AttributeError)):
        ask("account_age_days == 5", broken)


def test_the_guide_names_every_fact_and_its_rules_can_be_used() -> None:
    guide = GUIDE.read_text("utf-8")
    for fact in FACTS:
        assert f"| `{fact.name}` |" in guide
        assert fact.means in guide
    shown = re.findall(r"^\| [^|`]+ \| `(.+)` \|$", guide, re.MULTILINE)
    assert len(shown) == 8
    for rule in shown:
        check_rule(rule)


def test_every_fact_can_be_read() -> None:
    facts = make_facts(attributes=VIP)
    for fact in FACTS:
        assert fact.read(facts) is not None
        assert isinstance(rules.compile_rule(f"{fact.name} == {fact.name}"), rules.Expression)


@given(st.integers(1, 3000), st.data())
def test_an_estimate_keeps_within_what_the_sample_shows(players: int, data: st.DataObject) -> None:
    sampled = data.draw(st.integers(0, players))
    matched = data.draw(st.integers(0, sampled))
    size = estimate_size(players=players, sampled=sampled, matched=matched)
    assert matched <= size.low <= size.estimate <= size.high <= players - (sampled - matched)
    assert size.is_exact == (sampled == players)


def test_the_bounds_are_wilsons() -> None:
    # Of 100 that were asked 10 matched: 5.52 % to 17.44 % (Wilson's interval at 95 %).
    size = estimate_size(players=100_000, sampled=100, matched=10)
    assert (size.low, size.estimate, size.high) == (5522, 10_000, 17_437)
