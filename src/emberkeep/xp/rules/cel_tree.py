"""What a checked expression in CEL asks for: variables, fields of them, loops in loops. Pure.

The library gives its tree as a message of Google's, cel.expr.CheckedExpr. A dozen field numbers of
it are all that is needed, and messages of that kind never change them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final

import msgspec

_VALUE: Final = 2
_EXPRESSION: Final = 4

_IDENTIFIER: Final = 4


class _Place(enum.Enum):
    """Where a part of an expression stands: outside loops, in what one goes through, or in its body."""

    OUTSIDE = enum.auto()
    RANGE = enum.auto()
    BODY = enum.auto()


class Uses(msgspec.Struct):
    """What an expression reads: `whole` variables, and `fields` of others; and how it loops.

    `looped` are variables that a loop asks for again and again.
    """

    whole: set[str] = msgspec.field(default_factory=set[str])
    fields: dict[str, set[str]] = msgspec.field(default_factory=dict[str, set[str]])
    looped: set[str] = msgspec.field(default_factory=set[str])
    has_nested_loops: bool = False


def find_uses(tree: bytes) -> Uses:
    """Return what the checked expression `tree` asks for, every name in full."""
    uses = Uses()
    (checked,) = _list_parts(tree, {_VALUE})
    (expression,) = _list_parts(checked, {_EXPRESSION})
    _visit(expression, uses, _Place.OUTSIDE)
    return uses


def _visit(expression: bytes, uses: Uses, place: _Place) -> None:
    for kind, node in _list_fields(expression):
        match kind:
            case 4:  # an identifier
                uses.whole.add(_note_name(node, uses, place))
            case 5:  # a field of something
                _visit_select(node, uses, place)
            case 6:  # a call: its target and arguments
                _visit_all(_list_parts(node, {1, 3}), uses, place)
            case 7:  # a list: its elements
                _visit_all(_list_parts(node, {1}), uses, place)
            case 8:  # a map: the keys and values of its entries
                for entry in _list_parts(node, {2}):
                    _visit_all(_list_parts(entry, {3, 4}), uses, place)
            case 9:  # a loop: range, start and result once; condition and step again and again
                uses.has_nested_loops |= place is not _Place.OUTSIDE
                _visit_all(_list_parts(node, {2, 4, 7}), uses, _Place.RANGE)
                _visit_all(_list_parts(node, {5, 6}), uses, _Place.BODY)
            case _:  # a constant
                pass


def _visit_all(expressions: Iterator[bytes], uses: Uses, place: _Place) -> None:
    for expression in expressions:
        _visit(expression, uses, place)


def _visit_select(node: bytes, uses: Uses, place: _Place) -> None:
    (operand,) = _list_parts(node, {1})
    (field,) = _list_parts(node, {2})
    names = [_note_name(part, uses, place) for part in _list_parts(operand, {_IDENTIFIER})]
    if names:
        uses.fields.setdefault(names[0], set()).add(field.decode())
    else:
        _visit(operand, uses, place)


def _note_name(identifier: bytes, uses: Uses, place: _Place) -> str:
    name = _read_name(identifier)
    if place is _Place.BODY:
        uses.looped.add(name)
    return name


def _read_name(identifier: bytes) -> str:
    (name,) = _list_parts(identifier, {1})
    return name.decode()


def _list_parts(message: bytes, numbers: set[int]) -> Iterator[bytes]:
    return (value for number, value in _list_fields(message) if number in numbers)


def _list_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a message that hold messages or text, with their numbers."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        match key & 7:
            case 0:
                _, at = _read_varint(message, at)
            case 1:
                at += 8
            case 2:
                size, at = _read_varint(message, at)
                yield key >> 3, message[at : at + size]
                at += size
            case 5:
                at += 4
            case kind:
                raise AssertionError(f"no field of a checked expression has wire type {kind}")


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
