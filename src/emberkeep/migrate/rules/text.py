"""What the text of a migration says: checksum, tokens, header. Pure: same text, same answer."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from emberkeep.migrate.model import FileInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emberkeep.migrate.model import MigrationSet, Script

_TOKEN = re.compile(r"\$\{(?P<name>[^}\n]*)\}")
_HEADER_LINE = re.compile(r"\s*--\s*transactional\s*:\s*(?P<value>.*?)\s*")
_PLAIN_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_$]*")
_MAX_IDENTIFIER_BYTES = 63

# Key words that cannot be the name of a schema unquoted. Source: pg_get_keywords() of 15 to 18,
# all but the unreserved; a test holds it against the server.
_KEYWORDS: Final = frozenset(
    # A list of a hundred quoted words would be four times as long.
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
    boolean both case cast char character check coalesce collate collation column concurrently
    constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user dec decimal default deferrable desc distinct do else end except
    exists extract false fetch float for foreign freeze from full grant greatest group grouping
    having ilike in initially inner inout int integer intersect interval into is isnull join json
    json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar
    json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action national natural nchar none normalize not notnull null nullif
    numeric offset on only or order out outer overlaps overlay placing position precision primary
    real references returning right row select session_user setof similar smallint some substring
    symmetric system_user table tablesample then time timestamp to trailing treat trim true union
    unique user using values varchar variadic verbose when where window with xmlattributes
    xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize
    xmltable
    """.split()  # noqa: SIM905
)


def compute_checksum(text: str) -> str:
    """Return the SHA-256 of the text as written, in hex.

    Line ends are folded and tokens are left as they are, so that neither a checkout on another
    system nor another schema name makes a file look edited.
    """
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def quote_identifier(name: str) -> str:
    """Return `name` as SQL spells it, in quotes only where it needs them.

    :raises FileInvalid: when PostgreSQL would cut or refuse the name
    """
    if not name or "\0" in name or len(name.encode()) > _MAX_IDENTIFIER_BYTES:
        raise FileInvalid(f"a schema cannot be called {name!r}: 1 to 63 bytes are needed")
    if _PLAIN_IDENTIFIER.fullmatch(name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def make_tokens(migration_set: MigrationSet) -> dict[str, str]:
    """Return the tokens that a file of the set may use, each with its text."""
    return {"schema": quote_identifier(migration_set.schema)}


def render(text: str, tokens: Mapping[str, str]) -> str:
    """Return `text` with every `${token}` replaced; `check_tokens` has seen the whole file."""
    return _TOKEN.sub(lambda m: tokens[m["name"]], text)


def check_tokens(script: Script, known: frozenset[str]) -> None:
    """Refuse a token that nobody will replace, wherever it is: a comment reaches the server too.

    :raises FileInvalid: naming the token, its line and column
    """
    for match in _TOKEN.finditer(script.text):
        if match["name"] not in known:
            line, column = locate(script.text, match.start())
            raise FileInvalid(
                f"{script.path}:{line}:{column}: unknown token {match[0]}; known: "
                + ", ".join(f"${{{name}}}" for name in sorted(known)),
                file=script.path,
                line=line,
                column=column,
            )


def find_raw_offset(raw: str, tokens: Mapping[str, str], rendered_offset: int) -> int:
    """Return where in `raw` the character stands that rendering moved to `rendered_offset`.

    A place inside a replaced token is the place of its `$`.
    """
    grown = 0
    for match in _TOKEN.finditer(raw):
        start = match.start() + grown
        value = tokens[match["name"]]
        if rendered_offset < start:
            break
        if rendered_offset < start + len(value):
            return match.start()
        grown += len(value) - len(match[0])
    return rendered_offset - grown


def locate(text: str, offset: int) -> tuple[int, int]:
    """Return (line, column) of a character, both from 1, as editors count."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def is_transactional(script: Script) -> bool:
    """Say whether the file runs in a transaction: yes, unless its header says otherwise.

    The header is the comment lines before the first line of code; the line that counts is
    `-- transactional: false`.

    :raises FileInvalid: when the header says anything but true or false
    """
    for number, value in _list_header_values(script.text):
        if value not in ("true", "false"):
            raise FileInvalid(
                f"{script.path}:{number}: `transactional:` is true or false, not {value!r}",
                file=script.path,
                line=number,
            )
        if value == "false":
            return False
    return True


def _list_header_values(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("--"):
            return
        if match := _HEADER_LINE.fullmatch(line):
            yield number, match["value"].lower()
