"""Rules of segments: what they may ask about a player, and which of several holds first. Pure.

A policy's rules are joined into one expression, in order of priority, because most of the time goes
into handing values over: twenty rules cost hardly more than two. Only when it fails are they asked
one by one, to find out which failed, and whether one before it would have held.
"""

from __future__ import annotations

import datetime
import functools
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    Balance,
    PlayerState,
    SegmentInvalid,
    SegmentWish,
    StreakState,
)
from emberkeep.xp.rules import cel, player, reward_day
from emberkeep.xp.rules.cel import Expression, Failure, Mistake

_MAX_NAME_CHARACTERS: Final = 200
_MAX_DESCRIPTION_CHARACTERS: Final = 4000
_MAX_RULE_CHARACTERS: Final = 1000
_UNKEPT: Final = re.compile("[\\x00\\ud800-\\udfff]")
_NEVER: Final = -1
_UNREADABLE: Final = Failure("unreadable")
_ATTRIBUTES: Final = "player.attributes"


class Facts(msgspec.Struct, frozen=True, gc=False):
    """A player as a claim at `at` finds them; streak and balance as earlier claims left them.

    Nothing is worked out here: each fact is read when a rule asks for it.
    """

    player: PlayerState
    streak: StreakState
    balance: Balance
    at: datetime.datetime


def _find_zone(facts: Facts) -> str:
    player = facts.player
    changes_at = player.next_reward_tz_at
    has_changed = changes_at is not None and changes_at <= facts.at
    return (player.next_reward_tz if has_changed else None) or player.reward_tz


def _find_local_day(facts: Facts) -> datetime.date:
    # Whatever the policy's window is: which policy holds is what is being decided.
    found = reward_day.find_reward_day(
        at=facts.at, time_zone=_find_zone(facts), window=reward_day.CALENDAR_DAY
    )
    return found.day


def _count_days_away(facts: Facts) -> int:
    last_day = facts.streak.last_reward_day
    return _NEVER if last_day is None else max((_find_local_day(facts) - last_day).days, 0)


def _read_attributes(facts: Facts) -> dict[str, Any]:
    text = facts.player.attributes_json
    return {} if text == "{}" else _decode_attributes(text)


_decode_attributes = msgspec.json.Decoder(dict[str, Any]).decode


@functools.lru_cache(maxsize=1024)
def _make_attributes_reader(keys: tuple[str, ...]) -> Callable[[Facts], dict[str, Any]]:
    """Return what reads these attributes alone: a player may have hundreds that no rule asks for."""
    fields = [(f"a{number}", key) for number, key in enumerate(keys)]
    shape = msgspec.defstruct(
        "Attributes",
        [(field, Any, msgspec.UNSET) for field, _ in fields],
        rename=dict(fields),
        gc=False,
    )
    decode = msgspec.json.Decoder(shape).decode

    def read(facts: Facts) -> dict[str, Any]:
        text = facts.player.attributes_json
        if text == "{}":
            return {}
        found = decode(text)
        return {
            key: value
            for field, key in fields
            if (value := getattr(found, field)) is not msgspec.UNSET
        }

    return read


class Fact(msgspec.Struct, frozen=True):
    """Something that a rule may ask about a player: its name, type, meaning, and how it is read."""

    name: str
    type: str
    means: str
    read: Callable[[Facts], object]


FACTS: Final = (
    Fact("player.id", "string", "The player's id", operator.attrgetter("player.player_id")),
    Fact("player.time_zone", "string", "The zone that reward days follow", _find_zone),
    Fact(
        "player.region",
        "string",
        "The first part of the zone: `Europe` of `Europe/Berlin`",
        lambda facts: _find_zone(facts).partition("/")[0],
    ),
    Fact(
        "player.segment",
        "string",
        "The player's own `segment_key`; empty without one",
        lambda facts: facts.player.segment_key or "",
    ),
    Fact(_ATTRIBUTES, "map<string,dyn>", "The player's attributes", _read_attributes),
    Fact(
        "account_age_days",
        "int",
        "Whole days since XP first heard of the player",
        lambda facts: max((facts.at - facts.player.created_at).days, 0),
    ),
    Fact(
        "days_since_last_claim",
        "int",
        "From the last reward day claimed to today; -1 for a player who never claimed",
        _count_days_away,
    ),
    Fact(
        "streak.current",
        "int",
        "The streak as the last claim left it",
        operator.attrgetter("streak.current_streak"),
    ),
    Fact(
        "streak.longest",
        "int",
        "The longest streak there was",
        operator.attrgetter("streak.longest_streak"),
    ),
    Fact("balance.current", "int", "XP to spend", operator.attrgetter("balance.current")),
    Fact("balance.lifetime", "int", "XP ever earned", operator.attrgetter("balance.lifetime")),
    Fact(
        "balance.seasonal",
        "int",
        "XP of the season that was paid last",
        operator.attrgetter("balance.seasonal"),
    ),
    Fact("now", "timestamp", "The instant of the claim", operator.attrgetter("at")),
    Fact(
        "local_day",
        "string",
        "The date on the player's clock, such as `2026-12-24`",
        lambda facts: _find_local_day(facts).isoformat(),
    ),
)

_LANGUAGE: Final = cel.Language({fact.name: fact.type for fact in FACTS})


def check_wish(wish: SegmentWish) -> None:
    """Let pass what can be kept of a segment.

    :raises SegmentInvalid: with everything that is wrong
    """
    errors = tuple(_list_errors(wish))
    if errors:
        raise SegmentInvalid("the segment cannot be kept like this", errors)


def check_rule(text: str) -> None:
    """Let pass a rule that can be asked.

    :raises SegmentInvalid: with all its mistakes, by position
    """
    errors = tuple(_list_rule_errors(text))
    if errors:
        raise SegmentInvalid("the rule cannot be used", errors)


def _list_errors(wish: SegmentWish) -> Iterator[FieldError]:
    if not player.is_slug(wish.segment_key):
        yield FieldError("segment_key", "must be a lower-case slug of at most 64 characters")
    if not 1 <= len(wish.display_name) <= _MAX_NAME_CHARACTERS:
        yield FieldError("display_name", f"must be 1 to {_MAX_NAME_CHARACTERS} characters")
    if len(wish.description) > _MAX_DESCRIPTION_CHARACTERS:
        message = f"must be at most {_MAX_DESCRIPTION_CHARACTERS} characters"
        yield FieldError("description", message)
    if wish.rule is not None:
        yield from _list_rule_errors(wish.rule)


def _list_rule_errors(text: str) -> Iterator[FieldError]:
    rule = compile_rule(text)
    if isinstance(rule, Expression):
        return
    for mistake in rule:
        place = f"line {mistake.line}, column {mistake.column}: " if mistake.line else ""
        yield FieldError("rule", place + mistake.message)


@functools.lru_cache(maxsize=4096)
def compile_rule(text: str) -> Expression | tuple[Mistake, ...]:
    """Return the rule checked, or all that is wrong with it. Compiled once in a process."""
    if len(text) > _MAX_RULE_CHARACTERS:
        return (Mistake(0, 0, f"must be at most {_MAX_RULE_CHARACTERS} characters"),)
    if _UNKEPT.search(text):
        return (Mistake(0, 0, "must not hold NUL or half a surrogate pair"),)
    found = _LANGUAGE.compile(text)
    if isinstance(found, Expression) and not found.is_bool:
        return (Mistake(0, 0, "must be true or false, not int"),)
    return found


def ask(text: str, facts: Facts) -> bool | Failure:
    """Say whether a rule holds."""
    rule = compile_rule(text)
    if not isinstance(rule, Expression):
        return _UNREADABLE
    answer = _evaluate(rule, _list_reads(rule), facts)
    return answer if isinstance(answer, Failure) else bool(answer)


class RuleChain:
    """Some rules in order, asked at once which is the first that holds."""

    def __init__(self, rules: Sequence[str]) -> None:
        self._rules = tuple(rules)
        self._links = tuple(_join(rules, 0, len(rules)))

    def find_first(self, facts: Facts, *, end: int) -> tuple[int, Failure | None] | None:
        """Return the first rule before `end` that holds, or that fails, with its failure."""
        for link in self._links:
            if link.first >= end:
                break
            answer = link.ask(facts)
            if isinstance(answer, Failure):
                return self._find_one_by_one(facts, link.first, end)
            if answer >= 0:
                return (answer, None) if answer < end else None
        return None

    def _find_one_by_one(
        self, facts: Facts, first: int, end: int
    ) -> tuple[int, Failure | None] | None:
        for index in range(first, end):
            answer = ask(self._rules[index], facts)
            if isinstance(answer, Failure):
                return index, answer
            if answer:
                return index, None
        return None


class _Link(msgspec.Struct, frozen=True):
    """Neighbouring rules in one expression; without one, none of them can be read."""

    first: int
    expression: Expression | None
    reads: tuple[tuple[str, Callable[[Facts], object]], ...]

    def ask(self, facts: Facts) -> int | Failure:
        """Return the number of the first rule that holds, -1 if none does; else it failed."""
        if self.expression is None:
            return _UNREADABLE
        return _evaluate(self.expression, self.reads, facts)


def _join(rules: Sequence[str], first: int, last: int) -> Iterator[_Link]:
    """Yield the rules from `first` to before `last` in as few expressions as there can be.

    An expression may be only so deep, and each rule in it makes it deeper for those behind.
    """
    if first == last:
        return
    joined = _compile_joined(rules, first, last)
    if joined is not None:
        yield _Link(first, joined, _list_reads(joined))
    elif last - first == 1:
        yield _Link(first, None, ())
    else:
        middle = (first + last) // 2
        yield from _join(rules, first, middle)
        yield from _join(rules, middle, last)


def _compile_joined(rules: Sequence[str], first: int, last: int) -> Expression | None:
    # Each by itself: only what is whole alone may be put into brackets.
    if not all(isinstance(compile_rule(rule), Expression) for rule in rules[first:last]):
        return None
    # A line break ends a comment that a rule may end with.
    ends = [f"({rule}\n) ? {number} : " for number, rule in enumerate(rules[first:last], first)]
    joined = _LANGUAGE.compile("".join(ends) + "-1")
    return joined if isinstance(joined, Expression) else None


def _list_reads(
    expression: Expression,
) -> tuple[tuple[str, Callable[[Facts], object]], ...]:
    uses = expression.uses
    return tuple(
        (
            fact.name,
            _make_attributes_reader(tuple(sorted(uses.fields[fact.name])))
            if fact.name == _ATTRIBUTES and fact.name not in uses.whole
            else fact.read,
        )
        for fact in FACTS
        if fact.name in uses.whole or fact.name in uses.fields
    )


def _evaluate(
    expression: Expression,
    reads: Sequence[tuple[str, Callable[[Facts], object]]],
    facts: Facts,
) -> int | Failure:
    try:
        values = {name: read(facts) for name, read in reads}
    except msgspec.DecodeError:
        # The column takes more than we do, such as numbers of a thousand digits.
        return Failure("attributes_unreadable")
    return expression.evaluate(values)
