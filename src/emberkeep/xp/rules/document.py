"""Between JSON documents and frozen nouns: reads with every error at once, and renders back.

The nouns' own field types and bounds (`model/`) say what a document may hold. Numbers keep the
digits they were written with: a multiplier never passes through a binary float.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import re
import types
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from msgspec import inspect

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import SCALE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

ROOT: Final = "$"
"""The path of the document itself."""

_SCALE_DIGITS: Final = 4
_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]{0,8})(?:\.([0-9]{1,4}))?", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_MAX_WHOLE_CHARACTERS: Final = 64
_SHOWN_CHARACTERS: Final = 64


class NotJson(ValueError):
    """The text is not one JSON document; the message says where it stops being one."""


class Incomplete(types.SimpleNamespace):
    """Stands for a noun of which some fields could not be read: those are None."""

    def __getattr__(self, name: str) -> None:
        return None


_UNREAD: Final = Incomplete()
"""Stands for any value that could not be read at all."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Number:
    """A JSON number that is no whole number, as it was written."""

    text: str


class _Object(dict[str, object]):
    """A JSON object that remembers which keys it was given twice."""

    repeated: tuple[str, ...] = ()


def decode(text: bytes | str) -> object:
    """Return the JSON document in `text`, with numbers as they were written.

    :raises NotJson: when it is not JSON, or nested beyond all reason
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_make_object,
            parse_int=_keep_whole,
            parse_float=_Number,
            parse_constant=_Number,
        )
    except json.JSONDecodeError as e:
        raise NotJson(f"line {e.lineno} column {e.colno}: {e.msg}") from e
    except UnicodeDecodeError as e:
        raise NotJson(f"byte {e.start} is not {e.encoding}") from e
    except RecursionError as e:
        raise NotJson("it is nested too deeply") from e


def _make_object(pairs: list[tuple[str, object]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        made.repeated = tuple(key for key, _ in pairs if key in seen or seen.add(key))
    return made


def _keep_whole(text: str) -> int | _Number:
    # Reading millions of digits takes minutes, and no field has room for them.
    return int(text) if len(text) <= _MAX_WHOLE_CHARACTERS else _Number(text)


@dataclasses.dataclass(frozen=True, slots=True)
class Reader:
    """Reads documents into nouns and collects what is wrong with them in `errors`.

    `hooks` read the types that a field's own type cannot describe. `checks` find what is wrong
    between the fields of a noun; they are also given `Incomplete` ones.
    """

    hooks: Mapping[type, Callable[[Reader, object, str], object]]
    checks: Mapping[type, Callable[[Any, str], Iterable[FieldError]]]
    errors: list[FieldError] = dataclasses.field(default_factory=list[FieldError])

    def refuse(self, path: str, message: str) -> Incomplete:
        """Note an error and return what stands for the value that could not be read."""
        self.errors.append(FieldError(path, message))
        return _UNREAD

    def read_noun(self, noun: type[msgspec.Struct], raw: object, path: str) -> object:
        """Return the `noun` that the JSON object `raw` describes, or an `Incomplete` one."""
        if not isinstance(raw, dict):
            return self.refuse(path, "must be an object")
        given = cast("dict[str, object]", raw)
        count = len(self.errors)
        fields = _list_fields(noun)
        self.refuse_strangers(given, [field.encode_name for field in fields], path)
        values: dict[str, object] = {}
        for field in fields:
            below = join(path, field.encode_name)
            if field.encode_name in given:
                value = self.read(field.type, given[field.encode_name], below)
                if value is not _UNREAD:
                    values[field.name] = value
            elif field.required:
                self.refuse(below, "is missing")
        if noun in self.checks:
            self.errors.extend(self.checks[noun](Incomplete(**values), path))
        return noun(**values) if len(self.errors) == count else Incomplete(**values)

    def refuse_strangers(self, given: dict[str, object], known: Sequence[str], path: str) -> None:
        """Note an error for every field of `given` that is not `known`, or is given twice."""
        for key in given:
            if key not in known:
                self.refuse(join(path, show(str(key))), "is not a field that is known here")
        for key in given.repeated if isinstance(given, _Object) else ():
            self.refuse(join(path, show(key)), "occurs more than once")

    def read(self, kind: inspect.Type, raw: object, path: str) -> object:
        """Return the value of the type `kind` that `raw` describes, or an `Incomplete`."""
        match kind:
            case inspect.Metadata():
                return self._read_plain(kind.type, raw, path, _list_extras(kind))
            case inspect.UnionType(types=options):
                return self._read_optional(options, raw, path)
            case inspect.VarTupleType():
                return self._read_sequence(kind, raw, path)
            case inspect.StructType(cls=noun) if noun in self.hooks:
                return self.hooks[noun](self, raw, path)
            case inspect.StructType(cls=noun):
                return self.read_noun(noun, raw, path)
            case _:
                return self._read_plain(kind, raw, path, {})

    def _read_optional(self, options: Sequence[inspect.Type], raw: object, path: str) -> object:
        if raw is None:
            return None
        (kind,) = (option for option in options if not isinstance(option, inspect.NoneType))
        return self.read(kind, raw, path)

    def _read_sequence(self, kind: inspect.VarTupleType, raw: object, path: str) -> object:
        if not isinstance(raw, (list, tuple)):
            return self.refuse(path, "must be a list")
        items = cast("Sequence[object]", raw)
        if kind.min_length is not None and len(items) < kind.min_length:
            self.refuse(path, f"must have at least {kind.min_length} entry")
        if kind.max_length is not None and len(items) > kind.max_length:
            return self.refuse(path, f"must have at most {kind.max_length} entries")
        return tuple(
            self.read(kind.item_type, item, f"{path}[{index}]") for index, item in enumerate(items)
        )

    def _read_plain(
        self, kind: inspect.Type, raw: object, path: str, extra: Mapping[str, Any]
    ) -> object:
        try:
            match kind:
                case inspect.IntType() if extra.get("is_scaled"):
                    return _read_scaled(kind, raw)
                case inspect.IntType():
                    return _read_whole(kind, raw)
                case inspect.StrType():
                    return _read_text(kind, raw, extra.get("must"))
                case inspect.EnumType(cls=choices):
                    return choices(_read_choice([choice.value for choice in choices], raw))
                case inspect.BoolType():
                    return _read_bool(raw)
                case inspect.DateTimeType():
                    return _read_instant(raw)
                case inspect.DateType():
                    return _read_day(raw)
                case _:
                    raise AssertionError(f"no document has fields of this type: {kind}")
        except ValueError as e:
            return self.refuse(path, str(e))

    def read_choice(self, choices: Sequence[str], raw: object, path: str) -> str | Incomplete:
        """Return the text `raw` if it is one of `choices`."""
        try:
            return _read_choice(choices, raw)
        except ValueError as e:
            return self.refuse(path, str(e))


@functools.cache
def _list_fields(noun: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    kind = inspect.type_info(noun)
    assert isinstance(kind, inspect.StructType)
    return kind.fields


def _list_extras(kind: inspect.Metadata) -> Mapping[str, Any]:
    return cast("dict[str, Any]", kind.extra or {})


def join(path: str, name: str) -> str:
    """Return the path of the field `name` of what is at `path`."""
    return name if path == ROOT else f"{path}.{name}"


def show(text: str) -> str:
    """Return `text`, which may be hostile, fit for a message: one line, ASCII, and short."""
    shown = ascii(text[:_SHOWN_CHARACTERS])[1:-1]
    return shown if len(text) <= _SHOWN_CHARACTERS else f"{shown}..."


def find_overlaps(spans: Iterable[tuple[Any, Any, int]]) -> Iterator[tuple[int, int]]:
    """Yield (index, index of an earlier one) of every half-open span that meets another.

    :param spans: (start, end, index) in any order; a span without length meets nothing
    """
    furthest: tuple[Any, int] | None = None
    for start, end, index in sorted(span for span in spans if span[0] < span[1]):
        if furthest is not None and start < furthest[0]:
            yield index, furthest[1]
        if furthest is None or end > furthest[0]:
            furthest = (end, index)


def _read_whole(kind: inspect.IntType, raw: object) -> int:
    least, most = _bounds(kind)
    if not isinstance(raw, int) or isinstance(raw, bool) or not least <= raw <= most:
        raise ValueError(f"must be a whole number from {least} to {most}")
    return raw


def _read_scaled(kind: inspect.IntType, raw: object) -> int:
    if isinstance(raw, float):
        # 1.1 has no exact binary form, and how far it was off is already lost.
        raise ValueError("has been read as a binary float: send the decimal as a string")
    least, most = _bounds(kind)
    value = _scale(raw)
    if value is None or not least <= value <= most:
        first, last = (format_scaled(bound, _SCALE_DIGITS) for bound in (least, most))
        raise ValueError(f"must be a decimal from {first} to {last} with at most 4 places")
    return value


def _scale(raw: object) -> int | None:
    if isinstance(raw, int):
        return None if isinstance(raw, bool) else raw * SCALE
    written = raw.text if isinstance(raw, _Number) else raw
    parts = _DECIMAL.fullmatch(written) if isinstance(written, str) else None
    return parts and int(parts[1]) * SCALE + int((parts[2] or "").ljust(_SCALE_DIGITS, "0"))


def _bounds(kind: inspect.IntType) -> tuple[int, int]:
    assert kind.ge is not None
    assert kind.le is not None
    return kind.ge, kind.le


def _read_text(kind: inspect.StrType, raw: object, must: str | None) -> str:
    least, most = kind.min_length or 0, kind.max_length
    if not isinstance(raw, str) or len(raw) < least or (most is not None and len(raw) > most):
        raise ValueError(
            f"must {must}" if must else f"must be text of {least} to {most} characters"
        )
    if kind.pattern is not None and not re.fullmatch(kind.pattern, raw):
        raise ValueError(f"must {must or 'have the form ' + kind.pattern}")
    if "\0" in raw or any("\ud800" <= c <= "\udfff" for c in raw):
        # PostgreSQL cannot store the one, and UTF-8 cannot write the other.
        raise ValueError("must not hold NUL or half a surrogate pair")
    return raw


def _read_choice(choices: Sequence[str], raw: object) -> str:
    if not isinstance(raw, str) or raw not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}")
    return raw


def _read_bool(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise ValueError("must be true or false")
    return raw


def _read_instant(raw: object) -> datetime.datetime:
    if isinstance(raw, str) and _INSTANT.fullmatch(raw):
        try:
            return datetime.datetime.fromisoformat(raw.upper()).astimezone(datetime.UTC)
        except (ValueError, OverflowError):
            pass  # A date that no calendar has, or one beyond its last year.
    raise ValueError("must be an RFC 3339 instant with an offset, such as 2026-12-20T00:00:00Z")


def _read_day(raw: object) -> datetime.date:
    if isinstance(raw, str) and _DAY.fullmatch(raw):
        try:
            return datetime.date.fromisoformat(raw)
        except ValueError:
            pass  # The 30th of February.
    raise ValueError("must be a day, such as 2026-01-31")


def render(
    noun: msgspec.Struct, hooks: Mapping[type, Callable[[Any], object]]
) -> dict[str, object]:
    """Return the JSON document of `noun`: what `Reader` reads back as the same value.

    A part that is not there, such as the rule of a feature that is off, is left out.
    """
    return {
        field.encode_name: _render(field.type, getattr(noun, field.name), hooks)
        for field in _list_fields(type(noun))
        if getattr(noun, field.name) is not None or not _is_optional_part(field.type)
    }


def _is_optional_part(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.UnionType) and any(
        isinstance(option, inspect.StructType) for option in kind.types
    )


def _render(
    kind: inspect.Type, value: Any, hooks: Mapping[type, Callable[[Any], object]]
) -> object:
    match kind:
        case inspect.Metadata() if _list_extras(kind).get("is_scaled"):
            return format_scaled(value, _SCALE_DIGITS)
        case inspect.UnionType(types=options):
            (inner,) = (option for option in options if not isinstance(option, inspect.NoneType))
            return None if value is None else _render(inner, value, hooks)
        case inspect.VarTupleType(item_type=item_type):
            return [_render(item_type, item, hooks) for item in value]
        case inspect.StructType(cls=noun) if noun in hooks:
            return hooks[noun](value)
        case inspect.StructType():
            return render(value, hooks)
        case inspect.DateTimeType():
            return format_instant(value)
        case inspect.EnumType():
            return value.value
        case _:
            return value


def format_instant(at: datetime.datetime) -> str:
    """Return the aware instant `at` in RFC 3339, in UTC with `Z`."""
    return at.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def format_scaled(value: int, digits: int) -> str:
    """Return `value` ≥ 0, scaled by 10^`digits`, as a decimal: exact, with four places or more."""
    whole, rest = divmod(value, 10**digits)
    places = f"{rest:0{digits}d}".rstrip("0").ljust(_SCALE_DIGITS, "0")
    return f"{whole}.{places}"
