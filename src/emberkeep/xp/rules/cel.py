"""Expressions in CEL: checked when they are written, bounded when they run. Pure.

The library is Google's own (docs/decisions/0014-segment-rules.md); nothing else here knows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec
from cel_expr_python import cel

from emberkeep.xp.model import Noun
from emberkeep.xp.rules.cel_tree import Uses, find_uses

# Its stubs lean on protobuf, which is not installed: nothing of ours needs it.
_cel: Final = cast("Any", cel)

_SAID: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_STATUS: Final = re.compile(r"[A-Z_]+")


class Mistake(Noun, frozen=True):
    """What is wrong with an expression, at a line and a column that count from 1; 0: all of it."""

    line: int
    column: int
    message: str


class Failure(Noun, frozen=True):
    """An expression had no answer. `kind` is a word of the library's; it never holds a value."""

    kind: str


class Expression(msgspec.Struct, frozen=True):
    """A checked expression that answers a bool or an int, and what it asks for."""

    text: str
    compiled: Any
    uses: Uses
    is_bool: bool

    def evaluate(self, values: Mapping[str, object]) -> int | Failure:
        """Return the answer, a bool or an int, for `values`, which hold at least what is read."""
        try:
            answer = self.compiled.eval(None, values).value()
        except RuntimeError as e:
            return _to_failure(str(e))
        # An error comes as its text. To ask for its type first would take as long as ten rules.
        return answer if isinstance(answer, int) else _to_failure(answer)


class Language:
    """CEL over the variables of `types`, whose names may have dots."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self._maps = {name for name, type_name in types.items() if type_name.startswith("map")}
        self._env = _cel.NewEnv(
            variables={name: _cel.Type(type_name) for name, type_name in types.items()}
        )

    def compile(self, text: str) -> Expression | tuple[Mistake, ...]:
        """Return `text` checked, or all that is wrong with it."""
        try:
            compiled = self._env.compile(text)
        except RuntimeError as e:
            return _read_mistakes(str(e))
        returns = compiled.return_type().name()
        if returns not in ("BOOL", "INT"):
            return (Mistake(0, 0, f"must be true or false, not {returns.lower()}"),)
        uses = find_uses(compiled.serialize())
        if mistakes := tuple(self._list_excesses(uses)):
            return mistakes
        return Expression(text, compiled, uses, returns == "BOOL")

    def _list_excesses(self, uses: Uses) -> Iterator[Mistake]:
        # A loop over what a loop made can double it each time; one that asks for a map, or goes
        # through a list, in each round does so as often as there are entries in both.
        if uses.has_nested_loops:
            yield Mistake(0, 0, "has a loop within a loop: all, exists, filter, map")
        for name in sorted(uses.looped & self._maps):
            yield Mistake(0, 0, f"asks for {name} in the body of a loop")


def _to_failure(message: object) -> Failure:
    status = _STATUS.match(message) if isinstance(message, str) else None
    return Failure("unknown" if status is None else status[0].lower())


def _read_mistakes(message: str) -> tuple[Mistake, ...]:
    found = tuple(
        Mistake(max(int(line), 0), max(int(column), 0), said)
        for line, column, said in _SAID.findall(message)
        if said != "<<nil>> parsetree"
    )
    if found:
        return tuple(dict.fromkeys(found))
    return (Mistake(0, 0, message.partition(": ")[2] or message),)
