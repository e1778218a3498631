"""Where one SQL statement ends and the next begins. Pure; nothing is lost, nothing is executed.

A message with two statements is one implicit transaction, in which `create index concurrently`
is refused, so each must travel alone. The lexical rules are PostgreSQL's own (src/backend/parser/
scan.l, and psqlscan.l for parentheses and SQL-standard function bodies).
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from emberkeep.migrate.model import FileInvalid, Statement
from emberkeep.migrate.rules.text import locate

if TYPE_CHECKING:
    from collections.abc import Iterator

# One alternative per lexeme. Words leave the E of E'' alone, whose backslashes count, and take `$`
# with them, because a$b$ is an identifier; a quote that is never closed matches nothing. Possessive repeats (`*+`) keep a quote
# that is never closed from being retried at every length.
_LEXEME = re.compile(
    r"""
      (?P<space>        [ \t\n\r\f\v]+ )
    | (?P<line_comment> --[^\n\r]* )
    | (?P<block_comment> /\* )
    | (?P<escape_string> [eE] ' (?: [^'\\] | \\. | '' )*+ '
        # A string goes on after a line end, and an E string goes on with its backslashes.
        (?: (?: [ \t\f\v] | --[^\n\r]* )*+ [\n\r] (?: [ \t\n\r\f\v] | --[^\n\r]*[\n\r] )*+
            ' (?: [^'\\] | \\. | '' )*+ ' )* )
    | (?P<string>       ' (?: [^'] | '' )*+ ' )
    | (?P<identifier>   " (?: [^"] | "" )*+ " )
    | (?P<word>         (?! [eE] ' ) [A-Za-z_\u0080-\U0010ffff] [A-Za-z0-9_$\u0080-\U0010ffff]* )
    | (?P<parameter>    \$ [0-9]+ )
    | (?P<dollar_quote> \$ (?: [A-Za-z_\u0080-\U0010ffff] [A-Za-z0-9_\u0080-\U0010ffff]* )? \$ )
    | (?P<symbol>       (?! [eE] ' ) [^'"] )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_IS_BLANK = frozenset({"space", "line_comment", "block_comment"})
_ROUTINE = re.compile(r"create (or replace )?(function|procedure)\b")
_TRANSACTION_CONTROL = frozenset(
    {"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare"}
)


def split_script(text: str) -> list[str]:
    """Return the text cut after each semicolon that ends a statement; joined, it is `text` again.

    :raises FileInvalid: when a quote or comment is never closed
    """
    cuts = [end for _, end in _find_statements(text)]
    bounds = [0, *cuts, len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(bounds)]
    return pieces if pieces[-1] or len(pieces) == 1 else pieces[:-1]


def list_statements(text: str) -> tuple[Statement, ...]:
    """Return the statements of the text, without what stands between them.

    :raises FileInvalid: when a quote or comment is never closed
    """
    found: list[Statement] = []
    for start, end in _find_statements(text):
        code = text[start:end].removesuffix(";").rstrip()
        if code:
            found.append(Statement(code, start))
    return tuple(found)


def drop_concurrently(statement: str) -> str:
    """Return the statement without the word CONCURRENTLY: the same result, inside a transaction."""
    return "".join(
        "" if kind == "word" and word.lower() == "concurrently" else word
        for kind, word, _ in _read_lexemes(statement)
    )


def is_transaction_control(statement: str) -> bool:
    """Say whether the statement would end, or cut in pieces, the transaction around the file."""
    words = [w.lower() for kind, w, _ in _read_lexemes(statement) if kind not in _IS_BLANK][:2]
    return words[0] in _TRANSACTION_CONTROL and not (
        words[0] == "prepare" and words[1:] != ["transaction"]
    )


def normalize_code(statement: str) -> str:
    """Return the statement in lower case, without comments, with one space between its words.

    For rules that look for a phrase; what stands in quotes is kept as it is.
    """
    parts = [
        " " if kind in _IS_BLANK else lexeme.lower() if kind == "word" else lexeme
        for kind, lexeme, _ in _read_lexemes(statement)
    ]
    return re.sub(" +", " ", "".join(parts)).strip()


def _find_statements(text: str) -> Iterator[tuple[int, int]]:
    """Yield (first character of code, first character after it) of each statement."""
    start: int | None = None
    nesting = _Nesting()
    for kind, lexeme, offset in _read_lexemes(text):
        if kind in _IS_BLANK:
            continue
        if start is None:
            start = offset
        if lexeme == ";" and not nesting.is_open:
            yield start, offset + 1
            start, nesting = None, _Nesting()
        else:
            nesting.read(kind, lexeme.lower())
    if start is not None:
        yield start, len(text)


class _Nesting:
    """What a semicolon may stand inside of without ending the statement.

    That is parentheses (`create rule … do (a; b)`) and `begin atomic … end`, in which CASE has an
    END of its own.
    """

    def __init__(self) -> None:
        self._parentheses = 0
        self._blocks = 0
        self._previous = ""
        self._opening = ""

    @property
    def is_open(self) -> bool:
        return self._parentheses > 0 or self._blocks > 0

    def read(self, kind: str, lexeme: str) -> None:
        if kind == "word":
            self._read_word(lexeme)
        elif lexeme == "(":
            self._parentheses += 1
        elif lexeme == ")":
            self._parentheses -= 1
        self._previous = lexeme if kind == "word" else ""

    def _read_word(self, word: str) -> None:
        if len(self._opening) < len("create or replace procedure"):
            self._opening = f"{self._opening} {word}".lstrip()
        is_body = self._previous == "begin" and word == "atomic" and _ROUTINE.match(self._opening)
        if is_body or (word == "case" and self._blocks):
            self._blocks += 1
        elif word == "end" and self._blocks:
            self._blocks -= 1


def _read_lexemes(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, lexeme, offset); the lexemes joined are the text."""
    offset = 0
    while offset < len(text):
        match = _LEXEME.match(text, offset)
        if match is None:
            raise _unclosed(text, offset)
        kind = match.lastgroup
        assert kind is not None
        if kind == "block_comment":
            end = _find_comment_end(text, offset)
        elif kind == "dollar_quote":
            end = _find_quote_end(text, match.end(), tag=match[0])
        else:
            end = match.end()
        yield kind, text[offset:end], offset
        offset = end


def _find_comment_end(text: str, offset: int) -> int:
    """Return where the block comment at `offset` ends; comments nest, as the SQL standard says."""
    depth = 0
    for edge in _BLOCK_EDGE.finditer(text, offset):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise _unclosed(text, offset)


def _find_quote_end(text: str, offset: int, *, tag: str) -> int:
    """Return where the dollar quote ends whose body begins at `offset`: only its own tag closes."""
    end = text.find(tag, offset)
    if end < 0:
        raise _unclosed(text, offset - len(tag))
    return end + len(tag)


def _unclosed(text: str, offset: int) -> FileInvalid:
    line, column = locate(text, offset)
    return FileInvalid(
        f"line {line}, column {column}: what opens here is never closed: {text[offset:][:20]!r}",
        line=line,
        column=column,
    )
