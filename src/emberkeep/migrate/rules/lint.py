"""Our own rules for migration files, beside squawk's. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from emberkeep.migrate.model import LintWarning
from emberkeep.migrate.rules import split, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emberkeep.migrate.model import Script, Statement

SQUAWK_LEFT_OUT: Final = (
    "require-lock-timeout",  # The engine sets it, and retries.
    "require-statement-timeout",  # A file is not to be cut off by a clock.
    "prefer-bigint-over-int",  # Counters of days and versions never reach 2^31.
)
"""squawk's rules that do not hold here, each for the reason beside it."""

SQUAWK_LEFT_OUT_DOWN: Final = (
    "ban-drop-table",
    "ban-drop-column",
    "ban-drop-constraint",
    "ban-drop-function",
    "ban-drop-schema",
    "ban-drop-sequence",
    "ban-drop-trigger",
    "ban-drop-type",
    "ban-drop-view",
)
"""Rules that do not hold in a down file, whose work is to drop."""

_SEPARATOR = re.compile(r"^-{79}$", re.MULTILINE)
_CREATED_TABLE = re.compile(
    r"create (?:unlogged )?table (?:if not exists )?(?P<table>[^\s(]++)(?! partition of)"
)
_COMMENTED_TABLE = re.compile(r"comment on table (?P<table>\S+) is '")
_NAMED = re.compile(
    r"(?:create|alter|drop|truncate|comment on) (?:or replace )?(?:unlogged |materialized )?"
    r"(?:table|view|function|procedure|sequence|type|domain|column) "
    r"(?:if (?:not )?exists |only )*(?P<name>[^\s(;]+)"
)
_SESSION_SETTING = re.compile(r"set (?!local |constraints |transaction )")


def lint_script(script: Script) -> tuple[LintWarning, ...]:
    """Return what our rules say of an up file, in the order of its lines."""
    statements = split.list_statements(script.text)
    code = [(s, split.normalize_code(s.text)) for s in statements]
    warnings = [
        *_lint_separators(script),
        *_lint_comments(script, code),
        *(w for s, c in code for w in _lint_statement(script, s, c)),
    ]
    return tuple(sorted(warnings, key=lambda w: (w.line, w.rule)))


def _lint_separators(script: Script) -> Iterator[LintWarning]:
    if not _SEPARATOR.search(script.text):
        yield LintWarning(script.path, 1, "separator", "no section opens with a line of 79 hyphens")


def _lint_comments(script: Script, code: list[tuple[Statement, str]]) -> Iterator[LintWarning]:
    commented = {m["table"] for _, c in code if (m := _COMMENTED_TABLE.match(c))}
    for statement, c in code:
        created = _CREATED_TABLE.match(c)
        if created and created["table"] not in commented:
            yield _warn(
                script, statement, "table-comment", f"no `comment on table {created['table']}`"
            )


def _lint_statement(script: Script, statement: Statement, code: str) -> Iterator[LintWarning]:
    named = _NAMED.match(code)
    if named and not named["name"].startswith("${schema}."):
        yield _warn(
            script, statement, "schema-token", f"{named['name']} does not begin with ${{schema}}."
        )
    if _SESSION_SETTING.match(code):
        yield _warn(
            script,
            statement,
            "session-state",
            "a setting outlives the file: use `set local`, or none",
        )


def _warn(script: Script, statement: Statement, rule: str, message: str) -> LintWarning:
    line, _ = text.locate(script.text, statement.offset)
    return LintWarning(script.path, line, rule, message)
